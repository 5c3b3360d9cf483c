// Every bound of the watch hub in one place.

public enum WatchLimits {
    /// Bytes that may wait in one stream before its watchers fall back to catch-up. Not below the transport's
    /// low watermark, or the stream would wait for a wake-up that never comes.
    public static let streamQueueBytesMax = 1 << 20
    /// The same when very many streams are open; see `allStreamsQueueBytes`.
    public static let streamQueueBytesMin = 64 << 10
    /// Bytes that may wait in all streams together, as long as each has its minimum.
    public static let allStreamsQueueBytes = 512 << 20
    /// Versions walked under one hold of the store's lock for live delivery (whole revisions: the last one may
    /// be larger).
    static let liveVersionsPerBatch = 256
    /// Batches of live delivery in one call of the event loop; what is left is the hub's next slice.
    static let liveBatchesPerTurn = 4
    /// Versions walked in one slice of catch-up. A response holds as many revisions at most, and 1000 is what
    /// clients of etcd are used to.
    static let catchUpVersionsPerSlice = 1000
    /// Watchers that share one slice of catch-up.
    static let catchUpWatchersPerSlice = 512
    /// Event bytes, counted once for each receiver, after which a batch ends (with the revision in hand).
    static let batchBytes = 1 << 20
    /// Groups up to this size are matched one by one instead of through an index.
    static let linearGroup = 4
    /// Events from this size on are shared by reference between responses, smaller ones are copied.
    static let sharedBytesMin = 4 << 10
    /// A single response beyond this cannot be framed for gRPC clients: its stream ends with an error.
    static let responseBytesMax = Int(Int32.max)
    /// Scratch memory kept between batches; larger ones give it back.
    static let scratchBytesKept = 4 << 20
    /// Batch entries (events, matches) kept between batches.
    static let scratchEntriesKept = 64 << 10
    /// Wait after the store could not be read before catch-up tries again.
    static let readRetryNanoseconds: UInt64 = 100_000_000
    /// Watchers looked at when streams that are behind are told of; what else is behind then counts as caught up.
    static let backlogWatchersLooked = 16_384
    /// Watchers of one stream; beyond, a creation is refused: bounds the memory that one client can take.
    public static let watchersPerStreamMax = 1_000_000
}
