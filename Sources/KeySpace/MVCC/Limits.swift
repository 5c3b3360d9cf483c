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
    /// The same where the kernel puts each record in its place.
    static let scatteredReadBytes = 256 * 1024
    /// Records of this size on average are read straight into their places; smaller ones are copied there, because a
    /// place costs the kernel about as much as copying this much.
    static let scatteredRecordBytesMin = 512
    /// Versions visited by one slice of a purge or a squeeze (well below a millisecond).
    static let versionsPerSlice = 256
    /// Bytes of records in one slice of a walk over all of them, but for the last record of the slice.
    static let walkSliceBytes = 256 * 1024
    /// Versions visited by one slice at most where an operator has chosen how many.
    static let versionsPerSliceMax = 65_536
    /// One frame of a store that is made of etcd's database.
    static let importedRecordsPerFrame = 1000
    static let importedBytesPerFrame = 4 << 20
    /// Such a store is synced each time this much was written.
    static let importSyncBytes = 64 << 20
    /// Dead versions that may wait for a squeeze, beside a quarter of all.
    static let deadVersionsKept = 4096
    /// Memory that a cursor keeps for values that came in pieces.
    static let stagedBytesKept = 64 * 1024
    /// Memory that an event batch keeps for keys.
    static let eventKeyBytesKept = 256 * 1024
    /// Hashes of past compactions that are remembered, as etcd does.
    static let rememberedHashes = 10
    /// About what a record and its share of a frame cost beside the payload.
    static let recordOverhead = 40
    /// A checkpoint is written when the log behind the last one is longer than this and than twice its size.
    static let checkpointTailBytes = 64 << 20
    /// Blocks of a checkpoint.
    static let checkpointBlockBytes = 256 * 1024
    /// Records that garbage collection looks up per hold of the lock.
    static let relocationsPerLockHold = 128
    /// Bytes of a segment that one slice of garbage collection passes.
    static let collectionSliceBytes = 256 * 1024
    /// Garbage that must have gathered before a collection, beside an eighth of the store.
    static let collectionMinimumBytes = 64 << 20
    /// The log is synced when this much is not, or after `syncInterval`.
    static let syncBytes = 16 << 20
    static let syncIntervalNanoseconds: UInt64 = 1_000_000_000
    /// How often garbage is weighed.
    static let collectionIntervalNanoseconds: UInt64 = 5_000_000_000
    /// After a full disk the work that failed is tried again this much later.
    static let retryNanoseconds: UInt64 = 5_000_000_000
    /// Pause between two slices, so that the lock and a processor are free for requests.
    static let slicePauseNanoseconds: UInt64 = 100_000
    /// The same between slices that move or write much.
    static let bulkPauseNanoseconds: UInt64 = 2_000_000
    /// How long the maintenance thread sleeps without work, and while readers hold back a purge.
    static let idleNanoseconds: UInt64 = 250_000_000
    static let blockedNanoseconds: UInt64 = 20_000_000
    /// The sealed log is read again in slices of this size, at this pace, to find what the disk has not kept.
    static let verificationSliceBytes = 256 * 1024
    static let verificationBytesPerSecond = 8 << 20
    static let verificationPauseNanoseconds = UInt64(verificationSliceBytes) * 1_000_000_000 / UInt64(verificationBytesPerSecond)
    /// One pass begins so long after the last one did, unless `--corrupt-check-time` says otherwise.
    static let verificationIntervalNanoseconds: UInt64 = 24 * 3600 * 1_000_000_000
    /// The first pass begins so long after the start, or the interval after it if that is shorter.
    static let verificationDelayNanoseconds: UInt64 = 600 * 1_000_000_000
}
