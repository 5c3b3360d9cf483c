// The `etcd_mvcc_*` and `etcd_debugging_mvcc_*` families of the key space.

/// Series of reads and writes of the key space.
public struct MVCCMetrics: Sendable {
    /// Moved at the end of each write transaction by its number of puts.
    public let puts: Counter
    /// Moved at the end of each write transaction by its number of DeleteRange operations (not keys).
    public let deletes: Counter
    /// Moved at the end of each transaction by its number of ranges.
    public let ranges: Counter
    /// Moved by each transaction of more than one operation.
    public let transactions: Counter
    /// Bytes of keys and values put; moved at the end of each write transaction.
    public let putBytes: Gauge
    /// Keys alive: +1 for a new or re-created key, -1 for a tombstone.
    public let keys: Gauge
    /// Time of each hash over the whole store (Hash).
    public let hashDuration: Histogram
    /// Time of each hash up to a revision (HashKV).
    public let hashByRevisionDuration: Histogram

    public init(_ registry: Registry) {
        puts = registry.counter("etcd_mvcc_put_total", help: "Puts carried out by this member.")
        deletes = registry.counter("etcd_mvcc_delete_total", help: "Deletes carried out by this member.")
        ranges = registry.counter("etcd_mvcc_range_total", help: "Ranges carried out by this member.")
        transactions = registry.counter("etcd_mvcc_txn_total", help: "Transactions of several operations.")
        putBytes = registry.gauge(
            "etcd_debugging_mvcc_total_put_size_in_bytes", help: "Bytes of keys and values put on this member.")
        keys = registry.gauge("etcd_debugging_mvcc_keys_total", help: "Keys alive.")
        hashDuration = registry.histogram(
            "etcd_mvcc_hash_duration_seconds", help: "Time to hash the whole store, in seconds.",
            buckets: .hundredths15)
        hashByRevisionDuration = registry.histogram(
            "etcd_mvcc_hash_rev_duration_seconds", help: "Time to hash the store up to a revision, in seconds.",
            buckets: .hundredths15)
    }
}

/// What is read from the store at a scrape.
public struct StoreLevels: Sendable {
    public var allocatedBytes: Int64
    public var usedBytes: Int64
    public var openReadTransactions: Int64
    public var currentRevision: Int64
    public var compactRevision: Int64

    public init(
        allocatedBytes: Int64, usedBytes: Int64, openReadTransactions: Int64, currentRevision: Int64,
        compactRevision: Int64
    ) {
        self.allocatedBytes = allocatedBytes
        self.usedBytes = usedBytes
        self.openReadTransactions = openReadTransactions
        self.currentRevision = currentRevision
        self.compactRevision = compactRevision
    }
}

/// Gauges of the store's levels, read together once per scrape.
public struct StoreLevelMetrics: Sendable {
    public init(_ registry: Registry, read: @escaping @Sendable () -> StoreLevels) {
        let allocated = registry.gauge(
            "etcd_mvcc_db_total_size_in_bytes", help: "Bytes the store takes on disk.")
        let used = registry.gauge(
            "etcd_mvcc_db_total_size_in_use_in_bytes", help: "Bytes of the store that are in use.")
        let readers = registry.gauge(
            "etcd_mvcc_db_open_read_transactions", help: "Read transactions open on the store.")
        let current = registry.gauge(
            "etcd_debugging_mvcc_current_revision", help: "The current revision of the store.")
        let compacted = registry.gauge(
            "etcd_debugging_mvcc_compact_revision", help: "The revision last compacted.")
        registry.beforeScrape {
            let levels = read()
            allocated.set(levels.allocatedBytes)
            used.set(levels.usedBytes)
            readers.set(levels.openReadTransactions)
            current.set(levels.currentRevision)
            compacted.set(levels.compactRevision)
        }
    }
}

/// Series of compaction.
public struct CompactionMetrics: Sendable {
    /// Versions removed; moved at the end of each compaction.
    public let keysRemoved: Counter
    /// Unix second in which the last compaction ended; 0 until then.
    public let lastEnd: Gauge
    /// Time one slice of a compaction held the store (whole milliseconds); observed per slice.
    public let pauseDuration: Histogram
    /// Time of a whole compaction (whole milliseconds); observed at its end.
    public let totalDuration: Histogram
    /// Time to compact the index (whole milliseconds); observed per compaction.
    public let indexPauseDuration: Histogram

    public init(_ registry: Registry) {
        keysRemoved = registry.counter(
            "etcd_debugging_mvcc_db_compaction_keys_total", help: "Versions removed by compaction.")
        lastEnd = registry.gauge(
            "etcd_debugging_mvcc_db_compaction_last", help: "Unix time at which the last compaction ended.")
        pauseDuration = registry.histogram(
            "etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds",
            help: "Time one slice of a compaction held the store, in milliseconds.",
            buckets: .exponential(start: 1, count: 13), unit: .milliseconds)
        totalDuration = registry.histogram(
            "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds",
            help: "Time of a whole compaction, in milliseconds.",
            buckets: .exponential(start: 100, count: 14), unit: .milliseconds)
        indexPauseDuration = registry.histogram(
            "etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds",
            help: "Time to compact the index, in milliseconds.",
            buckets: .exponential(start: 0.5, count: 14), unit: .milliseconds)
    }
}
