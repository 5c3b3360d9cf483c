// Garbage collection of the log, one slice at a time: decides what is alive and points the index to new places. Owned
// by the maintenance thread.

import Storage

final class CollectionRunner {
    private let store: MVCCStore
    private var current: SegmentCollection?
    private var queue: [UInt32] = []
    /// Segments passed since the last checkpoint; their space comes back with the next one.
    private(set) var collectedSegments = 0

    init(store: MVCCStore) { self.store = store }

    /// A round has begun whose end `step` has not yet told.
    private(set) var isRunning = false

    /// Starts a round if enough garbage has gathered.
    ///
    /// - Parameter isThorough: whatever is noticeably dead, as `Defragment` wants it.
    /// - Returns: whether there is anything to collect.
    @discardableResult
    func begin(isThorough: Bool, except damaged: Set<UInt32> = []) -> Bool {
        guard !isRunning else { return true }
        let victims = store.log.victims(isThorough ? .thorough : .init()).filter { !damaged.contains($0) }
        guard !victims.isEmpty else { return false }
        if !isThorough {
            let chosen = Set(victims)
            var garbage = 0
            for segment in store.log.segmentStatistics where chosen.contains(segment.id) {
                garbage += Int(segment.written - min(segment.live, segment.written))
            }
            guard garbage >= max(StoreLimits.collectionMinimumBytes, store.log.size / 8) else { return false }
        }
        queue = victims.reversed()
        isRunning = true
        return true
    }

    /// The segment that is being, or was last, collected.
    private(set) var lastSegment: UInt32?

    /// Moves some records; false when the round is over.
    func step() throws(StorageError) -> Bool {
        if current == nil {
            guard let next = queue.popLast() else {
                isRunning = false
                return false
            }
            current = store.log.beginCollection(of: next)
            lastSegment = next
            return true
        }
        do {
            let hasMore = try store.log.step(
                current!, maxBytes: StoreLimits.collectionSliceBytes, select: select, relocate: relocate)
            if !hasMore {
                current = nil
                collectedSegments += 1
            }
            return true
        } catch {
            // What was moved stays moved; the segment is begun again later.
            current = nil
            queue = []
            isRunning = false
            throw error
        }
    }

    func checkpointWritten() { collectedSegments = 0 }

    private func select(_ records: inout [MovableRecord]) {
        forEachSlice(records.count) { index in
            let record = records[index]
            let version = store.table.find(Revision(main: record.main, sub: record.sub))
            if version?.pointee.location != record.from { records[index].isLive = false }
        }
    }

    private func relocate(_ moves: inout [Relocation]) {
        forEachSlice(moves.count) { index in
            let move = moves[index]
            if let version = store.table.find(Revision(main: move.main, sub: move.sub)), version.pointee.location == move.from {
                version.pointee.location = move.to
            } else {
                moves[index].isTaken = false
            }
        }
    }

    /// Runs under the lock, letting others in every hundred or so.
    private func forEachSlice(_ count: Int, _ body: (Int) -> Void) {
        var index = 0
        while index < count {
            let stop = min(index + StoreLimits.relocationsPerLockHold, count)
            store.lock.withLock {
                while index < stop {
                    body(index)
                    index += 1
                }
            }
        }
    }
}
