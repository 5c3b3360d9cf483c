// Progress: "you have seen everything up to this revision", on request and by timer. Both are true because
// they go through the same queue as the events, after all events up to that revision.

import Wire

extension WatchHub {
    /// WatchProgressRequest: answered for the whole stream if all of its watchers are synced and none starts in
    /// the future; otherwise there is no answer and the client asks again.
    public func progress(_ stream: WatchStream) {
        guard !stream.isClosed, stream.watcherCount > 0 else { return }
        // What is published already counts, so that a consistent read need not ask twice.
        published(through: source.currentRevision)
        guard !stream.isClosed, stream.isSynced, !startsInFuture(stream), !isFull(stream) else { return }
        send(stream, revision: revision) { WatchResponseEncoding.progress($0, watchID: WatchResponseEncoding.noWatch) }
    }

    private func startsInFuture(_ stream: WatchStream) -> Bool {
        guard stream.highestStart > revision else { return false }
        var highest: Int64 = 0
        for watcher in stream.watchers.values { highest = max(highest, table[watcher].pointee.start) }
        stream.highestStart = highest
        return highest > revision
    }

    // MARK: The timer

    /// Time passes: progress notifications that are due, and catch-up that waited for the disk.
    ///
    /// - Parameter now: monotonic nanoseconds.
    public func tick(now: UInt64) {
        lastTick = max(lastTick, now)
        guard let due = progressTimers.first?.deadline, due <= now else { return }
        published(through: source.currentRevision)
        while let timer = progressTimers.first, timer.deadline <= now {
            guard let stream = streams[Int(timer.slot)] else { preconditionFailure("a timer without a stream") }
            stream.progressDeadline = nextDeadline(stream, after: now)
            progressTimers.set(timer.slot, deadline: stream.progressDeadline)
            notify(stream)
        }
    }

    /// When `tick` has the next progress notification to send; `.max`: never.
    public var nextTimer: UInt64 { progressTimers.first?.deadline ?? .max }

    func startProgressTimer(_ stream: WatchStream) {
        stream.progressDeadline = nextDeadline(stream, after: lastTick)
        progressTimers.set(stream.slot, deadline: stream.progressDeadline)
    }

    /// The stream's timer beats since the stream was opened, whether or not somebody listens.
    private func nextDeadline(_ stream: WatchStream, after now: UInt64) -> UInt64 {
        guard stream.progressDeadline <= now else { return stream.progressDeadline }
        let interval = max(configuration.progressIntervalNanoseconds, 1)
        let missed = (now - stream.progressDeadline) / interval
        return stream.progressDeadline + (missed + 1) * interval
    }

    /// One beat: each watcher that wants it and had no event since the last one is told. Then all are armed.
    private func notify(_ stream: WatchStream) {
        let isFull = isFull(stream)
        for (id, watcher) in stream.watchers {
            let entry = table[watcher]
            guard entry.pointee.flags.contains(.progressNotify) else { continue }
            if entry.pointee.flags.contains(.idle), entry.pointee.state == .synced, entry.pointee.start <= revision, !isFull {
                send(stream, revision: revision) { WatchResponseEncoding.progress($0, watchID: id) }
                // The output may have ended the stream.
                guard !stream.isClosed else { return }
            }
            entry.pointee.flags.insert(.idle)
        }
    }
}
