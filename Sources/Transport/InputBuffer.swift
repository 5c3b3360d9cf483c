// Bytes of a stream that do not make a whole message yet, or that wait because the stream is paused.

#if canImport(Glibc)
import Glibc
#endif

/// A plain growable buffer inside a call's slot; empty most of the time, and then without memory.
struct InputBuffer {
    private(set) var base: UnsafeMutableRawPointer?
    private(set) var count = 0
    private(set) var capacity = 0

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

    /// Appends; grows to `expected` at once when the first bytes have told how long the message is and a good
    /// part of it is here, otherwise by doubling: a peer that only announces a long message gets no memory.
    mutating func append(_ bytes: UnsafeRawBufferPointer, expected: Int) {
        guard bytes.count > 0 else { return }
        let needed = count + bytes.count
        if needed > capacity {
            let doubled = max(needed, 2 * capacity, 256)
            capacity = needed <= expected && expected < 2 * doubled ? max(expected, needed) : doubled
            base = realloc(base, capacity).unsafelyUnwrapped
        }
        memcpy(base.unsafelyUnwrapped + count, bytes.baseAddress.unsafelyUnwrapped, bytes.count)
        count = needed
    }

    mutating func removeFirst(_ length: Int) {
        precondition(length <= count)
        count -= length
        if count == 0 { release() } else { memmove(base.unsafelyUnwrapped, base.unsafelyUnwrapped + length, count) }
    }

    mutating func release() {
        free(base)
        base = nil
        count = 0
        capacity = 0
    }
}
