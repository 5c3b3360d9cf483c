// Messages of the Lock and Election services, and reading a few fields of any message.

import Testing

@testable import Wire

struct ClaimMessageTests {
    @Test func leaderKeyComesBack() throws {
        let sink = ByteSink()
        let (name, key): ([UInt8], [UInt8]) = ([1, 0, 255], Array("n/7".utf8))
        name.withUnsafeBytes { name in
            key.withUnsafeBytes { key in
                sink.message(1) { LeaderKey(name: name, key: key, revision: 1 << 40, lease: -7).encode(to: $0) }
            }
        }
        sink.field(2, Array("value".utf8))
        let request = try LeaderKeyRequest(decoding: sink.bytes)
        let leader = try #require(request.leader)
        #expect([UInt8](leader.name) == name && [UInt8](leader.key) == key)
        #expect(leader.revision == 1 << 40 && leader.lease == -7 && request.value.elementsEqual("value".utf8))
    }

    @Test func aMissingLeaderIsNotAnEmptyOne() throws {
        #expect(try LeaderKeyRequest(decoding: UnsafeRawBufferPointer(start: nil, count: 0)).leader == nil)
        let sink = ByteSink()
        sink.message(1) { _ in }
        #expect(try LeaderKeyRequest(decoding: sink.bytes).leader != nil)
    }

    @Test func aViewFindsFieldsInAnyOrder() throws {
        let sink = ByteSink()
        sink.message(3) { sink in sink.message(2) { $0.field(1, 9 as UInt64) } }
        sink.field(2, true)
        sink.message(1) { $0.field(3, 77 as Int64) }
        sink.message(3) { sink in sink.message(1) { range in range.message(2) { $0.field(1, Array("k".utf8)) } } }
        let view = try MessageView(decoding: sink.bytes)
        #expect(view.headerRevision == 77 && view.number(2) == 1 && view.number(9) == 0 && view.messages(3).count == 2)
        #expect(view.firstKey(ofOperation: 0) == nil && view.firstKey(ofOperation: 2) == nil)
        let key = try #require(view.firstKey(ofOperation: 1))
        #expect(try KeyValueView(decoding: key).key.elementsEqual("k".utf8))
    }

    @Test func damagedBytesAreRefused() {
        for bytes: [UInt8] in [[0x0a], [0x0a, 5, 1], [0xff], [0x0b, 0x0a]] {
            bytes.withUnsafeBytes { view in
                #expect(throws: ProtobufError.self) { try MessageView(decoding: view) }
                #expect(throws: ProtobufError.self) { try ClaimRequest(decoding: view) }
            }
        }
    }
}
