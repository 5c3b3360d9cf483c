// A key of the store: one block of memory with a small header and the key's bytes behind it.

#if canImport(Glibc)
import Glibc
#endif

/// A handle on a key that is present in the index.
///
/// Its address is stable while the key has a version that is not purged, so leases attach to keys by it. The
/// memory belongs to `KeyIndex`; the handle is used by whoever holds the store's lock.
public struct KeyEntry: Hashable, @unchecked Sendable {
    // Unchecked: an address; what is behind it is guarded by the store's lock.
    @usableFromInline let base: UnsafeMutableRawPointer

    static let headerSize = 14
    /// No version: the key is about to get its first one.
    static let noVersion = UInt32.max

    init(copying key: UnsafeRawBufferPointer) {
        precondition(key.count > 0 && key.count <= Int(UInt32.max), "a key of \(key.count) bytes")
        guard let block = malloc(KeyEntry.headerSize + key.count) else { fatalError("out of memory: a key of \(key.count) bytes") }
        base = block
        newest = KeyEntry.noVersion
        ordinal = 0
        resource = .other
        base.storeBytes(of: UInt32(key.count), toByteOffset: 8, as: UInt32.self)
        memcpy(base + KeyEntry.headerSize, key.baseAddress!, key.count)
    }

    func deallocate() { free(base) }

    /// Slab slot of the key's newest version.
    var newest: UInt32 {
        @inline(__always) get { base.load(as: UInt32.self) }
        nonmutating set { base.storeBytes(of: newValue, as: UInt32.self) }
    }

    /// The key's place in the checkpoint that is being written; meaningless at other times.
    var ordinal: UInt32 {
        get { base.load(fromByteOffset: 4, as: UInt32.self) }
        nonmutating set { base.storeBytes(of: newValue, toByteOffset: 4, as: UInt32.self) }
    }

    /// Whose key it is, for accounts.
    var resource: ResourceID {
        @inline(__always) get { ResourceID(rawValue: base.loadUnaligned(fromByteOffset: 12, as: UInt16.self)) }
        nonmutating set { base.storeBytes(of: newValue.rawValue, toByteOffset: 12, as: UInt16.self) }
    }

    @inline(__always)
    var length: Int { Int(base.load(fromByteOffset: 8, as: UInt32.self)) }

    /// The key's bytes, valid while the key is present.
    @inline(__always)
    public var bytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: base + KeyEntry.headerSize, count: length)
    }
}

/// Three-way comparison in byte order; a prefix sorts before what it is a prefix of.
@inline(__always)
func compareKeys(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Int {
    let shared = min(a.count, b.count)
    if shared > 0 {
        let order = memcmp(a.baseAddress!, b.baseAddress!, shared)
        if order != 0 { return Int(order) }
    }
    return a.count - b.count
}

/// Length of the longest prefix that both begin with, at most `limit`.
func commonPrefixLength(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer, limit: Int = .max) -> Int {
    let end = min(a.count, b.count, limit)
    var length = 0
    while length < end, a[length] == b[length] { length += 1 }
    return length
}

/// The eight bytes of `key` from `offset`, as a number that orders as the bytes do; missing bytes are zero,
/// so equal heads decide nothing.
@inline(__always)
func keyHead(_ key: UnsafeRawBufferPointer, from offset: Int) -> UInt64 {
    let available = key.count - offset
    if available >= 8 { return UInt64(bigEndian: key.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) }
    if available <= 0 { return 0 }
    var head: UInt64 = 0
    for index in 0..<available { head |= UInt64(key[offset + index]) << UInt64(56 - 8 * index) }
    return head
}
