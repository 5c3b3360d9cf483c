// Watchers of single keys, found by the key's bytes: open addressing with linear probing. Watchers of the
// same key form a list through the watchers themselves, so the table allocates only while it grows.

struct KeyTable {
    private struct Slot {
        /// First watcher of the key; `.noWatcher` marks an empty slot.
        var head: WatcherIndex = .noWatcher
        var hash: UInt32 = 0
    }

    private var slots: UnsafeMutablePointer<Slot>
    private var mask: Int
    /// Distinct keys.
    private(set) var keyCount = 0
    private let seed: UInt64

    private static let smallest = 16

    init(seed: UInt64) {
        self.seed = seed
        mask = KeyTable.smallest - 1
        slots = KeyTable.makeSlots(KeyTable.smallest)
    }

    private static func makeSlots(_ capacity: Int) -> UnsafeMutablePointer<Slot> {
        let slots = UnsafeMutablePointer<Slot>.allocate(capacity: capacity)
        slots.initialize(repeating: Slot(), count: capacity)
        return slots
    }

    func deallocate() { slots.deallocate() }

    /// First watcher of `key`.
    @inline(__always)
    func find(_ key: UnsafeRawBufferPointer, _ table: WatcherTable) -> WatcherIndex {
        guard keyCount > 0 else { return .noWatcher }
        return slots[position(key, hash: hash(key), table)].head
    }

    mutating func insert(_ index: WatcherIndex, _ table: WatcherTable) {
        if (keyCount + 1) * 4 > (mask + 1) * 3 { resize((mask + 1) * 2) }
        let key = table[index].pointee.startKey
        let hash = hash(key)
        let position = position(key, hash: hash, table)
        let head = slots[position].head
        table[index].pointee.previousInList = .noWatcher
        table[index].pointee.nextInList = head
        if head == .noWatcher {
            keyCount += 1
        } else {
            table[head].pointee.previousInList = index
        }
        slots[position] = Slot(head: index, hash: hash)
    }

    mutating func remove(_ index: WatcherIndex, _ table: WatcherTable) {
        let previous = table[index].pointee.previousInList
        let next = table[index].pointee.nextInList
        if next != .noWatcher { table[next].pointee.previousInList = previous }
        if previous != .noWatcher {
            table[previous].pointee.nextInList = next
        } else {
            let key = table[index].pointee.startKey
            let position = position(key, hash: hash(key), table)
            precondition(slots[position].head == index, "watcher \(index) is not in the key table")
            if next != .noWatcher { slots[position].head = next } else { erase(position) }
        }
        table[index].pointee.previousInList = .noWatcher
        table[index].pointee.nextInList = .noWatcher
        if mask + 1 > KeyTable.smallest, keyCount * 8 < mask + 1 { resize((mask + 1) / 2) }
    }

    /// Empties a slot and moves later ones of its run back, so that probing never meets a gap.
    private mutating func erase(_ position: Int) {
        keyCount -= 1
        var gap = position
        var probe = (position + 1) & mask
        while slots[probe].head != .noWatcher {
            let home = Int(slots[probe].hash) & mask
            if (probe - home) & mask >= (probe - gap) & mask {
                slots[gap] = slots[probe]
                gap = probe
            }
            probe = (probe + 1) & mask
        }
        slots[gap].head = .noWatcher
    }

    private mutating func resize(_ capacity: Int) {
        let old = slots
        let oldCount = mask + 1
        slots = KeyTable.makeSlots(capacity)
        mask = capacity - 1
        for index in 0..<oldCount where old[index].head != .noWatcher {
            var position = Int(old[index].hash) & mask
            while slots[position].head != .noWatcher { position = (position + 1) & mask }
            slots[position] = old[index]
        }
        old.deallocate()
    }

    /// The slot of `key`, or the empty one where it would go.
    @inline(__always)
    private func position(_ key: UnsafeRawBufferPointer, hash: UInt32, _ table: WatcherTable) -> Int {
        var position = Int(hash) & mask
        while true {
            let slot = slots[position]
            if slot.head == .noWatcher { return position }
            if slot.hash == hash {
                let other = table[slot.head].pointee.startKey
                if other.count == key.count, compareKeys(other, key) == 0 { return position }
            }
            position = (position + 1) & mask
        }
    }

    @inline(__always)
    private func hash(_ key: UnsafeRawBufferPointer) -> UInt32 {
        let hash = hashKey(key, seed: seed)
        return UInt32(truncatingIfNeeded: hash ^ hash >> 32)
    }

    /// Calls `body` for each distinct key's first watcher (invariant checks).
    func forEachHead(_ body: (WatcherIndex) -> Void) {
        for index in 0...mask where slots[index].head != .noWatcher { body(slots[index].head) }
    }
}
