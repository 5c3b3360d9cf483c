// Walking through a bucket in key order.

#if canImport(Glibc)
import Glibc
#endif

/// A position in a bucket. Holds one page per level of the tree; belongs to one thread at a time.
///
///     let cursor = bucket.cursor()
///     var found = try cursor.first()
///     while found {
///         use(cursor.key, try cursor.value())
///         found = try cursor.next()
///     }
///
/// After an error the cursor stands nowhere; position it again.
public final class BoltCursor {
    public let bucket: BoltBucket
    private var levels: [(page: BoltPage, index: Int)] = []
    /// Pages of deeper levels, kept for the next descent.
    private var spare: [BoltPage] = []
    private var isPositioned = false
    /// The current key, kept to check the next one's order.
    private var keyBuffer: UnsafeMutableRawPointer
    private var keyCount = 0
    private var keyCapacity = 64
    /// Pages loaded since the cursor was positioned: more than the file has means that they form a circle.
    private var pagesLoaded: UInt64 = 0

    init(_ bucket: BoltBucket) {
        self.bucket = bucket
        keyBuffer = .allocate(byteCount: keyCapacity, alignment: 8)
    }

    deinit { keyBuffer.deallocate() }

    // MARK: Moving

    /// Goes to the first element; false if the bucket is empty.
    public func first() throws(BoltError) -> Bool {
        try start()
        try descend { (_) throws(BoltError) in 0 }
        return try settle(comparing: false)
    }

    /// Goes to the last element; false if the bucket is empty.
    public func last() throws(BoltError) -> Bool {
        try start()
        try descend { (page) throws(BoltError) in page.isLeaf ? max(page.count, 1) - 1 : page.count - 1 }
        // An empty last leaf: bbolt leaves none behind, but one is no damage.
        while levels[levels.count - 1].page.count == 0 {
            guard try stepBack() else { return false }
        }
        return try take(comparing: false)
    }

    /// Goes to the first element whose key is not below `key`; false if there is none.
    public func seek(_ key: UnsafeRawBufferPointer) throws(BoltError) -> Bool {
        try start()
        try descend { (page) throws(BoltError) in
            let index = try page.lowerBound(key)
            if page.isLeaf { return index }
            // The child that begins at the key, or the one before, in whose range it lies.
            if index < page.count, compareKeys(try page.key(index), key) == 0 { return index }
            return max(index, 1) - 1
        }
        return try settle(comparing: false)
    }

    /// Goes on to the next element; false at the end.
    public func next() throws(BoltError) -> Bool {
        guard isPositioned else { return false }
        isPositioned = false
        levels[levels.count - 1].index += 1
        return try settle(comparing: true)
    }

    /// Goes back to the element before; false at the beginning.
    public func previous() throws(BoltError) -> Bool {
        guard isPositioned else { return false }
        isPositioned = false
        levels[levels.count - 1].index -= 1
        while levels[levels.count - 1].index < 0 || levels[levels.count - 1].page.count == 0 {
            guard try stepBack() else { return false }
        }
        return try take(comparing: true, isAscending: false)
    }

    // MARK: The element

    /// The key; valid until the cursor moves.
    public var key: UnsafeRawBufferPointer {
        precondition(isPositioned, "a cursor without a position")
        return UnsafeRawBufferPointer(start: keyBuffer, count: keyCount)
    }

    /// Whether the element is a bucket.
    public var isBucket: Bool {
        precondition(isPositioned, "a cursor without a position")
        let leaf = levels[levels.count - 1]
        return leaf.page.isBucket(leaf.index)
    }

    /// Bytes of the value, without reading it.
    public func valueCount() throws(BoltError) -> Int {
        precondition(isPositioned, "a cursor without a position")
        let leaf = levels[levels.count - 1]
        return try leaf.page.sizes(leaf.index).value
    }

    /// The value; valid until the cursor moves. Of a bucket: how it is stored.
    public func value() throws(BoltError) -> UnsafeRawBufferPointer {
        precondition(isPositioned, "a cursor without a position")
        let leaf = levels[levels.count - 1]
        return try leaf.page.value(leaf.index)
    }

    /// The bucket that the element is.
    public func subBucket() throws(BoltError) -> BoltBucket {
        precondition(isBucket, "the element is not a bucket")
        return try BoltBucket(file: bucket.file, stored: try value(), nesting: bucket.nesting + 1)
    }

    // MARK: Pages

    private func start() throws(BoltError) {
        isPositioned = false
        pagesLoaded = 0
        while let level = levels.popLast() { spare.append(level.page) }
        switch bucket.root {
        case .page(let number): try push(number)
        case .inline(let bytes):
            let page = spare.popLast() ?? BoltPage(bucket.file)
            levels.append((page, 0))
            try page.load(inline: bytes)
        }
    }

    private func push(_ number: UInt64) throws(BoltError) {
        pagesLoaded += 1
        guard levels.count < BoltLimits.depthMax, pagesLoaded <= bucket.file.meta.highWater else {
            throw BoltError(
                .circle, path: bucket.file.path, page: number, offset: nil, "depth \(levels.count), \(pagesLoaded) pages visited")
        }
        let page = spare.popLast() ?? BoltPage(bucket.file)
        do { try page.load(number) } catch {
            spare.append(page)
            throw error
        }
        levels.append((page, 0))
    }

    /// From the lowest level down to a leaf; the closure chooses the element on each page.
    private func descend(_ choose: (BoltPage) throws(BoltError) -> Int) throws(BoltError) {
        while true {
            let level = levels.count - 1
            let page = levels[level].page
            let index = try choose(page)
            levels[level].index = index
            if page.isLeaf { return }
            try push(page.child(index))
        }
    }

    /// Goes on to the next page while the position is behind the end of one; then takes the element.
    private func settle(comparing: Bool) throws(BoltError) -> Bool {
        while levels[levels.count - 1].index >= levels[levels.count - 1].page.count {
            // Up to a branch with another child.
            repeat {
                guard levels.count > 1 else { return false }
                spare.append(levels.removeLast().page)
                levels[levels.count - 1].index += 1
            } while levels[levels.count - 1].index >= levels[levels.count - 1].page.count
            let branch = levels[levels.count - 1]
            try push(branch.page.child(branch.index))
            try descend { (_) throws(BoltError) in 0 }
        }
        return try take(comparing: comparing)
    }

    /// To the last element of the page before; false if there is none.
    private func stepBack() throws(BoltError) -> Bool {
        repeat {
            guard levels.count > 1 else { return false }
            spare.append(levels.removeLast().page)
            levels[levels.count - 1].index -= 1
        } while levels[levels.count - 1].index < 0
        let branch = levels[levels.count - 1]
        try push(branch.page.child(branch.index))
        try descend { (page) throws(BoltError) in page.isLeaf ? max(page.count, 1) - 1 : page.count - 1 }
        return true
    }

    private func take(comparing: Bool, isAscending: Bool = true) throws(BoltError) -> Bool {
        let leaf = levels[levels.count - 1]
        let key = try leaf.page.key(leaf.index)
        if comparing {
            let order = compareKeys(UnsafeRawBufferPointer(start: keyBuffer, count: keyCount), key)
            guard isAscending ? order < 0 : order > 0 else {
                throw leaf.page.error(.keysOutOfOrder, "element \(leaf.index) is not \(isAscending ? "above" : "below") the one before")
            }
        }
        if key.count > keyCapacity {
            keyBuffer.deallocate()
            keyCapacity = key.count * 2
            keyBuffer = .allocate(byteCount: keyCapacity, alignment: 8)
        }
        keyBuffer.copyMemory(from: key.baseAddress!, byteCount: key.count)
        keyCount = key.count
        isPositioned = true
        return true
    }
}
