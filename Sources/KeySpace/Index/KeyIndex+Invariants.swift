// The full check of the index's structure; tests call it after every mutation.

extension KeyIndex {
    /// What must hold of the whole tree; the first violation as text, or nil.
    func invariantViolation() -> String? {
        var previous: KeyEntry?
        var keys = 0
        var leaves: [IndexNode] = []

        func check(_ node: IndexNode, isRoot: Bool) -> String? {
            if node.count == 0 && !(isRoot && node.isLeaf) { return "empty node at level \(node.level)" }
            if node.count > capacity { return "node of \(node.count) slots" }
            for index in 0..<node.count {
                let key = node.keys[index].bytes
                if commonPrefixLength(key, node.keys[0].bytes) < node.prefixLength { return "key without the node's prefix" }
                if node.heads[index] != keyHead(key, from: node.prefixLength) { return "stale head" }
                if index > 0, compareKeys(node.keys[index - 1].bytes, key) >= 0 { return "keys out of order in a node" }
            }
            if node.isLeaf {
                leaves.append(node)
                if node.count < 64, node.liveBits >> UInt64(node.count) != 0 { return "live bits beyond the last entry" }
                for index in 0..<node.count {
                    if let previous, compareKeys(previous.bytes, node.keys[index].bytes) >= 0 { return "keys out of order" }
                    previous = node.keys[index]
                    keys += 1
                }
                return nil
            }
            for index in 0..<node.count {
                let child = node.children[index]
                if child.level != node.level - 1 { return "levels do not descend by one" }
                if child.count == 0 { return "empty child" }
                if child.keys[0] != node.keys[index] { return "separator is not the child's minimum" }
                if child.liveCount != node.counts[index] { return "count \(node.counts[index]) of \(child.liveCount) live keys" }
                if let found = check(child, isRoot: false) { return found }
            }
            return nil
        }

        if let found = check(root, isRoot: true) { return found }
        if keys != count { return "\(keys) keys, counted \(count)" }
        for (leaf, following) in zip(leaves, leaves.dropFirst()) where leaf.next != following {
            return "leaf chain is broken"
        }
        if leaves.last?.next != nil { return "leaf chain has no end" }
        return nil
    }
}
