// Numbers for metrics.

import Storage

/// A look at the store's memory.
public struct StoreStatistics: Sendable {
    /// Keys in the index, deleted ones that are not yet purged included.
    public var keys = 0
    public var liveKeys = 0
    public var versions = 0
    public var deadVersions = 0
    public var pins = 0
    public var pendingCompactions = 0
    public var finishedCompaction: Int64 = -1
    /// The last compaction asked for.
    public var scheduledCompaction: Int64 = -1
    /// Bytes of the log that hold nothing any more and are not given back yet.
    public var garbageBytes = 0
    public var segments = 0
    /// Bytes of the log that were read again and found right since the start.
    public var verifiedBytes = 0
    /// Segments of the log in which damage was found since the start.
    public var damagedSegments = 0
}

extension MVCCStore {
    /// Reads the whole log again and compares it with its checksums; for `--initial-corrupt-check`.
    public func verifyLog() throws(StorageError) { try log.verifyAll() }

    public var statistics: StoreStatistics {
        exclusively {
            StoreStatistics(
                keys: table.index.count, liveKeys: table.index.liveCount, versions: table.order.count,
                deadVersions: table.order.deadCount, pins: pins.count, pendingCompactions: compaction.queue.count,
                finishedCompaction: compaction.finished, scheduledCompaction: compaction.scheduled,
                garbageBytes: max(0, log.size - log.sizeInUse), segments: log.segmentStatistics.count, verifiedBytes: verifiedBytes.load(ordering: .relaxed),
                damagedSegments: damagedSegments.load(ordering: .relaxed))
        }
    }
}
