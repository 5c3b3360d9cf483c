// Every bound of the revision log in one place.

enum RevisionLogLimits {
    /// What the pending buffer keeps allocated after a flush.
    static let pendingBytesKept = 1 << 20
    /// Space is reserved this far ahead of the writer, so that a full disk is met here, and rarely.
    static let preallocationStep: UInt64 = 16 << 20
    /// A frame's length is 32 bits.
    static let frameBytes = Int(UInt32.max)
    /// Buffer of a sequential scan; grows to the largest frame met.
    static let scanBuffer = 1 << 20
    /// A block of a checkpoint.
    static let checkpointBlockBytes = 64 << 20
    /// A checkpoint is synced piece by piece, so that its end does not flood the disk.
    static let checkpointSyncStep: UInt64 = 8 << 20
    static let manifestBytes = 16 << 20
    /// A reader without a lock tries so often to open what one manifest names.
    static let readerAttempts = 10
    /// What such a reader looks at of a checkpoint.
    static let checkpointHeadBytes = 64
    /// Records that a garbage collection handles between two calls of its owner.
    static let collectionBatch = 512
    /// Segment numbers: 2^12 chunks of 2^12; at 64 MiB each more than a petabyte of writes.
    static let segmentChunkShift = 12
    static let segmentChunks = 1 << 12
    /// Sealed segments much smaller than the rest that may lie about before they are joined.
    static let smallSegments = 8
    /// Size that an empty store reports, near what etcd's empty database has.
    static let baseSize = 20_480
}

/// Settings of a revision log.
public struct RevisionLogOptions: Sendable {
    /// A segment is sealed by the first frame that would start at or beyond this offset.
    public var segmentBytes: UInt64 = 64 << 20
    /// Reserve space ahead of the writer.
    public var preallocates = true
    /// Leave out every sync (tests and throw-away data only).
    public var skipsSync = false

    public init() {}
}
