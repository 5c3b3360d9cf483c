// What the hub keeps of one Watch call.

/// Handle of a stream; its owner passes it back to the hub and does nothing else with it. Loop-confined.
public final class WatchStream {
    let output: any WatchOutput
    /// Index in the hub's table of streams.
    let slot: UInt32

    var watchers: [Int64: WatcherIndex] = [:]
    /// The next ID to assign; only grows.
    var nextID: Int64 = 0
    /// Watchers that need history, in the order in which they get their turns.
    var firstBehind: WatcherIndex = .noWatcher
    var lastBehind: WatcherIndex = .noWatcher
    var behindCount = 0
    /// Watchers cancelled by compaction whose ID is still taken.
    var compactedCount = 0
    /// Watchers with progress_notify.
    var notifyCount = 0
    /// At least the highest start revision of any watcher: up to here none can start in the future.
    var highestStart: Int64 = 0
    /// In the hub's queue of streams to catch up.
    var isQueued = false
    /// Has watchers behind and a full queue: waits for `writable`.
    var isBlocked = false
    public internal(set) var isClosed = false
    /// Tick of the progress timer, monotonic nanoseconds.
    var progressDeadline: UInt64 = .max

    init(output: any WatchOutput, slot: UInt32) {
        self.output = output
        self.slot = slot
    }

    /// Watchers of this stream.
    public var watcherCount: Int { watchers.count }
    /// Nothing of any watcher is outstanding.
    var isSynced: Bool { behindCount == 0 && compactedCount == 0 }
}
