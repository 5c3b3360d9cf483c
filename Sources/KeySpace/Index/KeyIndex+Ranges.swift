// Reading the index in order: key ranges, counts, and a forward cursor.

/// The keys that a request selects: `rangeEnd` empty means exactly `key`, one zero byte means "and all above".
public struct KeyRange {
    public var start: UnsafeRawBufferPointer
    public var end: UnsafeRawBufferPointer

    public init(key: UnsafeRawBufferPointer, rangeEnd: UnsafeRawBufferPointer) {
        start = key
        end = rangeEnd
    }

    @inline(__always) public var isSingle: Bool { end.count == 0 }
    @inline(__always) public var isUnbounded: Bool { end.count == 1 && end[0] == 0 }

    public func contains(_ key: UnsafeRawBufferPointer) -> Bool {
        if isSingle { return compareKeys(start, key) == 0 }
        return compareKeys(start, key) <= 0 && (isUnbounded || compareKeys(key, end) < 0)
    }
}

/// A place between keys; valid until the next change of the index.
struct IndexCursor {
    var leaf: IndexNode
    var index: Int
    /// Where to stop; nil at the end of all keys.
    let endLeaf: IndexNode?
    let endIndex: Int

    /// The next key and whether it is live.
    @inline(__always)
    mutating func next() -> (entry: KeyEntry, isLive: Bool)? {
        while true {
            if index < leaf.count {
                if leaf == endLeaf, index >= endIndex { return nil }
                defer { index += 1 }
                return (leaf.keys[index], leaf.isLive(at: index))
            }
            if leaf == endLeaf { return nil }
            guard let following = leaf.next else { return nil }
            leaf = following
            index = 0
        }
    }

    /// The next live key; passes over deleted ones without touching them.
    @inline(__always)
    mutating func nextLive() -> KeyEntry? {
        while true {
            let stop = leaf == endLeaf ? endIndex : leaf.count
            if index < stop {
                let rest = leaf.liveBits >> UInt64(index)
                if rest != 0 {
                    let found = index + rest.trailingZeroBitCount
                    if found < stop {
                        index = found + 1
                        return leaf.keys[found]
                    }
                }
                index = stop
            }
            if leaf == endLeaf { return nil }
            guard let following = leaf.next else { return nil }
            leaf = following
            index = 0
        }
    }
}

extension KeyIndex {
    /// First place whose key is not smaller than `key`.
    private func seek(_ key: UnsafeRawBufferPointer) -> (leaf: IndexNode, index: Int) {
        var node = root
        while !node.isLeaf { node = node.children[node.childIndex(key)] }
        return (node, node.lowerBound(key).index)
    }

    /// A cursor over the keys of `range`, which is not a single key, optionally from a later start.
    ///
    /// - Parameter after: resume behind this key, which need not be present any more.
    func cursor(_ range: KeyRange, after: UnsafeRawBufferPointer? = nil) -> IndexCursor {
        var start = seek(after ?? range.start)
        if let after, start.index < start.leaf.count, compareKeys(start.leaf.keys[start.index].bytes, after) == 0 {
            start.index += 1
        }
        if range.isUnbounded { return IndexCursor(leaf: start.leaf, index: start.index, endLeaf: nil, endIndex: 0) }
        if compareKeys(after ?? range.start, range.end) >= 0 {
            return IndexCursor(leaf: start.leaf, index: start.index, endLeaf: start.leaf, endIndex: start.index)
        }
        let end = seek(range.end)
        return IndexCursor(leaf: start.leaf, index: start.index, endLeaf: end.leaf, endIndex: end.index)
    }

    /// Live keys below `key`.
    private func rank(_ key: UnsafeRawBufferPointer) -> Int {
        var node = root
        var total = 0
        while !node.isLeaf {
            let index = node.childIndex(key)
            let counts = node.counts
            for left in 0..<index { total += counts[left] }
            node = node.children[index]
        }
        let index = node.lowerBound(key).index
        let below = index < 64 ? (UInt64(1) << UInt64(index)) &- 1 : ~0
        return total + (node.liveBits & below).nonzeroBitCount
    }

    /// Live keys in `range`, in O(log n).
    func countLive(_ range: KeyRange) -> Int {
        if range.isUnbounded { return liveCount - rank(range.start) }
        if range.isSingle {
            var node = root
            while !node.isLeaf { node = node.children[node.childIndex(range.start)] }
            let (index, isEqual) = node.lowerBound(range.start)
            return isEqual && node.isLive(at: index) ? 1 : 0
        }
        guard compareKeys(range.start, range.end) < 0 else { return 0 }
        return rank(range.end) - rank(range.start)
    }
}
