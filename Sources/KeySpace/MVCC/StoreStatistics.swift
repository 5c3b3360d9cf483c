// Numbers for metrics.

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
}

extension MVCCStore {
    public var statistics: StoreStatistics {
        exclusively {
            StoreStatistics(
                keys: table.index.count, liveKeys: table.index.liveCount, versions: table.order.count,
                deadVersions: table.order.deadCount, pins: pins.count, pendingCompactions: compaction.queue.count,
                finishedCompaction: compaction.finished)
        }
    }
}
