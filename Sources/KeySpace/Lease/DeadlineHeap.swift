// Deadlines of numbered things, the earliest first: a binary heap that knows where each of them is, so that
// one can be moved or taken out.

struct DeadlineHeap {
    struct Entry {
        var deadline: UInt64
        var slot: UInt32
    }

    private var entries: [Entry] = []
    /// Position in `entries` by slot, -1 for those that are not in the heap.
    private var positions: [Int32] = []

    init() {}

    /// Takes entries in ascending order of their deadlines, which is a heap already.
    init(sorted: [Entry], slots: Int) {
        entries = sorted
        positions = Array(repeating: -1, count: slots)
        for (position, entry) in sorted.enumerated() { positions[Int(entry.slot)] = Int32(position) }
    }

    var count: Int { entries.count }
    var isEmpty: Bool { entries.isEmpty }

    /// The earliest.
    @inline(__always)
    var first: Entry? { entries.first }

    func deadline(of slot: UInt32) -> UInt64? {
        guard let position = position(of: slot) else { return nil }
        return entries[position].deadline
    }

    @inline(__always)
    private func position(of slot: UInt32) -> Int? {
        guard Int(slot) < positions.count else { return nil }
        let position = positions[Int(slot)]
        return position < 0 ? nil : Int(position)
    }

    /// Adds the slot or moves it.
    mutating func set(_ slot: UInt32, deadline: UInt64) {
        if let position = position(of: slot) {
            let old = entries[position].deadline
            entries[position].deadline = deadline
            if deadline < old { siftUp(position) } else { siftDown(position) }
            return
        }
        while positions.count <= Int(slot) { positions.append(-1) }
        entries.append(Entry(deadline: deadline, slot: slot))
        positions[Int(slot)] = Int32(entries.count - 1)
        siftUp(entries.count - 1)
    }

    /// Takes the slot out; nothing happens if it is not in.
    mutating func remove(_ slot: UInt32) {
        guard let position = position(of: slot) else { return }
        positions[Int(slot)] = -1
        let last = entries.removeLast()
        guard position < entries.count else { return }
        let removed = entries[position].deadline
        entries[position] = last
        positions[Int(last.slot)] = Int32(position)
        if last.deadline < removed { siftUp(position) } else { siftDown(position) }
    }

    mutating func removeAll() {
        entries = []
        positions = []
    }

    private mutating func siftUp(_ start: Int) {
        var position = start
        let entry = entries[position]
        while position > 0 {
            let parent = (position - 1) >> 1
            guard entry.deadline < entries[parent].deadline else { break }
            place(entries[parent], at: position)
            position = parent
        }
        place(entry, at: position)
    }

    private mutating func siftDown(_ start: Int) {
        var position = start
        let entry = entries[position]
        while true {
            var child = position * 2 + 1
            guard child < entries.count else { break }
            if child + 1 < entries.count, entries[child + 1].deadline < entries[child].deadline { child += 1 }
            guard entries[child].deadline < entry.deadline else { break }
            place(entries[child], at: position)
            position = child
        }
        place(entry, at: position)
    }

    @inline(__always)
    private mutating func place(_ entry: Entry, at position: Int) {
        entries[position] = entry
        positions[Int(entry.slot)] = Int32(position)
    }

    func checkInvariants() {
        for position in entries.indices {
            if position > 0 { precondition(entries[(position - 1) >> 1].deadline <= entries[position].deadline, "the heap order is broken") }
            precondition(positions[Int(entries[position].slot)] == Int32(position))
        }
        precondition(positions.count { $0 >= 0 } == entries.count)
    }
}
