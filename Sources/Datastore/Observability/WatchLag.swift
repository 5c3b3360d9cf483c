// How far watch streams are behind, in revisions and in seconds: looked at once a second on each event loop, never while
// events are delivered.

import DatastoreMetrics
import KeySpace
import Synchronization

/// A stream that has something outstanding.
struct SlowStream: Sendable {
    var address: String
    var agent: String
    var watchers: Int
    var watchersBehind: Int
    /// Published revisions that the furthest of its watchers has not got.
    var revisions: Int64
    /// Since when these are published; a lower bound when that is longer ago than is remembered.
    var seconds: Double
    var queuedBytes: Int
}

/// What one event loop has found at its last look. Any thread.
final class WatchLag: Sendable {
    struct Levels: Sendable {
        var streams = 0
        var behind = 0
        var revisions: Int64 = 0
        var seconds: Double = 0
        var slowest: [SlowStream] = []
    }

    private let found = Mutex(Levels())
    var levels: Levels { found.withLock { $0 } }
    func publish(_ levels: Levels) { found.withLock { $0 = levels } }

    static func wire(_ loops: [WatchLag], _ registry: Registry) {
        let revisions = registry.gauge(
            "martlet_watch_lag_revisions", help: "Published revisions that the slowest watch stream has not been sent.")
        let behind = registry.gauge("martlet_watch_streams_behind", help: "Watch streams that are not caught up.")
        registry.callback("martlet_watch_lag_seconds", help: "Age of what the slowest watch stream has not been sent, in seconds.") {
            loops.reduce(0) { max($0, $1.levels.seconds) }
        }
        registry.beforeScrape {
            let levels = loops.map(\.levels)
            revisions.set(levels.reduce(Int64(0)) { max($0, $1.revisions) })
            behind.set(levels.reduce(0) { $0 + $1.behind })
        }
    }
}

/// When which revision was published, for the last hour.
struct RevisionClock {
    private static let capacity = 3600
    private var samples: [(revision: Int64, time: UInt64)] = []
    private var head = 0

    /// Called once a second.
    mutating func note(_ revision: Int64, at time: UInt64) {
        if let last = newest, last.revision >= revision { return }
        if samples.count < Self.capacity {
            samples.append((revision, time))
        } else {
            samples[head] = (revision, time)
            head = (head + 1) % Self.capacity
        }
    }

    private var newest: (revision: Int64, time: UInt64)? {
        samples.isEmpty ? nil : at(samples.count - 1)
    }

    private func at(_ position: Int) -> (revision: Int64, time: UInt64) { samples[(head + position) % samples.count] }

    /// When a revision was seen to be published, to the second; that of the oldest remembered for those before.
    func time(of revision: Int64, now: UInt64) -> UInt64 {
        var low = 0
        var high = samples.count
        while low < high {
            let middle = (low + high) / 2
            if at(middle).revision < revision { low = middle + 1 } else { high = middle }
        }
        return low < samples.count ? at(low).time : now
    }
}
