// Watchers of intervals, found by a key that lies in them: a treap ordered by (start, end) in which every
// node knows the furthest end below it. A lookup costs O(log n) plus what it finds.

/// One node per distinct interval; its watchers form a list through the watchers themselves, and the
/// interval's bytes are those of the list's first watcher.
struct RangeTree {
    typealias NodeIndex = UInt32

    private struct Node {
        var head: WatcherIndex
        var priority: UInt32
        var left: NodeIndex = .noWatcher
        var right: NodeIndex = .noWatcher
        var parent: NodeIndex = .noWatcher
        /// The node of this subtree whose interval ends last.
        var furthest: NodeIndex
    }

    private var nodes: [Node] = []
    private var firstFree: NodeIndex = .noWatcher
    private var root: NodeIndex = .noWatcher
    private var randomState: UInt64
    /// Distinct intervals.
    private(set) var nodeCount = 0

    private static let none = NodeIndex.noWatcher

    init(seed: UInt64) { randomState = seed | 1 }

    var isEmpty: Bool { root == RangeTree.none }

    // MARK: Lookup

    /// Calls `body` with the first watcher of each interval that holds `key`.
    @inline(__always)
    func stab(_ key: UnsafeRawBufferPointer, _ table: WatcherTable, _ body: (WatcherIndex) -> Void) {
        guard root != RangeTree.none else { return }
        nodes.withUnsafeBufferPointer { stab(root, key, $0.baseAddress.unsafelyUnwrapped, table, body) }
    }

    private func stab(
        _ from: NodeIndex, _ key: UnsafeRawBufferPointer, _ nodes: UnsafePointer<Node>, _ table: WatcherTable,
        _ body: (WatcherIndex) -> Void
    ) {
        var index = from
        while index != RangeTree.none {
            let node = nodes + Int(index)
            guard endsAfter(nodes[Int(node.pointee.furthest)].head, key, table) else { return }
            if node.pointee.left != RangeTree.none { stab(node.pointee.left, key, nodes, table, body) }
            guard compareKeys(table[node.pointee.head].pointee.startKey, key) <= 0 else { return }
            if endsAfter(node.pointee.head, key, table) { body(node.pointee.head) }
            index = node.pointee.right
        }
    }

    @inline(__always)
    private func endsAfter(_ watcher: WatcherIndex, _ key: UnsafeRawBufferPointer, _ table: WatcherTable) -> Bool {
        let watcher = table[watcher]
        return watcher.pointee.interval == .fromKey || compareKeys(key, watcher.pointee.endKey) < 0
    }

    // MARK: Changes

    mutating func insert(_ index: WatcherIndex, _ table: WatcherTable) {
        var parent = RangeTree.none
        var isLeft = false
        var at = root
        while at != RangeTree.none {
            let order = compare(index, nodes[Int(at)].head, table)
            if order == 0 { return addToList(index, at, table) }
            parent = at
            isLeft = order < 0
            at = isLeft ? nodes[Int(at)].left : nodes[Int(at)].right
        }
        table[index].pointee.previousInList = .noWatcher
        table[index].pointee.nextInList = .noWatcher
        let new = makeNode(index)
        table[index].pointee.place = new
        nodes[Int(new)].parent = parent
        if parent == RangeTree.none {
            root = new
        } else if isLeft {
            nodes[Int(parent)].left = new
        } else {
            nodes[Int(parent)].right = new
        }
        var above = parent
        while above != RangeTree.none {
            updateFurthest(above, table)
            above = nodes[Int(above)].parent
        }
        while nodes[Int(new)].parent != RangeTree.none, nodes[Int(nodes[Int(new)].parent)].priority < nodes[Int(new)].priority {
            rotateUp(new, table)
        }
    }

    private func addToList(_ index: WatcherIndex, _ node: NodeIndex, _ table: WatcherTable) {
        // Behind the head, so that the node need not change.
        let head = nodes[Int(node)].head
        let next = table[head].pointee.nextInList
        table[index].pointee.place = node
        table[index].pointee.previousInList = head
        table[index].pointee.nextInList = next
        table[head].pointee.nextInList = index
        if next != .noWatcher { table[next].pointee.previousInList = index }
    }

    mutating func remove(_ index: WatcherIndex, _ table: WatcherTable) {
        let node = table[index].pointee.place
        let previous = table[index].pointee.previousInList
        let next = table[index].pointee.nextInList
        table[index].pointee.place = .noWatcher
        table[index].pointee.previousInList = .noWatcher
        table[index].pointee.nextInList = .noWatcher
        if next != .noWatcher { table[next].pointee.previousInList = previous }
        if previous != .noWatcher {
            table[previous].pointee.nextInList = next
            return
        }
        precondition(nodes[Int(node)].head == index, "watcher \(index) is not in the range tree")
        if next != .noWatcher {
            // The interval's bytes are equal, so the order of nodes stays.
            nodes[Int(node)].head = next
            return
        }
        removeNode(node, table)
    }

    private mutating func removeNode(_ node: NodeIndex, _ table: WatcherTable) {
        // Down to a place with at most one child, then out.
        while nodes[Int(node)].left != RangeTree.none, nodes[Int(node)].right != RangeTree.none {
            let left = nodes[Int(node)].left
            let right = nodes[Int(node)].right
            rotateUp(nodes[Int(left)].priority > nodes[Int(right)].priority ? left : right, table)
        }
        let child = nodes[Int(node)].left != RangeTree.none ? nodes[Int(node)].left : nodes[Int(node)].right
        let parent = nodes[Int(node)].parent
        replaceChild(of: parent, node, by: child)
        if child != RangeTree.none { nodes[Int(child)].parent = parent }
        var above = parent
        while above != RangeTree.none {
            updateFurthest(above, table)
            above = nodes[Int(above)].parent
        }
        nodes[Int(node)].left = firstFree
        firstFree = node
        nodeCount -= 1
    }

    private mutating func makeNode(_ head: WatcherIndex) -> NodeIndex {
        nodeCount += 1
        // xorshift64: priorities need no more than to be unpredictable in bulk.
        randomState ^= randomState << 13
        randomState ^= randomState >> 7
        randomState ^= randomState << 17
        let priority = UInt32(truncatingIfNeeded: randomState >> 16)
        if firstFree != RangeTree.none {
            let index = firstFree
            firstFree = nodes[Int(index)].left
            nodes[Int(index)] = Node(head: head, priority: priority, furthest: index)
            return index
        }
        let index = NodeIndex(nodes.count)
        nodes.append(Node(head: head, priority: priority, furthest: index))
        return index
    }

    private mutating func replaceChild(of parent: NodeIndex, _ old: NodeIndex, by new: NodeIndex) {
        if parent == RangeTree.none {
            root = new
        } else if nodes[Int(parent)].left == old {
            nodes[Int(parent)].left = new
        } else {
            nodes[Int(parent)].right = new
        }
    }

    /// Puts `node` above its parent.
    private mutating func rotateUp(_ node: NodeIndex, _ table: WatcherTable) {
        let parent = nodes[Int(node)].parent
        let grandparent = nodes[Int(parent)].parent
        let moved: NodeIndex
        if nodes[Int(parent)].left == node {
            moved = nodes[Int(node)].right
            nodes[Int(parent)].left = moved
            nodes[Int(node)].right = parent
        } else {
            moved = nodes[Int(node)].left
            nodes[Int(parent)].right = moved
            nodes[Int(node)].left = parent
        }
        if moved != RangeTree.none { nodes[Int(moved)].parent = parent }
        nodes[Int(parent)].parent = node
        nodes[Int(node)].parent = grandparent
        replaceChild(of: grandparent, parent, by: node)
        updateFurthest(parent, table)
        updateFurthest(node, table)
    }

    private mutating func updateFurthest(_ node: NodeIndex, _ table: WatcherTable) {
        let furthest = further(nodes[Int(node)].left, further(nodes[Int(node)].right, node, table), table)
        nodes[Int(node)].furthest = furthest
    }

    /// The one that ends later: `best` or the furthest node below `child`.
    private func further(_ child: NodeIndex, _ best: NodeIndex, _ table: WatcherTable) -> NodeIndex {
        guard child != RangeTree.none else { return best }
        let candidate = nodes[Int(child)].furthest
        return compareEnds(nodes[Int(candidate)].head, nodes[Int(best)].head, table) > 0 ? candidate : best
    }

    // MARK: Order

    private func compare(_ a: WatcherIndex, _ b: WatcherIndex, _ table: WatcherTable) -> Int {
        let order = compareKeys(table[a].pointee.startKey, table[b].pointee.startKey)
        return order != 0 ? order : compareEnds(a, b, table)
    }

    private func compareEnds(_ a: WatcherIndex, _ b: WatcherIndex, _ table: WatcherTable) -> Int {
        let a = table[a]
        let b = table[b]
        let isOpen = (a.pointee.interval == .fromKey, b.pointee.interval == .fromKey)
        switch isOpen {
        case (true, true): return 0
        case (true, false): return 1
        case (false, true): return -1
        case (false, false): return compareKeys(a.pointee.endKey, b.pointee.endKey)
        }
    }

    // MARK: Invariants

    /// Walks the whole tree; returns the number of watchers in it.
    func checkInvariants(_ table: WatcherTable) -> Int {
        var watchers = 0
        var seen = 0
        var last = WatcherIndex.noWatcher
        func check(_ index: NodeIndex, _ parent: NodeIndex) -> NodeIndex {
            let node = nodes[Int(index)]
            precondition(node.parent == parent, "node \(index) does not know its parent")
            if parent != RangeTree.none { precondition(nodes[Int(parent)].priority >= node.priority, "the heap order is broken") }
            var furthest = index
            if node.left != RangeTree.none {
                let below = check(node.left, index)
                if compareEnds(nodes[Int(below)].head, nodes[Int(furthest)].head, table) > 0 { furthest = below }
            }
            if last != .noWatcher { precondition(compare(last, node.head, table) < 0, "nodes are not in order") }
            last = node.head
            seen += 1
            var previous = WatcherIndex.noWatcher
            var watcher = node.head
            while watcher != .noWatcher {
                let value = table[watcher].pointee
                precondition(value.place == index && value.previousInList == previous, "the list of node \(index) is broken")
                precondition(compare(watcher, node.head, table) == 0)
                watchers += 1
                previous = watcher
                watcher = value.nextInList
            }
            if node.right != RangeTree.none {
                let below = check(node.right, index)
                if compareEnds(nodes[Int(below)].head, nodes[Int(furthest)].head, table) > 0 { furthest = below }
            }
            precondition(compareEnds(nodes[Int(node.furthest)].head, nodes[Int(furthest)].head, table) == 0, "node \(index) has a wrong end")
            return furthest
        }
        if root != RangeTree.none { _ = check(root, RangeTree.none) }
        precondition(seen == nodeCount)
        return watchers
    }
}
