// Figures for metrics, and the hub's own check of itself.

import Wire

/// What a hub is busy with.
public struct WatchStatistics: Sendable, Equatable {
    public var streams = 0
    public var watchers = 0
    /// Watchers that are not synced: behind, or cancelled by compaction and not yet taken away.
    public var slowWatchers = 0
    /// Revisions that are published and not yet delivered.
    public var pendingRevisions: Int64 = 0
    public var eventsSent: UInt64 = 0
    public var responsesSent: UInt64 = 0

    public init() {}

    /// Sums several hubs.
    public static func + (a: WatchStatistics, b: WatchStatistics) -> WatchStatistics {
        var sum = a
        sum.streams += b.streams
        sum.watchers += b.watchers
        sum.slowWatchers += b.slowWatchers
        sum.pendingRevisions += b.pendingRevisions
        sum.eventsSent += b.eventsSent
        sum.responsesSent += b.responsesSent
        return sum
    }
}

extension WatchHub {
    public var statistics: WatchStatistics {
        var statistics = WatchStatistics()
        statistics.streams = streamCount
        statistics.watchers = table.count
        statistics.slowWatchers = behindCount + compactedCount
        statistics.pendingRevisions = target - revision
        statistics.eventsSent = eventsSent
        statistics.responsesSent = responsesSent
        return statistics
    }

    /// Walks everything and stops the program at a broken promise. For tests.
    public func checkInvariants() {
        precondition(!isDelivering && closedWhileDelivering.isEmpty && batch.isEmpty && group.isEmpty && groupIndex.isEmpty)
        precondition(revision <= target)
        precondition((pinned == nil) == index.isEmpty, "the pin is \(String(describing: pinned)) with \(index.count) synced watchers")
        if let pinned { precondition(pinned <= revision) }
        var totals = (streams: 0, watchers: 0, synced: 0, behind: 0, compacted: 0)
        for stream in streams {
            guard let stream else { continue }
            totals.streams += 1
            var behind = 0
            var compacted = 0
            var notified = 0
            var highestStart: Int64 = 0
            for (id, index) in stream.watchers {
                let watcher = table[index].pointee
                precondition(watcher.id == id && watcher.stream.toOpaque() == Unmanaged.passUnretained(stream).toOpaque())
                precondition(watcher.firstMatch == DeliveryBatch.end && !watcher.flags.contains(.isStopped))
                totals.watchers += 1
                highestStart = max(highestStart, watcher.start)
                if watcher.flags.contains(.progressNotify) { notified += 1 }
                switch watcher.state {
                case .synced:
                    totals.synced += 1
                case .behind:
                    behind += 1
                case .compacted: compacted += 1
                }
            }
            var listed = 0
            var previous = WatcherIndex.noWatcher
            var index = stream.firstBehind
            while index != .noWatcher {
                listed += 1
                precondition(table[index].pointee.state == .behind && table[index].pointee.previousInList == previous)
                previous = index
                index = table[index].pointee.nextInList
            }
            precondition(stream.lastBehind == previous && listed == behind && behind == stream.behindCount)
            precondition(compacted == stream.compactedCount && notified == stream.notifyCount && highestStart <= stream.highestStart)
            precondition(behind == 0 || stream.isQueued || stream.isBlocked, "a stream with watchers behind waits for nothing")
            precondition((notified > 0) == (progressTimers.deadline(of: stream.slot) != nil))
            totals.behind += behind
            totals.compacted += compacted
        }
        precondition(totals.streams == streamCount && totals.watchers == table.count)
        precondition(totals.synced == index.count && totals.behind == behindCount && totals.compacted == compactedCount)
        precondition(index.checkInvariants(table) == totals.synced)
        progressTimers.checkInvariants()
    }
}
