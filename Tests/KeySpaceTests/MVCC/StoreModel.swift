// The naive model of the store: every version ever written, in a list.

@testable import KeySpace

struct StoreModel {
    struct Version: Equatable {
        var key: [UInt8]
        var main: Int64
        var sub: Int32
        var created: Int64
        var version: Int64
        var value: [UInt8]
        var lease: Int64
        var isTombstone: Bool { version == 0 }
    }

    /// In revision order; nothing is ever removed.
    var history: [Version] = []
    var revision: Int64 = 1
    var compacted: Int64 = -1
    private var sub: Int32 = 0

    func newest(_ key: [UInt8], at main: Int64) -> Version? { history.last { $0.key == key && $0.main <= main } }

    func live(_ key: [UInt8], at main: Int64) -> Version? { newest(key, at: main).flatMap { $0.isTombstone ? nil : $0 } }

    mutating func endEntry() {
        if sub > 0 { revision += 1 }
        sub = 0
    }

    var entryRevision: Int64 { sub > 0 ? revision + 1 : revision }

    mutating func put(_ key: [UInt8], _ value: [UInt8], lease: Int64) {
        let old = live(key, at: .max)
        history.append(
            Version(
                key: key, main: revision + 1, sub: sub, created: old?.created ?? revision + 1, version: (old?.version ?? 0) + 1,
                value: value, lease: lease))
        sub += 1
    }

    static func selects(_ key: [UInt8], _ start: [UInt8], _ end: [UInt8]) -> Bool {
        if end.isEmpty { return key == start }
        if key.lexicographicallyPrecedes(start) { return false }
        return end == [0] || key.lexicographicallyPrecedes(end)
    }

    /// Live versions of a range in key order.
    func range(_ start: [UInt8], _ end: [UInt8], at main: Int64) -> [Version] {
        var newest: [[UInt8]: Version] = [:]
        for version in history where version.main <= main && StoreModel.selects(version.key, start, end) {
            newest[version.key] = version
        }
        return newest.values.filter { !$0.isTombstone }.sorted { $0.key.lexicographicallyPrecedes($1.key) }
    }

    mutating func delete(_ start: [UInt8], _ end: [UInt8]) -> Int64 {
        let doomed = range(start, end, at: .max)
        for version in doomed {
            history.append(
                Version(key: version.key, main: revision + 1, sub: sub, created: 0, version: 0, value: [], lease: 0))
            sub += 1
        }
        return Int64(doomed.count)
    }

    /// etcd's hash of the store at a revision, from its definition.
    /// `whileCompacting`: as the compaction at `main` itself takes it, which keeps the tombstones of that revision.
    func hash(at main: Int64, compacted: Int64, whileCompacting: Bool = false) -> UInt32 {
        var keep: Set<Revision> = []
        for key in Set(history.map(\.key)) {
            if let version = newest(key, at: main), !version.isTombstone || whileCompacting && version.main == main { keep.insert(Revision(main: version.main, sub: version.sub)) }
        }
        // What a finished compaction leaves of the history.
        let present = history.filter { version in
            if version.main > main { return false }
            if version.main > compacted { return true }
            guard newest(version.key, at: compacted) == version else { return false }
            return !version.isTombstone || version.main == compacted
        }
        var bytes: [UInt8] = Array("key".utf8)
        for version in present {
            if version.main <= compacted, !keep.isEmpty, !keep.contains(Revision(main: version.main, sub: version.sub)) { continue }
            if version.isTombstone, version.main == compacted { continue }
            withUnsafeBytes(of: version.main.bigEndian) { bytes += $0 }
            bytes.append(UInt8(ascii: "_"))
            withUnsafeBytes(of: Int64(version.sub).bigEndian) { bytes += $0 }
            if version.isTombstone { bytes.append(UInt8(ascii: "t")) }
            bytes += version.encoded
        }
        return NaiveCRC32C.checksum(bytes)
    }
}

extension StoreModel.Version {
    private static func varint(_ value: UInt64) -> [UInt8] {
        value < 0x80 ? [UInt8(value)] : [UInt8(value & 0x7f) | 0x80] + varint(value >> 7)
    }

    private static func field(_ number: UInt8, _ value: Int64) -> [UInt8] {
        value == 0 ? [] : [number << 3] + varint(UInt64(bitPattern: value))
    }

    private static func field(_ number: UInt8, _ value: [UInt8]) -> [UInt8] {
        value.isEmpty ? [] : [number << 3 | 2] + varint(UInt64(value.count)) + value
    }

    /// The `KeyValue` on the wire.
    var encoded: [UInt8] { encoded(value: value, lease: lease) }

    func encoded(value: [UInt8], lease: Int64) -> [UInt8] {
        if isTombstone { return Self.field(1, key) }
        return Self.field(1, key) + Self.field(2, created) + Self.field(3, main) + Self.field(4, version)
            + Self.field(5, value) + Self.field(6, lease)
    }

    var asElement: [UInt8] { Self.field(2, encoded) }
    func asElement(value: [UInt8], lease: Int64) -> [UInt8] { Self.field(2, encoded(value: value, lease: lease)) }
    static func trailer(more: Bool, count: Int) -> [UInt8] { field(3, more ? 1 : 0) + field(4, Int64(count)) }
}

/// Bit by bit, so that it shares nothing with the product's.
enum NaiveCRC32C {
    static func checksum(_ bytes: [UInt8]) -> UInt32 {
        var crc: UInt32 = 0xffff_ffff
        for byte in bytes {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0x82f6_3b78 : crc >> 1 }
        }
        return ~crc
    }
}
