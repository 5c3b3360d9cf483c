// Hashing of keys for tables in memory.

/// A seeded hash by folded multiplication, a few nanoseconds for a key. Keys come from clients, who must not be able
/// to prepare collisions: the seed is random for each process.
@inline(__always)
func hashKey(_ key: UnsafeRawBufferPointer, seed: UInt64) -> UInt64 {
    var state = seed ^ UInt64(truncatingIfNeeded: key.count)
    var offset = 0
    while key.count - offset > 8 {
        state = foldedProduct(state ^ key.loadUnaligned(fromByteOffset: offset, as: UInt64.self), 0x9E37_79B9_7F4A_7C15)
        offset += 8
    }
    var tail: UInt64 = 0
    while offset < key.count {
        tail = tail << 8 | UInt64(key[offset])
        offset += 1
    }
    state = foldedProduct(state ^ tail, 0xD6E8_FEB8_6659_FD93)
    return foldedProduct(state, seed | 1)
}

@inline(__always)
private func foldedProduct(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let (high, low) = a.multipliedFullWidth(by: b)
    return high ^ low
}
