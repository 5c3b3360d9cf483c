// The `etcd_disk_*` and `etcd_snap_*` families: what the disk does.

/// Series of the write-ahead log.
public struct WALMetrics: Sendable {
    /// Time of every fsync of the log: sync, cut, repair, creation.
    public let fsyncDuration: Histogram
    /// Time of every write of records to the log file.
    public let writeDuration: Histogram
    /// Bytes of records written: length fields and padded bodies. A gauge by its type, though it only grows.
    public let writtenBytes: Gauge

    public init(_ registry: Registry) {
        fsyncDuration = registry.histogram(
            "etcd_disk_wal_fsync_duration_seconds", help: "Time of an fsync of the write-ahead log, in seconds.",
            buckets: .milliseconds14)
        writeDuration = registry.histogram(
            "etcd_disk_wal_write_duration_seconds", help: "Time of a write to the write-ahead log, in seconds.",
            buckets: .milliseconds14)
        writtenBytes = registry.gauge(
            "etcd_disk_wal_write_bytes_total", help: "Bytes written to the write-ahead log.")
    }
}

/// Series of the store's files.
public struct BackendMetrics: Sendable {
    /// Time of one commit of the store: writing a batch and making it durable.
    public let commitDuration: Histogram
    /// Of it, the time to write; observed per commit.
    public let commitWriteDuration: Histogram
    /// Of it, the time to spill pages; nothing to spill in a log, so 0 is observed per commit.
    public let commitSpillDuration: Histogram
    /// Of it, the time to rebalance pages; as above.
    public let commitRebalanceDuration: Histogram
    /// Time of each defragmentation.
    public let defragmentDuration: Histogram
    /// 1 while a defragmentation runs.
    public let defragmentsInFlight: Gauge
    /// How long each backend snapshot stayed open; observed when it closes.
    public let snapshotDuration: Histogram

    public init(_ registry: Registry) {
        commitDuration = registry.histogram(
            "etcd_disk_backend_commit_duration_seconds", help: "Time of a commit of the store, in seconds.",
            buckets: .milliseconds14)
        commitWriteDuration = registry.histogram(
            "etcd_debugging_disk_backend_commit_write_duration_seconds",
            help: "Time of the write phase of a commit, in seconds.", buckets: .milliseconds14)
        commitSpillDuration = registry.histogram(
            "etcd_debugging_disk_backend_commit_spill_duration_seconds",
            help: "Time of the spill phase of a commit, in seconds.", buckets: .milliseconds14)
        commitRebalanceDuration = registry.histogram(
            "etcd_debugging_disk_backend_commit_rebalance_duration_seconds",
            help: "Time of the rebalance phase of a commit, in seconds.", buckets: .milliseconds14)
        defragmentDuration = registry.histogram(
            "etcd_disk_backend_defrag_duration_seconds", help: "Time of a defragmentation, in seconds.",
            buckets: .tenths13)
        defragmentsInFlight = registry.gauge(
            "etcd_disk_defrag_inflight", help: "Whether a defragmentation runs: 1 yes, 0 no.")
        snapshotDuration = registry.histogram(
            "etcd_disk_backend_snapshot_duration_seconds", help: "Time a backend snapshot was open, in seconds.",
            buckets: .hundredths17)
    }
}

/// Series of Raft snapshot files (`.snap`).
public struct SnapshotFileMetrics: Sendable {
    /// Time to encode a snapshot file; observed per save.
    public let marshalDuration: Histogram
    /// Time of the whole save; observed per save.
    public let saveDuration: Histogram
    /// Time of its fsync; observed per save.
    public let fsyncDuration: Histogram

    public init(_ registry: Registry) {
        marshalDuration = registry.histogram(
            "etcd_debugging_snap_save_marshalling_duration_seconds", help: "Time to encode a snapshot, in seconds.",
            buckets: .milliseconds14)
        saveDuration = registry.histogram(
            "etcd_debugging_snap_save_total_duration_seconds", help: "Time to save a snapshot, in seconds.",
            buckets: .milliseconds14)
        fsyncDuration = registry.histogram(
            "etcd_snap_fsync_duration_seconds", help: "Time of an fsync of a snapshot, in seconds.",
            buckets: .milliseconds14)
    }
}

/// Series of databases received from a leader (`.snap.db`).
public struct ReceivedDatabaseMetrics: Sendable {
    /// Time of the fsync of a received database.
    public let fsyncDuration: Histogram
    /// Time to store a received database.
    public let saveDuration: Histogram
    /// 1 while a received snapshot is being applied.
    public let appliesInProgress: Gauge

    public init(_ registry: Registry) {
        fsyncDuration = registry.histogram(
            "etcd_snap_db_fsync_duration_seconds", help: "Time of an fsync of a received database, in seconds.",
            buckets: .milliseconds14)
        saveDuration = registry.histogram(
            "etcd_snap_db_save_total_duration_seconds", help: "Time to store a received database, in seconds.",
            buckets: .tenths10)
        appliesInProgress = registry.gauge(
            "etcd_server_snapshot_apply_in_progress_total",
            help: "Whether a received snapshot is being applied: 1 yes, 0 no.")
    }
}
