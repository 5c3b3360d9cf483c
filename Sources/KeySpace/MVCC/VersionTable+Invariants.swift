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
        if let violation = accountViolation() { return violation }
        if chained != inOrder.count - dead { return "\(chained) versions hang on keys, \(inOrder.count - dead) in the order" }
        return nil
    }
}

extension VersionTable {
    /// Counts everything again and compares it with the accounts.
    private func accountViolation() -> String? {
        var counted: [ResourceID: ResourceUsage] = [:]
        var cursor = index.cursor(KeyRange(key: .zeroByte, rangeEnd: .zeroByte))
        while let (entry, isLive) = cursor.next() {
            if entry.resource != accounts.names.known(entry.bytes) { return "a key of another resource" }
            var slot: UInt32? = entry.newest
            while let current = slot {
                let record = slab[current]
                counted[entry.resource, default: ResourceUsage()].storedBytes += Int64(record.pointee.location.length)
                slot = slab.previous(of: record)
            }
            guard isLive else { continue }
            let length = Int64(slab[entry.newest].pointee.location.length)
            counted[entry.resource]!.liveKeys += 1
            counted[entry.resource]!.liveBytes += length
            counted[entry.resource]!.largestBytes = max(counted[entry.resource]!.largestBytes, length)
        }
        for (number, name) in accounts.names.all.enumerated() {
            let resource = ResourceID(rawValue: UInt16(number))
            let told = accounts[resource].pointee
            let right = counted[resource] ?? ResourceUsage()
            if told.liveKeys != right.liveKeys || told.liveBytes != right.liveBytes || told.storedBytes != right.storedBytes {
                return "\(name) has \(right), counted \(told)"
            }
            if told.largestBytes < right.largestBytes { return "\(name): the largest has \(right.largestBytes) bytes, told \(told.largestBytes)" }
            if let key = accounts.largestKey(resource) {
                let length = Int64(slab[key.newest].pointee.location.length)
                if length != told.largestBytes { return "\(name): the largest key has \(length) bytes, told \(told.largestBytes)" }
            } else if told.largestBytes > max(right.largestBytes + right.largestBytes / 4, 10) {
                return "\(name): the largest has \(right.largestBytes) bytes, told \(told.largestBytes)"
            }
        }
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
