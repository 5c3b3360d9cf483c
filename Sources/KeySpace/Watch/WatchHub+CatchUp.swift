// Watchers that need history get it from the store in slices, several watchers in one walk, each stream at
// the pace at which its client reads.

import Storage
import Wire

extension WatchHub {
    // MARK: The list of those behind

    /// Puts a watcher that is in no index into its stream's list; `next` says what it needs.
    func fallBehind(_ watcher: WatcherIndex, _ stream: WatchStream) {
        table[watcher].pointee.state = .behind
        behindCount += 1
        stream.behindCount += 1
        appendToBehind(watcher, stream)
        if !stream.isBlocked { catchUpQueue.append(stream) }
    }

    private func appendToBehind(_ watcher: WatcherIndex, _ stream: WatchStream) {
        let entry = table[watcher]
        entry.pointee.nextInList = .noWatcher
        entry.pointee.previousInList = stream.lastBehind
        if stream.lastBehind == .noWatcher {
            stream.firstBehind = watcher
        } else {
            table[stream.lastBehind].pointee.nextInList = watcher
        }
        stream.lastBehind = watcher
    }

    /// For a watcher that is synced, cancelled or discarded now.
    func removeFromBehind(_ watcher: WatcherIndex, _ stream: WatchStream) {
        unlinkFromBehind(watcher, stream)
        behindCount -= 1
        stream.behindCount -= 1
    }

    private func unlinkFromBehind(_ watcher: WatcherIndex, _ stream: WatchStream) {
        let previous = table[watcher].pointee.previousInList
        let next = table[watcher].pointee.nextInList
        if previous == .noWatcher { stream.firstBehind = next } else { table[previous].pointee.nextInList = next }
        if next == .noWatcher { stream.lastBehind = previous } else { table[next].pointee.previousInList = previous }
        table[watcher].pointee.previousInList = .noWatcher
        table[watcher].pointee.nextInList = .noWatcher
    }

    /// The client has taken what was queued: the stream's watchers go on catching up.
    public func writable(_ stream: WatchStream) {
        guard stream.isBlocked, !stream.isClosed else { return }
        stream.isBlocked = false
        if stream.behindCount > 0 { catchUpQueue.append(stream) }
    }

    /// The store was replaced by a snapshot from the leader: all watchers look for what they need in the new
    /// history.
    public func replaceSource(_ new: any EventSource) {
        precondition(!isDelivering)
        for stream in streams {
            guard let stream else { continue }
            for watcher in stream.watchers.values where table[watcher].pointee.state == .synced {
                index.remove(watcher, table)
                table[watcher].pointee.next = max(table[watcher].pointee.next, revision + 1)
                fallBehind(watcher, stream)
            }
        }
        releasePinIfIdle()
        source = new
        revision = new.currentRevision
        target = revision
    }

    // MARK: One slice

    /// Takes some watchers and brings them forward by some hundreds of changes.
    func catchUpSlice() {
        isDelivering = true
        defer {
            batch.clear()
            group.removeAll(keepingCapacity: true)
            finishDelivery()
            releasePinIfIdle()
        }
        holdPin()
        guard let first = gather() else { return }
        switch source.pin(from: first) {
        case .compacted(let compacted):
            for watcher in group where table[watcher].pointee.next < compacted { cancelCompacted(watcher, compacted) }
        case .pinned(let pinned):
            walkGroup(from: first)
            source.unpin(pinned)
        }
    }

    /// Fills `group` with watchers whose needs begin near each other and returns where; settles at once those
    /// that need nothing any more. nil: nobody is left to be walked for.
    ///
    /// The first watcher in turn decides where. Those that need something else keep their places in front, so
    /// that each gets its turn, however long the list.
    private func gather() -> Int64? {
        let compacted = source.compactRevision
        var first: Int64?
        var passedOver: [WatchStream] = []
        var streamsLeft = catchUpQueue.count
        var examined = 0
        while streamsLeft > 0, group.count < WatchLimits.catchUpWatchersPerSlice,
            examined < WatchLimits.catchUpWatchersPerSlice, let stream = catchUpQueue.popFirst()
        {
            streamsLeft -= 1
            examined += 1
            guard stream.behindCount > 0, !stream.isClosed else { continue }
            guard !isFull(stream) else {
                stream.isBlocked = true
                continue
            }
            let decides = first == nil
            var hasPassedOver = false
            var watcher = stream.firstBehind
            var watchersLeft = stream.behindCount
            while watchersLeft > 0, !stream.isClosed, group.count < WatchLimits.catchUpWatchersPerSlice,
                examined < WatchLimits.catchUpWatchersPerSlice
            {
                watchersLeft -= 1
                examined += 1
                let current = watcher
                watcher = table[current].pointee.nextInList
                let next = table[current].pointee.next
                if next < compacted {
                    cancelCompacted(current, compacted)
                } else if next > revision {
                    becomeSynced(current, stream)
                } else if first == nil || next >= first! && next - first! < Int64(WatchLimits.catchUpVersionsPerSlice) {
                    if first == nil { first = next }
                    group.append(current)
                    unlinkFromBehind(current, stream)
                    appendToBehind(current, stream)
                } else {
                    hasPassedOver = true
                }
            }
            if watchersLeft > 0 { hasPassedOver = true }
            guard stream.behindCount > 0 else { continue }
            if hasPassedOver, !(decides && first != nil) { passedOver.append(stream) } else { catchUpQueue.append(stream) }
        }
        catchUpQueue.prepend(passedOver)
        return first
    }

    private func walkGroup(from first: Int64) {
        let isLinear = group.count <= WatchLimits.linearGroup
        if !isLinear {
            // Group members leave their streams' lists for the time of the walk: the links are the index's now.
            for watcher in group {
                unlinkFromBehind(watcher, table[watcher].pointee.stream.takeUnretainedValue())
                groupIndex.insert(watcher, table)
            }
        }
        let last = revision
        var through = last
        var isReadable = true
        source.holdingRecords {
            through = source.walk(from: first, through: last, limit: WatchLimits.catchUpVersionsPerSlice) { change in
                var isAdded = false
                if isLinear {
                    for watcher in group where table[watcher].pointee.contains(change.key) { match(watcher, change, &isAdded) }
                } else {
                    groupIndex.forEach(holding: change.key, table) { match($0, change, &isAdded) }
                }
                return batch.weight < WatchLimits.batchBytes
            }
            if !batch.isEmpty { isReadable = resolveBatch() }
        }
        precondition(through >= first && through <= last, "a walk from \(first) to \(last) ended at \(through)")
        if !isLinear {
            for watcher in group {
                groupIndex.remove(watcher, table)
                appendToBehind(watcher, table[watcher].pointee.stream.takeUnretainedValue())
            }
        }
        finishWalk(through: through, isReadable: isReadable)
    }

    private func finishWalk(through: Int64, isReadable: Bool) {
        let current = source.currentRevision
        for receiver in batch.receivers.elements {
            deliver(to: receiver, isReadable: isReadable, wholeList: true, headerRevision: current)
        }
        for watcher in group {
            let entry = table[watcher]
            let stream = entry.pointee.stream.takeUnretainedValue()
            guard !entry.pointee.flags.contains(.isStopped) else {
                entry.pointee.flags.remove(.isStopped)
                continue
            }
            guard !stream.isClosed else { continue }
            entry.pointee.next = max(entry.pointee.next, through + 1)
            if entry.pointee.next > revision { becomeSynced(watcher, stream) }
        }
    }

    // MARK: Leaving the list

    private func becomeSynced(_ watcher: WatcherIndex, _ stream: WatchStream) {
        removeFromBehind(watcher, stream)
        table[watcher].pointee.state = .synced
        index.insert(watcher, table)
    }

    /// What the watcher needs next is compacted: it ends, and its ID stays taken until the client cancels it.
    private func cancelCompacted(_ watcher: WatcherIndex, _ compacted: Int64) {
        let stream = table[watcher].pointee.stream.takeUnretainedValue()
        removeFromBehind(watcher, stream)
        table[watcher].pointee.state = .compacted
        stream.compactedCount += 1
        compactedCount += 1
        guard !stream.isClosed else { return }
        let id = table[watcher].pointee.id
        send(stream, revision: 0) { WatchResponseEncoding.canceled($0, watchID: id, compactRevision: compacted) }
    }
}
