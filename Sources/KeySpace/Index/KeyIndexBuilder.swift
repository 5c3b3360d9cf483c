// Building the index from keys in ascending order, as a checkpoint has them: linear, without a search per key.

struct KeyIndexBuilder {
    private let capacity: Int
    private let fill: Int
    private var leaves: [IndexNode] = []
    private var count = 0

    /// Leaves room in each node for the keys that arrive later.
    init(capacity: Int = IndexNode.maximumCapacity) {
        self.capacity = capacity
        fill = max(capacity * 7 / 8, 2)
    }

    /// Adds a key that is larger than all before it.
    mutating func append(_ key: UnsafeRawBufferPointer) -> KeyEntry {
        if leaves.isEmpty || leaves[leaves.count - 1].count >= fill {
            let leaf = IndexNode.makeLeaf()
            leaves.last?.next = leaf
            leaves.append(leaf)
        }
        let entry = KeyEntry(copying: key)
        let leaf = leaves[leaves.count - 1]
        leaf.keys[leaf.count] = entry
        leaf.count += 1
        count += 1
        return entry
    }

    /// Whether `key` may be appended: a checkpoint whose keys are out of order is damaged.
    func isAscending(_ key: UnsafeRawBufferPointer) -> Bool {
        guard let leaf = leaves.last else { return true }
        return compareKeys(leaf.keys[leaf.count - 1].bytes, key) < 0
    }

    /// Drops what was appended; for a load that failed half-way.
    mutating func discard() {
        for leaf in leaves {
            for index in 0..<leaf.count { leaf.keys[index].deallocate() }
            leaf.deallocate()
        }
        leaves = []
    }

    /// Builds the inner levels, once every key's newest version is known.
    mutating func finish(into index: KeyIndex, isLive: (KeyEntry) -> Bool) {
        guard !leaves.isEmpty else { return }
        for leaf in leaves {
            var bits: UInt64 = 0
            for slot in 0..<leaf.count where isLive(leaf.keys[slot]) { bits |= 1 << UInt64(slot) }
            leaf.liveBits = bits
            leaf.recomputePrefix()
        }
        var level = leaves
        while level.count > 1 {
            var above: [IndexNode] = []
            for node in level {
                if above.isEmpty || above[above.count - 1].count >= fill {
                    above.append(.makeInner(level: node.level + 1))
                }
                let parent = above[above.count - 1]
                let slot = parent.count
                parent.keys[slot] = node.keys[0]
                parent.children[slot] = node
                parent.counts[slot] = node.liveCount
                parent.count = slot + 1
            }
            for parent in above { parent.recomputePrefix() }
            level = above
        }
        index.adopt(root: level[0], count: count)
        leaves = []
    }
}
