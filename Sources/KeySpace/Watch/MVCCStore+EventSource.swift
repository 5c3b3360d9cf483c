// The store as the hub's source of changes.

import Storage
import Wire

#if canImport(Glibc)
import Glibc
#endif

extension MVCCStore: EventSource {
    public func pin(from first: Int64) -> PinResult {
        lock.withLock {
            let compacted = compactRevision
            guard first >= compacted else { return .compacted(compacted) }
            // The values before `first` are those that a read at the revision before it shows.
            pins.add(first - 1)
            return .pinned(first - 1)
        }
    }

    public func unpin(_ pinned: Int64) { lock.withLock { pins.remove(pinned) } }

    public func movePin(_ pinned: Int64, to revision: Int64) {
        precondition(revision >= pinned, "a pin at \(pinned) moved back to \(revision)")
        lock.withLock {
            pins.add(revision)
            pins.remove(pinned)
        }
    }

    public func walk(from first: Int64, through last: Int64, limit: Int, _ body: (ChangeView) -> Bool) -> Int64 {
        lock.lock()
        defer { lock.unlock() }
        let last = min(last, currentRevision)
        let compacted = compactRevision
        let order = table.order
        let slab = table.slab
        var position = order.lowerBound(Revision(main: first), in: slab)
        var shown = 0
        var main: Int64 = 0
        var isEnough = false
        while position < order.end {
            let slot = order[position]
            let record = slab[slot]
            position = order.position(after: position)
            if record.pointee.isDead { continue }
            if record.pointee.main != main {
                guard record.pointee.main <= last else { break }
                if isEnough || shown >= limit { return main }
                main = record.pointee.main
            }
            shown += 1
            let isDelete = record.pointee.isTombstone
            let isCreation = !isDelete && record.pointee.created == main
            var previous: RecordLocation?
            // Compaction takes the values before its revision away, whether or not they are purged yet.
            if !isCreation, main - 1 >= compacted, let older = table.previousValue(of: slot) {
                previous = slab[older].pointee.location
            }
            let change = ChangeView(
                revision: main, isDelete: isDelete, isCreation: isCreation, key: record.pointee.key.bytes,
                record: record.pointee.location, previous: previous)
            if !body(change) { isEnough = true }
        }
        return last
    }

    public func holdingRecords(_ body: () -> Void) {
        let pin = log.pinReads()
        body()
        log.unpinReads(pin)
    }

    public func read(_ records: UnsafeBufferPointer<RecordLocation>, into sink: ByteSink) throws {
        var index = 0
        while index < records.count {
            var end = index + 1
            let first = records[index]
            var length = Int(first.length)
            // Changes in revision order lie one behind the other, with little between them.
            while end < records.count, records[end].segment == first.segment {
                let gap = Int(truncatingIfNeeded: records[end].offset &- first.offset) - length
                let joined = length + gap + Int(records[end].length)
                guard gap >= 0, gap <= StoreLimits.joinedReadGap, joined <= StoreLimits.joinedReadBytes else { break }
                length = joined
                end += 1
            }
            try readJoined(UnsafeBufferPointer(rebasing: records[index..<end]), length: length, into: sink)
            index = end
        }
    }

    /// Reads neighbours with one call and pushes them together.
    private func readJoined(_ records: UnsafeBufferPointer<RecordLocation>, length: Int, into sink: ByteSink) throws {
        let first = records[0]
        sink.reserve(length)
        let start = sink.base + sink.count
        try log.read(segment: first.segment, offset: first.offset, into: UnsafeMutableRawBufferPointer(start: start, count: length))
        var written = Int(first.length)
        for record in records.dropFirst() {
            memmove(start + written, start + Int(record.offset - first.offset), Int(record.length))
            written += Int(record.length)
        }
        sink.append(uninitializedCapacity: written) { _ in written }
    }
}
