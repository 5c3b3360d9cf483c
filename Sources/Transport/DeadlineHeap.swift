// Deadlines of the calls of one event loop: a binary heap whose entries know their call, and calls their entry.

/// A min-heap of (deadline, slot). Removal is by position, so a finished call leaves nothing behind; new
/// deadlines mostly lie behind the old ones, so both ends cost a compare or two.
struct DeadlineHeap {
    struct Entry: Equatable {
        var deadline: UInt64
        var slot: UInt32
    }

    private(set) var entries: [Entry] = []

    var first: Entry? { entries.first }
    var count: Int { entries.count }

    /// `moved` is told the new position of every entry that moves, the inserted one included.
    @inline(__always)
    mutating func insert(_ entry: Entry, moved: (UInt32, Int) -> Void) {
        entries.append(entry)
        siftUp(entries.count - 1, moved)
    }

    @inline(__always)
    mutating func remove(at position: Int, moved: (UInt32, Int) -> Void) {
        let last = entries.removeLast()
        guard position < entries.count else { return }
        let removed = entries[position]
        entries[position] = last
        if last.deadline < removed.deadline { siftUp(position, moved) } else { siftDown(position, moved) }
    }

    private mutating func siftUp(_ start: Int, _ moved: (UInt32, Int) -> Void) {
        var position = start
        let entry = entries[start]
        while position > 0 {
            let parent = (position - 1) / 2
            if entries[parent].deadline <= entry.deadline { break }
            entries[position] = entries[parent]
            moved(entries[position].slot, position)
            position = parent
        }
        entries[position] = entry
        moved(entry.slot, position)
    }

    private mutating func siftDown(_ start: Int, _ moved: (UInt32, Int) -> Void) {
        var position = start
        let entry = entries[start]
        while true {
            var child = 2 * position + 1
            if child >= entries.count { break }
            if child + 1 < entries.count, entries[child + 1].deadline < entries[child].deadline { child += 1 }
            if entry.deadline <= entries[child].deadline { break }
            entries[position] = entries[child]
            moved(entries[position].slot, position)
            position = child
        }
        entries[position] = entry
        moved(entry.slot, position)
    }
}
