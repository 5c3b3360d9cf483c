// Every bound of the MVCC store in one place.


/// Bounds of the store's queues, batches and slices.
enum StoreLimits {
    /// Keys whose locations a reader collects in one hold of the lock; then it lets others in.
    static let keysPerLockHold = 512
    /// Slots that a range answer remembers from its length pass; a longer answer walks the index again to read.
    static let rememberedSlots = 16_384
    /// Records read with one call when they lie close together in a segment.
    static let joinedReadBytes = 96 * 1024
    /// Bytes between two records that are read along to save a call.
    static let joinedReadGap = 1024
    /// Versions visited by one slice of a purge or a squeeze (well below a millisecond).
    static let versionsPerSlice = 256
    /// Dead versions that may wait for a squeeze, beside a quarter of all.
    static let deadVersionsKept = 4096
    /// Memory that a cursor keeps for values that came in pieces.
    static let stagedBytesKept = 64 * 1024
    /// Memory that an event batch keeps for keys.
    static let eventKeyBytesKept = 256 * 1024
    /// Hashes of past compactions that are remembered, as etcd does.
    static let rememberedHashes = 10
}
