// All versions in revision order: slots of the slab in a chunked queue, so that "what changed since" is a binary
// search and a walk.

/// Slots by ascending revision. Purged versions stay as dead entries until the front is squeezed.
///
/// Positions are absolute and grow at the end. Squeezing moves survivors towards the end of the squeezed part, in
/// steps; in between, the entries are `[front, gapLow)` and `[gapHigh, end)` with garbage in the gap.
final class RevisionOrder {
    private static let chunkShift = 14
    private static let chunkSize = 1 << chunkShift

    private var chunks: [UnsafeMutablePointer<UInt32>] = []
    /// Number of the first chunk.
    private var firstChunk = 0
    private(set) var front = 0
    private(set) var gapLow = 0
    private(set) var gapHigh = 0
    private(set) var end = 0
    /// Dead entries still in the queue.
    var deadCount = 0

    deinit {
        for chunk in chunks { chunk.deallocate() }
    }

    /// Entries, dead ones included.
    var count: Int { gapLow - front + end - gapHigh }

    var isSqueezing: Bool { gapLow > front }

    @inline(__always)
    subscript(position: Int) -> UInt32 {
        get { chunks[position >> RevisionOrder.chunkShift - firstChunk][position & (RevisionOrder.chunkSize - 1)] }
        set {
            chunks[position >> RevisionOrder.chunkShift - firstChunk][position & (RevisionOrder.chunkSize - 1)] = newValue
        }
    }

    func append(_ slot: UInt32) {
        if end >> RevisionOrder.chunkShift - firstChunk == chunks.count {
            chunks.append(.allocate(capacity: RevisionOrder.chunkSize))
        }
        self[end] = slot
        end += 1
    }

    /// First position to visit; `end` if there is none.
    var start: Int { gapLow > front ? front : gapHigh }

    @inline(__always)
    func position(after position: Int) -> Int { position + 1 == gapLow ? gapHigh : position + 1 }

    /// First position whose revision is not below `revision`.
    func lowerBound(_ revision: Revision, in slab: VersionSlab) -> Int {
        if gapLow > front, !(slab[self[gapLow - 1]].pointee.revision < revision) {
            return search(front, gapLow, revision, slab)
        }
        return search(gapHigh, end, revision, slab)
    }

    private func search(_ from: Int, _ to: Int, _ revision: Revision, _ slab: VersionSlab) -> Int {
        var low = from
        var high = to
        while low < high {
            let middle = (low + high) >> 1
            if slab[self[middle]].pointee.revision < revision { low = middle + 1 } else { high = middle }
        }
        return low
    }

    // MARK: Squeezing dead entries out

    /// Starts squeezing everything before `position`.
    func beginSqueeze(before position: Int) {
        precondition(!isSqueezing)
        guard position > gapHigh else { return }
        gapLow = position
        front = gapHigh
        gapHigh = position
    }

    /// Visits up to `budget` entries, giving dead ones back to the slab; false when all is done.
    func squeeze(_ slab: VersionSlab, budget: Int) -> Bool {
        var left = budget
        while left > 0, gapLow > front {
            left -= 1
            gapLow -= 1
            let slot = self[gapLow]
            if slab[slot].pointee.isDead {
                slab.free(slot)
                deadCount -= 1
            } else {
                gapHigh -= 1
                self[gapHigh] = slot
            }
        }
        if gapLow > front { return true }
        front = gapHigh
        gapLow = gapHigh
        let keep = front >> RevisionOrder.chunkShift
        let dropped = min(keep - firstChunk, chunks.count)
        if dropped > 0 {
            for chunk in chunks.prefix(dropped) { chunk.deallocate() }
            chunks.removeFirst(dropped)
            firstChunk += dropped
        }
        return false
    }
}
