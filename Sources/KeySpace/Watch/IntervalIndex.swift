// Which watchers does a key concern? Single keys by hash, intervals by tree.

struct IntervalIndex {
    private var keys: KeyTable
    private var ranges: RangeTree
    private(set) var count = 0

    init(seed: UInt64) {
        keys = KeyTable(seed: seed)
        ranges = RangeTree(seed: seed)
    }

    func deallocate() { keys.deallocate() }

    var isEmpty: Bool { count == 0 }

    mutating func insert(_ index: WatcherIndex, _ table: WatcherTable) {
        count += 1
        if table[index].pointee.interval == .key { keys.insert(index, table) } else { ranges.insert(index, table) }
    }

    mutating func remove(_ index: WatcherIndex, _ table: WatcherTable) {
        count -= 1
        if table[index].pointee.interval == .key { keys.remove(index, table) } else { ranges.remove(index, table) }
    }

    /// Calls `body` for every watcher whose interval holds `key`.
    @inline(__always)
    func forEach(holding key: UnsafeRawBufferPointer, _ table: WatcherTable, _ body: (WatcherIndex) -> Void) {
        var watcher = keys.find(key, table)
        while watcher != .noWatcher {
            body(watcher)
            watcher = table[watcher].pointee.nextInList
        }
        ranges.stab(key, table) { head in
            var watcher = head
            while watcher != .noWatcher {
                body(watcher)
                watcher = table[watcher].pointee.nextInList
            }
        }
    }

    /// Walks both structures; returns the watchers found.
    func checkInvariants(_ table: WatcherTable) -> Int {
        var found = ranges.checkInvariants(table)
        var heads = 0
        keys.forEachHead { head in
            heads += 1
            precondition(keys.find(table[head].pointee.startKey, table) == head, "a key is not found where it is")
            var previous = WatcherIndex.noWatcher
            var watcher = head
            while watcher != .noWatcher {
                precondition(table[watcher].pointee.previousInList == previous)
                precondition(table[watcher].pointee.contains(table[head].pointee.startKey))
                found += 1
                previous = watcher
                watcher = table[watcher].pointee.nextInList
            }
        }
        precondition(heads == keys.keyCount && found == count, "the index counts \(count) watchers and holds \(found)")
        return found
    }
}
