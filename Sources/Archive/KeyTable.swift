// A hash table from keys to what is known of them, with its keys in one block of memory, bounded by a window: when it is
// full, the upper half of its keys goes, and with it everything above; a later pass over the store takes that.

#if canImport(Glibc)
import Glibc
#endif
import Wire

/// A range of keys: from the first on, up to but without the second.
public struct KeySpan: Equatable, Sendable {
    public var low: [UInt8]
    /// Nil: all keys from `low` on.
    public var high: [UInt8]?

    public init(low: [UInt8] = [], high: [UInt8]? = nil) {
        self.low = low
        self.high = high
    }

    /// One key.
    public init(key: [UInt8]) { self.init(low: key, high: key + [0]) }

    /// Keys that begin with a prefix.
    public init(prefix: [UInt8]) {
        low = prefix
        var end = prefix
        while let last = end.popLast() {
            if last < 0xff {
                high = end + [last + 1]
                return
            }
        }
        high = nil
    }

    public func contains(_ key: UnsafeRawBufferPointer) -> Bool {
        if !low.isEmpty, low.withUnsafeBytes({ compareBytes(key, $0) < 0 }) { return false }
        guard let high else { return true }
        return high.withUnsafeBytes { compareBytes(key, $0) < 0 }
    }
}

@usableFromInline
func compareBytes(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Int {
    let shared = min(a.count, b.count)
    if shared > 0 {
        let order = memcmp(a.baseAddress!, b.baseAddress!, shared)
        if order != 0 { return Int(order) }
    }
    return a.count - b.count
}

/// Keys of a window and a value for each. What each record goes through is inlinable, so that it is made for the type of value.
public final class KeyTable<Value> {
    @usableFromInline struct Entry {
        @usableFromInline var offset: UInt32
        @usableFromInline var length: UInt32
        @usableFromInline var hash: UInt32
        @usableFromInline var value: Value

        @inlinable init(offset: UInt32, length: UInt32, hash: UInt32, value: Value) {
            self.offset = offset
            self.length = length
            self.hash = hash
            self.value = value
        }
    }

    /// Keys outside are not taken; its upper end comes down when the table is full.
    public private(set) var range: KeySpan
    @usableFromInline var entries: ContiguousArray<Entry> = []
    /// Number of the entry + 1; 0: free. A power of two of them.
    @usableFromInline var slots = ContiguousArray<UInt32>(repeating: 0, count: 1024)
    @usableFromInline var keys = ByteSink(capacity: 64 << 10)
    @usableFromInline let keysMax: Int
    @usableFromInline let bytesMax: Int

    public init(_ range: KeySpan = KeySpan(), keysMax: Int = ArchiveLimits.keysPerPass, bytesMax: Int = ArchiveLimits.keyBytesPerPass) {
        precondition(keysMax >= 2 && bytesMax < Int(UInt32.max) / 2)
        self.range = range
        self.keysMax = keysMax
        self.bytesMax = bytesMax
    }

    public var count: Int { entries.count }

    @inlinable func key(_ entry: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: keys.base + Int(entries[entry].offset), count: Int(entries[entry].length))
    }

    /// Changes the value of a key, which is made first where there is none. Does nothing for a key outside of the window.
    ///
    /// - Returns: false if the key is outside.
    @discardableResult @inlinable
    public func update(_ key: UnsafeRawBufferPointer, initial: @autoclosure () -> Value, _ change: (inout Value) -> Void) -> Bool {
        guard range.contains(key) else { return false }
        let hash = KeyTable.hash(key)
        if let found = find(key, hash) {
            change(&entries[found].value)
            return true
        }
        if entries.count >= keysMax || keys.count + key.count > bytesMax, entries.count >= 2 {
            shrink()
            guard range.contains(key) else { return false }
        }
        insert(key, hash, initial())
        change(&entries[entries.count - 1].value)
        return true
    }

    public func value(_ key: UnsafeRawBufferPointer) -> Value? { find(key, KeyTable.hash(key)).map { entries[$0].value } }

    /// Visits keys in byte order; views are valid during the call.
    public func forEachSorted(_ body: (UnsafeRawBufferPointer, Value) throws -> Void) rethrows {
        for index in sorted() { try body(key(index), entries[index].value) }
    }

    /// Numbers of the entries in the order of their keys.
    func sorted() -> [Int] {
        Array(0..<entries.count).sorted { compareBytes(key($0), key($1)) < 0 }
    }

    func element(_ index: Int) -> (key: UnsafeRawBufferPointer, value: Value) { (key(index), entries[index].value) }

    /// Takes back keys at and above a bound.
    func cut(at high: [UInt8]) {
        guard range.high.map({ high.lexicographicallyPrecedes($0) }) ?? true else { return }
        keep { key in high.withUnsafeBytes { compareBytes(key, $0) < 0 } }
        range.high = high
    }

    // MARK: Inside

    @inlinable func find(_ key: UnsafeRawBufferPointer, _ hash: UInt32) -> Int? {
        let mask = slots.count - 1
        var slot = Int(hash) & mask
        while slots[slot] != 0 {
            let index = Int(slots[slot]) - 1
            if entries[index].hash == hash, compareBytes(self.key(index), key) == 0 { return index }
            slot = (slot + 1) & mask
        }
        return nil
    }

    @inlinable func insert(_ key: UnsafeRawBufferPointer, _ hash: UInt32, _ value: Value) {
        entries.append(Entry(offset: UInt32(keys.count), length: UInt32(key.count), hash: hash, value: value))
        keys.append(key)
        if entries.count * 2 > slots.count { rehash(slots.count * 2) } else { place(entries.count - 1) }
    }

    @inlinable func place(_ index: Int) {
        let mask = slots.count - 1
        var slot = Int(entries[index].hash) & mask
        while slots[slot] != 0 { slot = (slot + 1) & mask }
        slots[slot] = UInt32(index + 1)
    }

    @inlinable func rehash(_ count: Int) {
        slots = ContiguousArray(repeating: 0, count: count)
        for index in entries.indices { place(index) }
    }

    /// Gives the upper half of the keys back.
    @usableFromInline func shrink() {
        let order = sorted()
        cut(at: [UInt8](key(order[order.count / 2])))
    }

    private func keep(_ isKept: (UnsafeRawBufferPointer) -> Bool) {
        let old = keys
        keys = ByteSink(capacity: max(old.count / 2, 64 << 10))
        var kept = 0
        for index in entries.indices {
            var entry = entries[index]
            let key = UnsafeRawBufferPointer(start: old.base + Int(entry.offset), count: Int(entry.length))
            guard isKept(key) else { continue }
            entry.offset = UInt32(keys.count)
            keys.append(key)
            entries[kept] = entry
            kept += 1
        }
        entries.removeLast(entries.count - kept)
        rehash(slots.count)
    }

    /// Eight bytes at a time; only the spread matters, for equality is checked.
    @inlinable
    static func hash(_ key: UnsafeRawBufferPointer) -> UInt32 {
        var state: UInt64 = 0x9e37_79b9_7f4a_7c15 ^ UInt64(truncatingIfNeeded: key.count)
        var at = 0
        while at + 8 <= key.count {
            state = mix(state ^ key.loadUnaligned(fromByteOffset: at, as: UInt64.self))
            at += 8
        }
        var rest: UInt64 = 0
        while at < key.count {
            rest = rest << 8 | UInt64(key[at])
            at += 1
        }
        state = mix(state ^ rest)
        return UInt32(truncatingIfNeeded: state >> 32)
    }

    @inlinable
    static func mix(_ value: UInt64) -> UInt64 {
        let product = value.multipliedFullWidth(by: 0xd6e8_feb8_6659_fd93)
        return product.high ^ product.low
    }
}
