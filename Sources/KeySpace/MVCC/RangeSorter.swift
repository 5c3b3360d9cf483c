// Sorting an answer by something other than its key, in slices: a heap of (head, slot), popped as far as the limit.

import Storage
import Wire

/// The candidates of a sorted answer. By value, the head is the value's first eight bytes, and equal heads are
/// decided by reading the records, so that memory stays a few bytes per key.
struct RangeSorter {
    struct Item {
        var head: UInt64
        var slot: UInt32
        /// Where it stands among the candidates in the order of keys, which decides between equals, ascending or not: users
        /// of etcd see so small answers, and can rely on it here.
        var place: UInt32
    }

    enum Phase {
        case loading, heapifying(next: Int), popping
    }

    var items: [Item] = []
    var phase = Phase.loading
    /// Slots whose heads are not loaded yet.
    var loaded = 0
    let descending: Bool
    /// Slots in their final order.
    var sorted: [UInt32] = []
    let wanted: Int
    /// Work of the running slice, in comparisons; one that has to read records counts for many.
    var work = 0
}

extension RangeCursor {
    /// Comparisons of one slice of sorting.
    private static let sortBudget = 8192
    /// What a comparison costs that reads two records.
    private static let readingWork = 64
    /// Values read by one slice of a sort by value.
    private static let valueBudget = 64

    func beginSort() {
        let wanted = min(plan.limit ?? .max, slots.count)
        more = slots.count > wanted
        switch plan.order {
        case .natural: preconditionFailure("natural order needs no sort")
        case .byKeyDescending:
            slots.reverse()
            slots.removeLast(slots.count - wanted)
            sorter = RangeSorter(descending: true, sorted: slots, wanted: wanted)
            sorter!.phase = .popping
        case .by(_, let descending):
            sorter = RangeSorter(descending: descending, wanted: wanted)
            sorter!.items.reserveCapacity(slots.count)
        }
        phase = .sorting
    }

    /// One slice of sorting; the last finds the length.
    func stepSort() {
        do {
            switch sorter!.phase {
            case .loading: try loadHeads()
            case .heapifying(let next):
                var index = next
                sorter!.work = 0
                while index >= 0, sorter!.work < RangeCursor.sortBudget {
                    try siftDown(index)
                    index -= 1
                }
                sorter!.phase = index < 0 ? .popping : .heapifying(next: index)
            case .popping:
                sorter!.work = 0
                while sorter!.sorted.count < sorter!.wanted, sorter!.work < RangeCursor.sortBudget {
                    sorter!.sorted.append(sorter!.items[0].slot)
                    let last = sorter!.items.removeLast()
                    if !sorter!.items.isEmpty {
                        sorter!.items[0] = last
                        try siftDown(0)
                    }
                    sorter!.work += 1
                }
                if sorter!.sorted.count == sorter!.wanted { endSort() }
            }
        } catch {
            failure = error
            sorter = nil
            phase = .ready
        }
    }

    private func endSort() {
        slots = sorter!.sorted
        sorter = nil
        staged.clear(keeping: StoreLimits.stagedBytesKept)
        scratch.clear(keeping: StoreLimits.stagedBytesKept)
        keyValueCount = slots.count
        // One sum over pinned versions; the lock is given back in between.
        var index = 0
        while index < slots.count {
            let stop = min(index + StoreLimits.keysPerLockHold, slots.count)
            locked {
                for slot in slots[index..<stop] { elementsLength += plan.elementLength(store.table.slab[slot]) }
            }
            index = stop
        }
        phase = .ready
    }

    private func loadHeads() throws(StorageError) {
        guard case .by(let target, _) = plan.order else { preconditionFailure("no sort target") }
        let isByValue: Bool
        if case .value = target { isByValue = true } else { isByValue = false }
        let first = sorter!.loaded
        let stop = min(first + (isByValue ? RangeCursor.valueBudget : StoreLimits.keysPerLockHold), slots.count)
        if isByValue {
            let sink = ByteSink(capacity: 4096)
            for slot in slots[first..<stop] {
                let value = try readValue(slot, into: sink)
                sorter!.items.append(.init(head: keyHead(value, from: 0), slot: slot, place: UInt32(sorter!.items.count)))
            }
        } else {
            locked {
                for slot in slots[first..<stop] {
                    let record = store.table.slab[slot]
                    let number: Int64
                    switch target {
                    case .version: number = record.pointee.version
                    case .created: number = record.pointee.created
                    case .modified, .value: number = record.pointee.main
                    }
                    sorter!.items.append(.init(head: UInt64(bitPattern: number), slot: slot, place: UInt32(sorter!.items.count)))
                }
            }
        }
        sorter!.loaded = stop
        if stop == slots.count { sorter!.phase = .heapifying(next: slots.count / 2 - 1) }
    }

    /// The value of a version, read into `sink`; empty if the record has none.
    private func readValue(_ slot: UInt32, into sink: ByteSink) throws(StorageError) -> UnsafeRawBufferPointer {
        let pin = store.log.pinReads()
        let location = locked { store.table.slab[slot].pointee.location }
        sink.clear()
        do {
            try store.log.append(location, to: sink)
        } catch {
            store.log.unpinReads(pin)
            throw error
        }
        store.log.unpinReads(pin)
        return StoredKeyValue.value(sink.bytes)
    }

    private func comesFirst(_ a: RangeSorter.Item, _ b: RangeSorter.Item) throws(StorageError) -> Bool {
        sorter!.work += 1
        if a.head != b.head { return (a.head < b.head) != sorter!.descending }
        guard case .by(.value, _) = plan.order else { return a.place < b.place }
        sorter!.work += RangeCursor.readingWork
        // Nothing is being read while the answer is still sorted, so these are free.
        let order = compareKeys(try readValue(a.slot, into: staged), try readValue(b.slot, into: scratch))
        if order == 0 { return a.place < b.place }
        return (order < 0) != sorter!.descending
    }

    private func siftDown(_ start: Int) throws(StorageError) {
        var parent = start
        let count = sorter!.items.count
        while true {
            var first = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < count {
                if try comesFirst(sorter!.items[child], sorter!.items[first]) { first = child }
            }
            if first == parent { return }
            sorter!.items.swapAt(parent, first)
            parent = first
        }
    }
}
