// The reader and writer against each other and against bytes worked out from the format's description.

import Testing
import Wire

@Suite struct ProtobufTests {
    @Test func varintsRoundTripAtEveryLength() throws {
        var values: [UInt64] = [0, 1, .max, .max - 1]
        for shift in 0..<64 { values += [1 << UInt64(shift), (1 << UInt64(shift)) &- 1] }
        for value in values {
            let sink = ByteSink(capacity: 1)
            sink.varint(value)
            #expect(sink.count == varintSize(value))
            var reader = ProtobufReader(sink.bytes)
            #expect(try reader.varint() == value)
            #expect(reader.isAtEnd)
        }
    }

    @Test func varintsBeyond64BitsAreRefused() {
        let tooLong: [UInt8] = Array(repeating: 0xff, count: 9) + [0x02]
        tooLong.withUnsafeBytes { view in
            var reader = ProtobufReader(view)
            #expect(throws: ProtobufError.varintTooLong) { _ = try reader.varint() }
        }
        let endless = [UInt8](repeating: 0x80, count: 20)
        endless.withUnsafeBytes { view in
            var reader = ProtobufReader(view)
            #expect(throws: ProtobufError.varintTooLong) { _ = try reader.varint() }
        }
    }

    @Test func subMessagesLongerThanOneLengthByteAreMoved() throws {
        for length in [0, 1, 127, 128, 129, 16383, 16384, 70000] {
            let body = (0..<length).map { UInt8(truncatingIfNeeded: $0) }
            let sink = ByteSink(capacity: 1)
            sink.append(byte: 0x99)
            sink.message(7) { $0.append(body) }
            sink.append(byte: 0x77)
            let bytes = sink.array()
            #expect(bytes.first == 0x99 && bytes.last == 0x77)
            try bytes.dropFirst().dropLast().withUnsafeBytes { view in
                var reader = ProtobufReader(view)
                let (field, type) = try #require(try reader.next())
                #expect(field == 7)
                #expect(try reader.array(type) == body)
                #expect(reader.isAtEnd)
            }
        }
    }

    @Test func unknownFieldsOfEveryTypeAreSkipped() throws {
        let sink = ByteSink()
        sink.tag(20, .fixed32); sink.append(zeros: 4)
        sink.tag(21, .fixed64); sink.append(zeros: 8)
        sink.tag(22, .startGroup); sink.always(1, 5); sink.tag(2, .startGroup); sink.tag(2, .endGroup); sink.tag(22, .endGroup)
        sink.always(23, "text")
        sink.field(1, "key")
        let request = try PutRequest(decoding: sink.bytes)
        #expect(String(decoding: request.key, as: UTF8.self) == "key")
    }

    @Test func truncatedMessagesAreErrorsAtEveryLength() {
        let sink = ByteSink()
        sink.field(1, "some key"); sink.field(2, "value"); sink.field(3, 300 as Int64)
        for length in 1..<sink.count {
            let cut = UnsafeRawBufferPointer(rebasing: sink.bytes[0..<length])
            // A cut between fields leaves a shorter valid message; any other is an error, never a trap.
            _ = try? PutRequest(decoding: cut)
        }
        let cut = UnsafeRawBufferPointer(rebasing: sink.bytes[0..<5])
        #expect(throws: ProtobufError.truncated) { _ = try PutRequest(decoding: cut) }
    }

    @Test func randomBytesNeverTrap() {
        var generator = SystemRandomNumberGenerator()
        let seed = UInt64.random(in: 0 ... .max, using: &generator)
        var state = seed
        func next() -> UInt8 {
            state = state &* 6364136223846793005 &+ 1442695040888963407
            return UInt8(truncatingIfNeeded: state >> 33)
        }
        for _ in 0..<20000 {
            let bytes = (0..<Int(next() % 40)).map { _ in next() % 3 == 0 ? next() : next() & 0x1f }
            bytes.withUnsafeBytes { view in
                _ = try? RangeRequest(decoding: view)
                _ = try? Compare(decoding: view)
                _ = try? Message(decoding: view)
                _ = try? InternalRequest(decoding: view)
                _ = try? ConfigurationChangeV2(decoding: view)
                if let txn = try? TxnRequest(decoding: view) {
                    txn.success.forEach { _ = try? RequestOperation(decoding: $0) }
                }
            }
        }
    }
}

@Suite struct RaftCodingTests {
    @Test func entriesAreWrittenWithZeroNumbers() throws {
        let sink = ByteSink()
        Entry(term: 1, index: 2).encode(to: sink)
        #expect(sink.array() == [0x08, 0, 0x10, 1, 0x18, 2])
        let full = Entry(kind: .configurationChange, term: 300, index: 70000, data: [1, 2, 3])
        sink.clear()
        full.encode(to: sink)
        #expect(sink.count == full.encodedSize)
        #expect(try Entry(decoding: sink.bytes) == full)
    }

    @Test func messagesRoundTrip() throws {
        let message = Message(
            kind: .append, to: MemberID(2), from: MemberID(.max), term: 7, logTerm: 6, index: 99,
            entries: [Entry(term: 7, index: 100, data: [9]), Entry(term: 7, index: 101)], commit: 98,
            snapshot: Snapshot(
                metadata: .init(index: 5, term: 4, configuration: .init(voters: [MemberID(1), MemberID(2)], learners: [MemberID(3)], autoLeave: true)),
                data: [1, 2]),
            reject: true, rejectHint: 44, context: [8, 8])
        let sink = ByteSink()
        message.encode(to: sink)
        #expect(try Message(decoding: sink.bytes) == message)
    }

    @Test func linkHeartbeatHasTheBytesThatPeersKnow() {
        let sink = ByteSink()
        Message(kind: .heartbeat).encode(to: sink)
        #expect(sink.array() == [
            0x08, 8, 0x10, 0, 0x18, 0, 0x20, 0, 0x28, 0, 0x30, 0, 0x40, 0, 0x50, 0, 0x58, 0,
        ])
    }

    @Test func internalRequestsWrapTheClientsBytes() throws {
        let body: [UInt8] = [0x0a, 1, 0x61]
        for kind in [InternalRequestKind.put, .txn, .clusterVersionSet] {
            let bytes = body.withUnsafeBytes { InternalRequest.encode(kind: kind, body: $0, id: 0x1234_5678_9abc) }
            try bytes.withUnsafeBytes { view in
                let request = try InternalRequest(decoding: view)
                #expect(request.kind == kind && request.id == 0x1234_5678_9abc)
                #expect(Array(request.body) == body)
            }
        }
    }
}

@Suite struct ChecksumTests {
    @Test func knownVectors() {
        // RFC 3720 B.4 and the seed of HashKV.
        let zeros = [UInt8](repeating: 0, count: 32)
        #expect(zeros.withUnsafeBytes { CRC32C.update(0, $0) } == 0x8a91_36aa)
        #expect(Array("123456789".utf8).withUnsafeBytes { CRC32C.update(0, $0) } == 0xe306_9283)
        #expect(Array("key".utf8).withUnsafeBytes { CRC32C.update(0, $0) } == 1_084_519_789)
    }

    @Test func continuedEqualsWhole() {
        let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0 * 7) }
        let whole = bytes.withUnsafeBytes { CRC32C.update(0, $0) }
        for cut in stride(from: 0, through: 1000, by: 37) {
            let first = bytes[..<cut].withUnsafeBytes { CRC32C.update(0, $0) }
            #expect(bytes[cut...].withUnsafeBytes { CRC32C.update(first, $0) } == whole)
        }
    }
}

@Suite struct JSONTests {
    @Test func memberDescriptionsRoundTrip() throws {
        let member = MemberDescription(
            id: MemberID(3_982_666_145_420_501_407), name: "a \"name\"\n", peerURLs: ["http://127.0.0.1:2380"],
            clientURLs: ["http://a", "http://b"], isLearner: true)
        #expect(MemberDescription(json: member.json()) == member)
        #expect(String(decoding: MemberDescription(id: MemberID(7), peerURLs: ["u"]).json(), as: UTF8.self) == #"{"id":7,"peerURLs":["u"]}"#)
    }

    @Test func readsWhatTheStandardAllows() throws {
        let text = #" {"a":[1,-2.5e+3,true,null,"\u00e9\ud83d\ude00\\"],"b":{}} "#
        let value = try JSONValue(parsing: Array(text.utf8))
        #expect(value["a"]?.array?.count == 5)
        #expect(value["a"]?.array?.last == .string("é😀\\"))
        #expect(value["b"] == .object([]))
    }

    @Test(arguments: ["", "{", "[1,]", "{\"a\"}", "01", "1.", "tru", "\"\\x\"", "\"\u{1}\"", "1 2", "[" + String(repeating: "[", count: 500)])
    func refusesWhatItDoesNot(_ text: String) {
        #expect(throws: JSONError.self) { _ = try JSONValue(parsing: Array(text.utf8)) }
    }
}
