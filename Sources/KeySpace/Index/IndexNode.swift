// A node of the key index as a typed view of raw memory: reading one costs no reference counting.
//
// Layout (offsets in bytes):
//   0 count u16 · 2 level u8 (0 = leaf) · 4 prefix length u32 · 8 live bits u64 (leaf) · 16 next leaf
//   32 heads 64 × u64 · 544 keys 64 × pointer · 1056 children 64 × pointer · 1568 live counts 64 × u64
// The last two arrays exist in inner nodes only. `keys` of a leaf are its entries, of an inner node the
// smallest key below each child. All keys of a node share `prefixLength` bytes, and `heads` holds the eight
// bytes after them, so that a search touches the node and hardly ever a key.

#if canImport(Glibc)
import Glibc
#endif

struct IndexNode: Equatable {
    let base: UnsafeMutableRawPointer

    static let maximumCapacity = 64
    private static let leafSize = 1056
    private static let innerSize = 2080

    static func makeLeaf() -> IndexNode { IndexNode(level: 0, size: leafSize) }
    static func makeInner(level: Int) -> IndexNode { IndexNode(level: level, size: innerSize) }

    private init(level: Int, size: Int) {
        guard let block = malloc(size) else { fatalError("out of memory: an index node") }
        base = block
        memset(base, 0, 32)
        base.storeBytes(of: UInt8(level), toByteOffset: 2, as: UInt8.self)
    }

    init(base: UnsafeMutableRawPointer) { self.base = base }

    func deallocate() { free(base) }

    var count: Int {
        @inline(__always) get { Int(base.load(as: UInt16.self)) }
        nonmutating set { base.storeBytes(of: UInt16(newValue), as: UInt16.self) }
    }

    @inline(__always) var level: Int { Int(base.load(fromByteOffset: 2, as: UInt8.self)) }
    @inline(__always) var isLeaf: Bool { level == 0 }

    var prefixLength: Int {
        @inline(__always) get { Int(base.load(fromByteOffset: 4, as: UInt32.self)) }
        nonmutating set { base.storeBytes(of: UInt32(newValue), toByteOffset: 4, as: UInt32.self) }
    }

    /// Bit i: entry i of the leaf is live (its newest version is not a tombstone).
    var liveBits: UInt64 {
        @inline(__always) get { base.load(fromByteOffset: 8, as: UInt64.self) }
        nonmutating set { base.storeBytes(of: newValue, toByteOffset: 8, as: UInt64.self) }
    }

    var next: IndexNode? {
        @inline(__always) get {
            base.load(fromByteOffset: 16, as: UnsafeMutableRawPointer?.self).map { IndexNode(base: $0) }
        }
        nonmutating set { base.storeBytes(of: newValue?.base, toByteOffset: 16, as: UnsafeMutableRawPointer?.self) }
    }

    @inline(__always) var heads: UnsafeMutablePointer<UInt64> { (base + 32).assumingMemoryBound(to: UInt64.self) }
    @inline(__always) var keys: UnsafeMutablePointer<KeyEntry> { (base + 544).assumingMemoryBound(to: KeyEntry.self) }
    @inline(__always) var children: UnsafeMutablePointer<IndexNode> {
        (base + 1056).assumingMemoryBound(to: IndexNode.self)
    }
    @inline(__always) var counts: UnsafeMutablePointer<Int> { (base + 1568).assumingMemoryBound(to: Int.self) }

    /// Live keys in and below the node.
    var liveCount: Int {
        if isLeaf { return liveBits.nonzeroBitCount }
        var total = 0
        for index in 0..<count { total += counts[index] }
        return total
    }

    // MARK: Search

    /// First index whose key is not smaller than `key`, and whether it is equal.
    @inline(__always)
    func lowerBound(_ key: UnsafeRawBufferPointer) -> (index: Int, isEqual: Bool) {
        let count = self.count
        if count == 0 { return (0, false) }
        let prefix = prefixLength
        if prefix > 0 {
            let shared = min(prefix, key.count)
            let order = shared > 0 ? memcmp(key.baseAddress!, keys[0].bytes.baseAddress!, shared) : 0
            if order != 0 { return (order < 0 ? 0 : count, false) }
            if key.count < prefix { return (0, false) }
        }
        let head = keyHead(key, from: prefix)
        let heads = self.heads
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) >> 1
            if heads[middle] < head { low = middle + 1 } else { high = middle }
        }
        if low == count || heads[low] != head { return (low, false) }
        // Among equal heads the whole keys decide.
        high = low + 1
        while high < count, heads[high] == head { high += 1 }
        while low < high {
            let middle = (low + high) >> 1
            let order = compareKeys(keys[middle].bytes, key)
            if order == 0 { return (middle, true) }
            if order < 0 { low = middle + 1 } else { high = middle }
        }
        return (low, false)
    }

    /// The child whose range holds `key`.
    @inline(__always)
    func childIndex(_ key: UnsafeRawBufferPointer) -> Int {
        let (index, isEqual) = lowerBound(key)
        return isEqual ? index : max(index - 1, 0)
    }

    // MARK: Heads

    private func refreshHeads() {
        let prefix = prefixLength
        for index in 0..<count { heads[index] = keyHead(keys[index].bytes, from: prefix) }
    }

    /// Takes the longest prefix that the node's keys share; for after many keys came or went.
    func recomputePrefix() {
        guard count > 0 else {
            prefixLength = 0
            return
        }
        prefixLength = commonPrefixLength(keys[0].bytes, keys[count - 1].bytes)
        refreshHeads()
    }

    /// Shortens the shared prefix to what `key` has of it.
    private func admit(_ key: KeyEntry) {
        if count == 0 {
            prefixLength = key.length
            return
        }
        let shared = commonPrefixLength(key.bytes, keys[0].bytes, limit: prefixLength)
        if shared < prefixLength {
            prefixLength = shared
            refreshHeads()
        }
    }

    // MARK: Slots

    /// Makes room at `index` for `key`; the caller fills child and count, or the live bit, of the slot.
    func insertKey(_ key: KeyEntry, at index: Int) {
        admit(key)
        let count = self.count
        let moved = count - index
        if moved > 0 {
            memmove(heads + index + 1, heads + index, moved * 8)
            memmove(keys + index + 1, keys + index, moved * 8)
            if !isLeaf {
                memmove(children + index + 1, children + index, moved * 8)
                memmove(counts + index + 1, counts + index, moved * 8)
            }
        }
        keys[index] = key
        heads[index] = keyHead(key.bytes, from: prefixLength)
        if isLeaf {
            let below = (UInt64(1) << UInt64(index)) &- 1
            liveBits = (liveBits & below) | ((liveBits & ~below) << 1)
        }
        self.count = count + 1
    }

    func setLive(_ live: Bool, at index: Int) {
        let bit = UInt64(1) << UInt64(index)
        liveBits = live ? liveBits | bit : liveBits & ~bit
    }

    @inline(__always)
    func isLive(at index: Int) -> Bool { liveBits >> UInt64(index) & 1 == 1 }

    /// An inner node's new smallest key below child `index`.
    func replaceKey(at index: Int, with key: KeyEntry) {
        // The old key may already be freed, and the prefix is read from the first: order matters here.
        if count == 1 {
            prefixLength = key.length
        } else {
            let other = keys[index == 0 ? count - 1 : 0]
            let shared = commonPrefixLength(key.bytes, other.bytes, limit: prefixLength)
            keys[index] = key
            if shared < prefixLength {
                prefixLength = shared
                refreshHeads()
            }
        }
        keys[index] = key
        heads[index] = keyHead(key.bytes, from: prefixLength)
    }

    func removeSlot(at index: Int) {
        let count = self.count
        let moved = count - index - 1
        if moved > 0 {
            memmove(heads + index, heads + index + 1, moved * 8)
            memmove(keys + index, keys + index + 1, moved * 8)
            if !isLeaf {
                memmove(children + index, children + index + 1, moved * 8)
                memmove(counts + index, counts + index + 1, moved * 8)
            }
        }
        if isLeaf {
            let below = (UInt64(1) << UInt64(index)) &- 1
            liveBits = (liveBits & below) | ((liveBits >> 1) & ~below)
        }
        self.count = count - 1
    }

    /// Moves the slots from `index` on to the empty node `right`.
    func moveTail(from index: Int, to right: IndexNode) {
        let moved = count - index
        memcpy(right.keys, keys + index, moved * 8)
        if isLeaf {
            right.liveBits = index < 64 ? liveBits >> UInt64(index) : 0
            liveBits &= index < 64 ? (UInt64(1) << UInt64(index)) &- 1 : ~0
        } else {
            memcpy(right.children, children + index, moved * 8)
            memcpy(right.counts, counts + index, moved * 8)
        }
        right.count = moved
        count = index
        recomputePrefix()
        right.recomputePrefix()
    }

    /// Takes over everything from `right`, whose keys are all larger.
    func absorb(_ right: IndexNode) {
        let moved = right.count
        memcpy(keys + count, right.keys, moved * 8)
        if isLeaf {
            if count < 64 { liveBits |= right.liveBits << UInt64(count) }
            next = right.next
        } else {
            memcpy(children + count, right.children, moved * 8)
            memcpy(counts + count, right.counts, moved * 8)
        }
        count += moved
        recomputePrefix()
    }
}
