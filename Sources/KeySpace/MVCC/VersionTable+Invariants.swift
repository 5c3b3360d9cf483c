// The full check of index, slab and order against each other; tests call it after mutations.

extension VersionTable {
    /// The first violation as text, or nil.
    func invariantViolation() -> String? {
        if let violation = index.invariantViolation() { return violation }
        var inOrder: Set<UInt32> = []
        var dead = 0
        var last: Revision?
        var position = order.start
        while position < order.end {
            let slot = order[position]
            let record = slab[slot]
            position = order.position(after: position)
            if let last, !(last < record.pointee.revision) { return "revisions out of order" }
            last = record.pointee.revision
            if record.pointee.isDead { dead += 1 }
            if !inOrder.insert(slot).inserted { return "slot \(slot) twice in the order" }
        }
        if dead != order.deadCount { return "\(dead) dead versions, counted \(order.deadCount)" }
        if inOrder.count != slab.count { return "\(inOrder.count) versions in the order, \(slab.count) in the slab" }
        var chained = 0
        var cursor = index.cursor(KeyRange(key: .zeroByte, rangeEnd: .zeroByte))
        while let (entry, isLive) = cursor.next() {
            var slot: UInt32? = entry.newest
            if slab[entry.newest].pointee.isDead { return "a key's newest version is dead" }
            if slab[entry.newest].pointee.isTombstone == isLive { return "live bit and newest version disagree" }
            while let current = slot {
                let record = slab[current]
                if !inOrder.contains(current) { return "a version that is not in the order" }
                if record.pointee.key != entry { return "a version of another key" }
                chained += 1
                slot = slab.previous(of: record)
            }
        }
        if chained != inOrder.count - dead { return "\(chained) versions hang on keys, \(inOrder.count - dead) in the order" }
        return nil
    }
}

extension UnsafeRawBufferPointer {
    /// One zero byte: the smallest key, and as a range's end "all above".
    static var zeroByte: UnsafeRawBufferPointer {
        let text: StaticString = "\0"
        return UnsafeRawBufferPointer(start: text.utf8Start, count: 1)
    }
}
