// Every decoder of the module against bytes that nobody would write: an error or a value, never a crash, no view
// outside the message; and what was decoded once is the same after being encoded and decoded again.

import Testing
import Wire

#if canImport(Glibc)
import Glibc
#endif

/// A message that is encoded as well as decoded.
private protocol Coded {
    init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError)
    func encode(to sink: ByteSink)
}

extension Entry: Coded {}
extension HardState: Coded {}
extension ConfigurationState: Coded {}
extension SnapshotMetadata: Coded {}
extension Snapshot: Coded {}
extension Message: Coded {}
extension ConfigurationChange: Coded {}
extension ConfigurationChangeV2: Coded {}
extension AlarmRequest: Coded {}
extension LeaseGrantRequest: Coded {}
extension LeaseRevokeRequest: Coded {}
extension LeaseKeepAliveRequest: Coded {}
extension LeaseTimeToLiveRequest: Coded {}
extension LeaseCheckpointRequest: Coded {}
extension VersionRequest: Coded {}
extension MemberAttributesRequest: Coded {}
extension DowngradeInfoRequest: Coded {}

@Suite struct DecoderFuzzTests {
    private static let soak = getenv("MARTLET_SOAK").flatMap { Int(String(cString: $0)) } ?? 1
    private static let firstSeed = getenv("MARTLET_SEED").flatMap { UInt64(String(cString: $0)) } ?? 1

    /// Bytes that look like a protobuf message with low field numbers, nested now and then.
    private func message(_ random: inout FuzzGenerator, depth: Int = 0) -> [UInt8] {
        let sink = ByteSink(capacity: 64)
        for _ in 0..<random.below(6) {
            let field = 1 + random.below(depth == 0 ? 16 : 9)
            switch random.below(8) {
            case 0, 1, 2:
                sink.tag(field, .varint)
                sink.varint(random.number())
            case 3, 4:
                sink.tag(field, .bytes)
                let body = random.bytes(random.below(12))
                sink.varint(UInt64(body.count))
                sink.append(body)
            case 5, 6:
                guard depth < 5 else { continue }
                let body = message(&random, depth: depth + 1)
                sink.tag(field, .bytes)
                sink.varint(UInt64(body.count))
                sink.append(body)
            default:
                switch random.below(3) {
                case 0: sink.tag(field, .fixed32); sink.append(random.bytes(4))
                case 1: sink.tag(field, .fixed64); sink.append(random.bytes(8))
                default: sink.tag(field, .startGroup); sink.append(message(&random, depth: depth + 1)); sink.tag(field, .endGroup)
                }
            }
        }
        return sink.array()
    }

    private func damaged(_ bytes: [UInt8], _ random: inout FuzzGenerator) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<random.below(4) {
            guard !bytes.isEmpty else { return random.bytes(random.below(20)) }
            let position = random.below(bytes.count)
            switch random.below(5) {
            case 0: bytes[position] ^= 1 << UInt8(random.below(8))
            case 1: bytes[position] = UInt8(random.below(256))
            case 2: bytes.removeSubrange(position..<min(bytes.count, position + 1 + random.below(5)))
            case 3: bytes.insert(contentsOf: random.bytes(1 + random.below(5)), at: position)
            default: bytes = Array(bytes[..<position])
            }
        }
        return bytes
    }

    private func check<M: Coded>(_ type: M.Type, _ bytes: [UInt8], _ seed: UInt64) {
        func decode(_ bytes: [UInt8]) -> M? { bytes.withUnsafeBytes { try? M(decoding: $0) } }
        func encode(_ value: M) -> [UInt8] {
            let sink = ByteSink(capacity: 64)
            value.encode(to: sink)
            return sink.array()
        }
        guard let value = decode(bytes) else { return }
        let once = encode(value)
        guard let again = decode(once) else {
            Issue.record("seed \(seed): \(type) cannot read what it wrote: \(once)")
            return
        }
        #expect(encode(again) == once, "seed \(seed): \(type) of \(bytes)")
    }

    private func checkView(_ view: UnsafeRawBufferPointer, in message: UnsafeRawBufferPointer, _ what: String) {
        guard view.count > 0, let start = view.baseAddress, let base = message.baseAddress else { return }
        if start < base || start + view.count > base + message.count { Issue.record("\(what): a view outside the message") }
    }

    private func walk(_ txn: TxnRequest, in message: UnsafeRawBufferPointer, _ what: String, depth: Int = 0) {
        guard depth < 40 else { return }
        txn.compares.forEach { bytes in
            checkView(bytes, in: message, what)
            if let compare = try? Compare(decoding: bytes) {
                checkView(compare.key, in: message, what)
                checkView(compare.rangeEnd, in: message, what)
            }
        }
        for list in [txn.success, txn.failure] {
            list.forEach { bytes in
                checkView(bytes, in: message, what)
                if case .txn(let inner) = try? RequestOperation(decoding: bytes) { walk(inner, in: message, what, depth: depth + 1) }
            }
        }
    }

    @Test func messagesOfNobody() {
        for round in 0..<UInt64(4000 * Self.soak) {
            let seed = Self.firstSeed &* 1_000_003 &+ round
            var random = FuzzGenerator(seed: seed)
            let bytes = damaged(message(&random), &random)
            check(Entry.self, bytes, seed)
            check(HardState.self, bytes, seed)
            check(ConfigurationState.self, bytes, seed)
            check(SnapshotMetadata.self, bytes, seed)
            check(Snapshot.self, bytes, seed)
            check(Message.self, bytes, seed)
            check(ConfigurationChange.self, bytes, seed)
            check(ConfigurationChangeV2.self, bytes, seed)
            check(AlarmRequest.self, bytes, seed)
            check(LeaseGrantRequest.self, bytes, seed)
            check(LeaseRevokeRequest.self, bytes, seed)
            check(LeaseKeepAliveRequest.self, bytes, seed)
            check(LeaseTimeToLiveRequest.self, bytes, seed)
            check(LeaseCheckpointRequest.self, bytes, seed)
            check(VersionRequest.self, bytes, seed)
            check(MemberAttributesRequest.self, bytes, seed)
            check(DowngradeInfoRequest.self, bytes, seed)
            bytes.withUnsafeBytes { view in
                let what = "seed \(seed)"
                if let range = try? RangeRequest(decoding: view) {
                    checkView(range.key, in: view, what)
                    checkView(range.rangeEnd, in: view, what)
                }
                if let put = try? PutRequest(decoding: view) {
                    checkView(put.key, in: view, what)
                    checkView(put.value, in: view, what)
                }
                if let delete = try? DeleteRangeRequest(decoding: view) { checkView(delete.rangeEnd, in: view, what) }
                if let txn = try? TxnRequest(decoding: view) { walk(txn, in: view, what) }
                if case .create(let create) = try? WatchRequest(decoding: view) {
                    checkView(create.key, in: view, what)
                    checkView(create.rangeEnd, in: view, what)
                }
                if let request = try? InternalRequest(decoding: view) { checkView(request.body, in: view, what) }
                _ = try? CompactionRequest(decoding: view)
                _ = try? Compare(decoding: view)
            }
        }
    }

    /// JSON made at random, damaged or not: parsed or refused; what was parsed is the same after being printed.
    @Test func documentsOfNobody() {
        for round in 0..<UInt64(3000 * Self.soak) {
            let seed = Self.firstSeed &* 999_983 &+ round
            var random = FuzzGenerator(seed: seed)
            let text = Array(document(&random, depth: 0).utf8)
            let bytes = random.below(3) == 0 ? text : damaged(text, &random)
            guard let value = try? JSONValue(parsing: bytes) else { continue }
            let printed = print(value)
            let again = try? JSONValue(parsing: Array(printed.utf8))
            #expect(again == value, "seed \(seed): \(printed)")
        }
        // As deep as it goes, and beyond.
        for depth in [JSONValue.maximumDepth + 1, JSONValue.maximumDepth + 2, 1_000_000] {
            let nested = [UInt8](repeating: UInt8(ascii: "["), count: depth) + [UInt8](repeating: UInt8(ascii: "]"), count: depth)
            #expect(((try? JSONValue(parsing: nested)) != nil) == (depth <= JSONValue.maximumDepth + 1))
        }
    }

    private func document(_ random: inout FuzzGenerator, depth: Int) -> String {
        let space = ["", " ", "\n\t"][random.below(3)]
        switch random.below(depth > 5 ? 5 : 7) {
        case 0: return space + ["null", "true", "false"][random.below(3)]
        case 1: return space + ["0", "-1", "18446744073709551615", "1e400", "-0.5E-7", "\(random.number())"][random.below(6)]
        case 2, 3: return space + string(&random)
        case 4: return space + "[]"
        case 5:
            let items = (0..<random.below(5)).map { _ in document(&random, depth: depth + 1) }
            return space + "[" + items.joined(separator: ",") + space + "]"
        default:
            let items = (0..<random.below(5)).map { _ in string(&random) + space + ":" + document(&random, depth: depth + 1) }
            return space + "{" + items.joined(separator: "," + space) + "}"
        }
    }

    private func string(_ random: inout FuzzGenerator) -> String {
        let parts = ["a", "é", "\u{1F600}", "\\n", "\\u0041", "\\ud83d\\ude00", "\\ud800", "\\\"", "\\\\", "\\/", "\u{7f}"]
        return "\"" + (0..<random.below(6)).map { _ in parts[random.below(parts.count)] }.joined() + "\""
    }

    private func print(_ value: JSONValue) -> String {
        func quoted(_ text: String) -> String {
            "\"" + text.unicodeScalars.map { $0 == "\"" || $0 == "\\" ? "\\\($0)" : $0.value < 0x20 ? "\\u00" + ($0.value < 16 ? "0" : "") + String($0.value, radix: 16) : String($0) }.joined() + "\""
        }
        switch value {
        case .null: return "null"
        case .bool(let value): return "\(value)"
        case .number(let text): return text
        case .string(let text): return quoted(text)
        case .array(let values): return "[" + values.map(print).joined(separator: ",") + "]"
        case .object(let members): return "{" + members.map { quoted($0.name) + ":" + print($0.value) }.joined(separator: ",") + "}"
        }
    }
}

/// SplitMix64.
struct FuzzGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }

    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) } }

    /// Small, at an edge, or anything.
    mutating func number() -> UInt64 {
        switch below(5) {
        case 0: UInt64(below(4))
        case 1: [UInt64.max, 1 << 63, (1 << 63) - 1, 1 << 32, 1 << 31, 127, 128][below(7)]
        case 2: next() >> UInt64(below(64))
        case 3: UInt64(below(200))
        default: next()
        }
    }
}
