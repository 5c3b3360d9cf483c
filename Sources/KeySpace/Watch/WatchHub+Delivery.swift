// Live delivery: what was published goes to the synced watchers, each main revision in a response of its own.

import Storage
import Wire

extension WatchHub {
    /// The store has published everything up to `revision`. Delivers it, within the bounds of one turn of the
    /// event loop; `hasWork` says if something is left.
    public func published(through revision: Int64) {
        // Only what readers see can be walked.
        target = max(target, min(revision, source.currentRevision))
        deliverPublished(batches: WatchLimits.liveBatchesPerTurn)
    }

    func deliverPublished(batches: Int) {
        guard lastTick >= retryAt else { return }
        var left = batches
        while revision < target, left > 0 {
            guard !index.isEmpty else {
                revision = target
                break
            }
            left -= 1
            guard deliverBatch() else { break }
        }
        if index.isEmpty {
            releasePinIfIdle()
        } else if let held = pinned, revision > held {
            source.movePin(held, to: revision)
            pinned = revision
        }
    }

    /// Delivers the next few hundred changes; false if the store could not be read.
    private func deliverBatch() -> Bool {
        isDelivering = true
        defer {
            batch.clear()
            finishDelivery()
        }
        var through = revision
        var isReadable = true
        source.holdingRecords {
            through = source.walk(from: revision + 1, through: target, limit: WatchLimits.liveVersionsPerBatch) { change in
                var isAdded = false
                index.forEach(holding: change.key, table) { match($0, change, &isAdded) }
                return batch.weight < WatchLimits.batchBytes
            }
            if !batch.isEmpty { isReadable = resolveBatch() }
        }
        precondition(through > revision && through <= target, "a walk from \(revision + 1) to \(target) ended at \(through)")
        for receiver in batch.receivers.elements {
            deliver(to: receiver, isReadable: isReadable, wholeList: false, headerRevision: nil)
        }
        revision = through
        return isReadable
    }

    /// Notes that a watcher whose interval holds the change's key gets it, if it wants it.
    @inline(__always)
    func match(_ watcher: WatcherIndex, _ change: ChangeView, _ isAdded: inout Bool) {
        let entry = table[watcher]
        guard entry.pointee.wants(change) else { return }
        if !isAdded {
            batch.addEvent(change)
            isAdded = true
        }
        batch.addMatch(watcher, entry)
    }

    /// Reads the batch's records.
    func resolveBatch() -> Bool {
        do {
            try batch.resolve(from: source)
            return true
        } catch {
            retryAt = lastTick &+ WatchLimits.readRetryNanoseconds
            onReadFailure?(error)
            return false
        }
    }

    /// Sends a receiver its matches; if its stream is full or the records cannot be read, it falls behind at
    /// the first revision that it did not get.
    ///
    /// - Parameters:
    ///   - wholeList: all matches in one response (catch-up) instead of one response for each revision.
    ///   - headerRevision: for the header; nil: the events' own.
    func deliver(to receiver: WatcherIndex, isReadable: Bool, wholeList: Bool, headerRevision: Int64?) {
        let watcher = table[receiver]
        var item = watcher.pointee.firstMatch
        watcher.pointee.firstMatch = DeliveryBatch.end
        watcher.pointee.lastMatch = DeliveryBatch.end
        let stream = watcher.pointee.stream.takeUnretainedValue()
        guard !stream.isClosed else { return }
        while item != DeliveryBatch.end {
            guard isReadable, !isFull(stream) else {
                watcher.pointee.next = batch.revision(ofMatch: item)
                if watcher.pointee.state == .synced {
                    index.remove(receiver, table)
                    fallBehind(receiver, stream)
                } else {
                    watcher.pointee.flags.insert(.isStopped)
                }
                return
            }
            var run = batch.run(from: item, wholeList: wholeList)
            let withPrevious = watcher.pointee.flags.contains(.wantsPrevious)
            batch.measure(&run, withPrevious: withPrevious)
            send(run, to: stream, watcher, headerRevision: headerRevision ?? run.firstRevision)
            // The output may have closed the stream; its watchers are torn down after the batch.
            guard !stream.isClosed else { return }
            watcher.pointee.next = run.lastRevision + 1
            watcher.pointee.flags.remove(.idle)
            eventsSent += UInt64(run.count)
            traffic.add(run.count, .watchEvents, of: watcher.pointee.resource)
            traffic.add(run.bytes, .watchBytes, of: watcher.pointee.resource)
            item = run.end
        }
    }

    // MARK: Event responses

    private func send(
        _ run: DeliveryBatch.Run, to stream: WatchStream, _ watcher: UnsafeMutablePointer<Watcher>, headerRevision: Int64
    ) {
        let withPrevious = watcher.pointee.flags.contains(.wantsPrevious)
        head.clear()
        headers.append(to: head, revision: headerRevision, term: term())
        let headerCount = head.count
        let id = watcher.pointee.id
        WatchResponseEncoding.eventsHead(head, watchID: id, fragment: false)
        let size = head.count + run.bytes
        if size >= configuration.fragmentBytes, run.count > 1, watcher.pointee.flags.contains(.fragment) {
            head.truncate(to: headerCount)
            return sendFragments(run, to: stream, watchID: id, withPrevious: withPrevious)
        }
        guard size <= WatchLimits.responseBytesMax else {
            let limit = WatchLimits.responseBytesMax
            stream.output.fail(
                CallError(.resourceExhausted, "grpc: trying to send message larger than max (\(size) vs. \(limit))"))
            closeStream(stream)
            return
        }
        responsesSent += 1
        if run.bytes >= WatchLimits.sharedBytesMin {
            stream.output.send(head: head.bytes, shared: batch.share(run, withPrevious: withPrevious))
        } else {
            stream.output.send { sink in
                sink.append(head.bytes)
                batch.append(run, withPrevious: withPrevious, to: sink)
            }
        }
    }

    /// Splits a run: each part repeats the header, holds at least one event and stays below the limit
    /// otherwise. `head` holds the header.
    private func sendFragments(_ run: DeliveryBatch.Run, to stream: WatchStream, watchID: Int64, withPrevious: Bool) {
        var item = run.first
        while item != run.end, !stream.isClosed {
            let headerCount = head.count
            WatchResponseEncoding.eventsHead(head, watchID: watchID, fragment: true)
            var size = head.count
            var part = DeliveryBatch.Run(
                first: item, end: item, lastEvent: run.lastEvent, firstRevision: run.firstRevision, lastRevision: run.lastRevision)
            while part.end != run.end {
                let bytes = batch.bytes(ofMatch: part.end, withPrevious: withPrevious).count
                if part.count > 0, size + bytes >= configuration.fragmentBytes { break }
                size += bytes
                part.bytes += bytes
                part.count += 1
                part.end = batch.next(part.end)
            }
            head.truncate(to: headerCount)
            responsesSent += 1
            stream.output.send { sink in
                sink.append(head.bytes)
                WatchResponseEncoding.eventsHead(sink, watchID: watchID, fragment: part.end != run.end)
                batch.append(part, withPrevious: withPrevious, to: sink)
            }
            item = part.end
        }
    }
}
