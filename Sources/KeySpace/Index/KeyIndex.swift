// The ordered index of all keys: a B+tree over byte strings with counts of live keys, so that "how many keys are
// in this range" costs a descent. Guarded by the store's lock; it has none of its own.

/// Keys in byte order, each with the slab slot of its newest version.
///
/// A key is *live* when its newest version is not a tombstone; a deleted key stays in the index until compaction
/// has purged its history.
final class KeyIndex {
    struct Step {
        var node: IndexNode
        var index: Int
    }

    private(set) var root: IndexNode
    /// Keys, live or not.
    private(set) var count = 0
    /// Entries a node may hold; smaller than the maximum only in tests, which want deep trees.
    let capacity: Int
    /// The path of the last `locate`, root first.
    let path: UnsafeMutablePointer<Step>
    private(set) var depth = 0
    private static let maximumDepth = 64

    init(capacity: Int = IndexNode.maximumCapacity) {
        precondition(capacity >= 4 && capacity <= IndexNode.maximumCapacity)
        self.capacity = capacity
        root = .makeLeaf()
        path = .allocate(capacity: KeyIndex.maximumDepth)
    }

    deinit {
        free(root)
        path.deallocate()
    }

    private func free(_ node: IndexNode) {
        for index in 0..<node.count {
            if node.isLeaf { node.keys[index].deallocate() } else { free(node.children[index]) }
        }
        node.deallocate()
    }

    /// Live keys.
    var liveCount: Int { root.liveCount }

    // MARK: Lookup

    @inline(__always)
    func find(_ key: UnsafeRawBufferPointer) -> KeyEntry? {
        var node = root
        while !node.isLeaf { node = node.children[node.childIndex(key)] }
        let (index, isEqual) = node.lowerBound(key)
        return isEqual ? node.keys[index] : nil
    }

    /// Finds `key` or its place and remembers the way there for the mutation that follows.
    func locate(_ key: UnsafeRawBufferPointer) -> KeyEntry? {
        var node = root
        depth = 0
        while !node.isLeaf {
            let index = node.childIndex(key)
            path[depth] = Step(node: node, index: index)
            depth += 1
            node = node.children[index]
        }
        precondition(depth < KeyIndex.maximumDepth - 1)
        let (index, isEqual) = node.lowerBound(key)
        path[depth] = Step(node: node, index: index)
        depth += 1
        return isEqual ? node.keys[index] : nil
    }

    /// Whether the located key is live.
    var isLocatedLive: Bool { path[depth - 1].node.isLive(at: path[depth - 1].index) }

    // MARK: Mutation at the located place

    func setLocatedLive(_ live: Bool) {
        let leaf = path[depth - 1]
        guard leaf.node.isLive(at: leaf.index) != live else { return }
        leaf.node.setLive(live, at: leaf.index)
        addToCounts(live ? 1 : -1)
    }

    private func addToCounts(_ delta: Int) {
        for level in 0..<(depth - 1) { path[level].node.counts[path[level].index] += delta }
    }

    /// Inserts the key that `locate` did not find.
    func insertLocated(_ key: UnsafeRawBufferPointer, live: Bool) -> KeyEntry {
        let entry = KeyEntry(copying: key)
        count += 1
        var level = depth - 1
        let leaf = path[level].node
        let index = path[level].index
        if leaf.count < capacity {
            leaf.insertKey(entry, at: index)
            leaf.setLive(live, at: index)
            if live { addToCounts(1) }
            if index == 0 { raiseMinimum(entry, from: level) }
            return entry
        }

        var right = splitLeaf(leaf, inserting: entry, live: live, at: index)
        var left = leaf
        // The left half's minimum may be new as well.
        if index == 0 { raiseMinimum(entry, from: level) }
        while level > 0 {
            level -= 1
            let parent = path[level].node
            let position = path[level].index
            parent.counts[position] = left.liveCount
            if parent.count < capacity {
                parent.insertChild(right, at: position + 1)
                for above in 0..<level { if live { path[above].node.counts[path[above].index] += 1 } }
                return entry
            }
            right = splitInner(parent, inserting: right, at: position + 1)
            left = parent
        }
        let grown = IndexNode.makeInner(level: left.level + 1)
        grown.insertChild(left, at: 0)
        grown.insertChild(right, at: 1)
        root = grown
        return entry
    }

    /// A full leaf makes room: in the middle, or at its end when keys arrive in ascending order.
    private func splitLeaf(_ leaf: IndexNode, inserting entry: KeyEntry, live: Bool, at index: Int) -> IndexNode {
        let right = IndexNode.makeLeaf()
        let cut = index == leaf.count ? leaf.count : leaf.count / 2
        leaf.moveTail(from: cut, to: right)
        right.next = leaf.next
        leaf.next = right
        let goesRight = index > cut || cut == index && right.count == 0
        let target = goesRight ? right : leaf
        let place = goesRight ? index - cut : index
        target.insertKey(entry, at: place)
        target.setLive(live, at: place)
        return right
    }

    private func splitInner(_ node: IndexNode, inserting child: IndexNode, at index: Int) -> IndexNode {
        let right = IndexNode.makeInner(level: node.level)
        let cut = index == node.count ? node.count : node.count / 2
        node.moveTail(from: cut, to: right)
        if index > cut || right.count == 0 {
            right.insertChild(child, at: index - cut)
        } else {
            node.insertChild(child, at: index)
        }
        return right
    }

    /// Tells the ancestors that the smallest key below them changed.
    func raiseMinimum(_ entry: KeyEntry, from level: Int) {
        var level = level
        while level > 0 {
            level -= 1
            path[level].node.replaceKey(at: path[level].index, with: entry)
            if path[level].index > 0 { return }
        }
    }

    /// Takes the located key out and frees it.
    func removeLocated() {
        let leaf = path[depth - 1].node
        let index = path[depth - 1].index
        precondition(index < leaf.count)
        let entry = leaf.keys[index]
        if leaf.isLive(at: index) { addToCounts(-1) }
        leaf.removeSlot(at: index)
        if index == 0, leaf.count > 0 { raiseMinimum(leaf.keys[0], from: depth - 1) }
        count -= 1
        shrink()
        entry.deallocate()
    }

    /// Merges underfilled nodes along the path and drops empty ones.
    private func shrink() {
        var level = depth - 1
        while level > 0 {
            let node = path[level].node
            guard node.count < max(capacity / 4, 1) else { return }
            let parent = path[level - 1].node
            let position = path[level - 1].index
            if parent.count == 1 {
                // Without a sibling only emptiness matters.
                guard node.count == 0 else { return }
                if node.isLeaf { unlink(node) }
                node.deallocate()
                parent.removeSlot(at: 0)
            } else {
                let leftPosition = position + 1 < parent.count ? position : position - 1
                let left = parent.children[leftPosition]
                let right = parent.children[leftPosition + 1]
                let together = left.count + right.count
                guard together <= capacity * 3 / 4 || left.count == 0 || right.count == 0 else { return }
                left.absorb(right)
                parent.counts[leftPosition] += parent.counts[leftPosition + 1]
                parent.removeSlot(at: leftPosition + 1)
                right.deallocate()
                if left.count > 0, leftPosition == position {
                    // An emptied left node took over its sibling's minimum.
                    path[level - 1].index = leftPosition
                    setMinimum(left.keys[0], level: level)
                }
            }
            level -= 1
        }
        while !root.isLeaf, root.count <= 1 {
            let old = root
            root = old.count == 1 ? old.children[0] : .makeLeaf()
            old.deallocate()
        }
    }

    private func setMinimum(_ entry: KeyEntry, level: Int) {
        if path[level - 1].node.keys[path[level - 1].index] != entry { raiseMinimum(entry, from: level) }
    }

    /// Takes a leaf that has no sibling under its parent out of the chain of leaves.
    private func unlink(_ leaf: IndexNode) {
        var level = depth - 2
        while level >= 0, path[level].index == 0 { level -= 1 }
        guard level >= 0 else { return }
        var node = path[level].node.children[path[level].index - 1]
        while !node.isLeaf { node = node.children[node.count - 1] }
        node.next = leaf.next
    }

    // MARK: Bulk load

    /// Replaces the empty tree by one that was built from sorted keys.
    func adopt(root: IndexNode, count: Int) {
        precondition(self.count == 0, "bulk load into a filled index")
        free(self.root)
        self.root = root
        self.count = count
    }
}

extension IndexNode {
    /// Puts `child` with its minimum and its count at `index`.
    func insertChild(_ child: IndexNode, at index: Int) {
        insertKey(child.keys[0], at: index)
        children[index] = child
        counts[index] = child.liveCount
    }
}
