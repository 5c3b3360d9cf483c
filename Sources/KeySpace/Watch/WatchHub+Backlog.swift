// Which streams are behind, for those who watch the watchers. Walks what is behind, some thousands of watchers at most; to be
// called about once a second.

/// A stream with something outstanding.
public struct StreamBacklog {
    public let output: any WatchOutput
    public let watchers: Int
    public let watchersBehind: Int
    /// The first revision that one of its watchers has not been sent; above the published one if all have.
    public let next: Int64
    public let queuedBytes: Int
}

extension WatchHub {
    /// The streams that are furthest behind, the furthest first, and how many have watchers behind.
    public func backlogs(most: Int) -> (streamsBehind: Int, slowest: [StreamBacklog]) {
        var found: [StreamBacklog] = []
        var streamsBehind = 0
        var left = WatchLimits.backlogWatchersLooked
        let caughtUp = source.currentRevision + 1
        for stream in streams {
            guard let stream, !stream.isClosed else { continue }
            let queued = stream.output.queuedBytes
            if stream.behindCount > 0 { streamsBehind += 1 }
            guard stream.behindCount > 0 || queued > 0 || revision < target else { continue }
            var next = stream.watchers.count > stream.behindCount ? min(revision + 1, caughtUp) : caughtUp
            var watcher = stream.firstBehind
            while watcher != .noWatcher, left > 0 {
                next = min(next, table[watcher].pointee.next)
                watcher = table[watcher].pointee.nextInList
                left -= 1
            }
            guard next < caughtUp || queued > 0 else { continue }
            found.append(
                StreamBacklog(
                    output: stream.output, watchers: stream.watcherCount, watchersBehind: stream.behindCount, next: next,
                    queuedBytes: queued))
        }
        found.sort { ($0.next, $1.queuedBytes) < ($1.next, $0.queuedBytes) }
        return (streamsBehind, Array(found.prefix(most)))
    }
}
