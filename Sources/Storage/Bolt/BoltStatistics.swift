// What a bucket consists of: for tools, and for tests of the writer.

/// Pages and elements of a bucket and of the buckets within it.
public struct BoltStatistics: Equatable, Sendable {
    /// Keys with a value.
    public var keys = 0
    /// Buckets, this one included.
    public var buckets = 0
    public var inlineBuckets = 0
    public var branchPages = 0
    public var leafPages = 0
    /// Overflow pages of branches and leaves.
    public var branchOverflowPages = 0
    public var leafOverflowPages = 0
    /// Levels of pages of the deepest tree; 0 if all is inline.
    public var depth = 0
    public var keyBytes = 0
    public var valueBytes = 0
    /// Bytes of the pages, and how many of them hold something.
    public var allocatedBytes = 0
    public var usedBytes = 0
}

extension BoltBucket {
    /// Walks the whole bucket and those within it.
    public func statistics() throws(BoltError) -> BoltStatistics {
        var result = BoltStatistics()
        var budget = file.meta.highWater
        try addStatistics(to: &result, &budget)
        return result
    }

    private func addStatistics(to result: inout BoltStatistics, _ budget: inout UInt64) throws(BoltError) {
        result.buckets += 1
        switch root {
        case .inline(let bytes):
            result.inlineBuckets += 1
            let page = BoltPage(file)
            try page.load(inline: bytes)
            try addLeaf(page, to: &result, &budget)
        case .page(let number):
            try addPage(number, level: 1, to: &result, &budget)
        }
    }

    private func addPage(
        _ number: UInt64, level: Int, to result: inout BoltStatistics, _ budget: inout UInt64
    ) throws(BoltError) {
        guard budget > 0, level <= BoltLimits.depthMax else {
            throw BoltError(.circle, path: file.path, page: number, "depth \(level)")
        }
        budget -= 1
        let page = BoltPage(file)
        try page.load(number)
        result.depth = max(result.depth, level)
        result.allocatedBytes += (1 + Int(page.overflow)) * file.meta.pageSize
        result.usedBytes += try page.usedBytes()
        if page.isLeaf {
            result.leafPages += 1
            result.leafOverflowPages += Int(page.overflow)
            try addLeaf(page, to: &result, &budget)
        } else {
            result.branchPages += 1
            result.branchOverflowPages += Int(page.overflow)
            for index in 0..<page.count { try addPage(page.child(index), level: level + 1, to: &result, &budget) }
        }
    }

    private func addLeaf(_ page: BoltPage, to result: inout BoltStatistics, _ budget: inout UInt64) throws(BoltError) {
        for index in 0..<page.count {
            let sizes = try page.sizes(index)
            result.keyBytes += sizes.key
            guard page.isBucket(index) else {
                result.keys += 1
                result.valueBytes += sizes.value
                continue
            }
            let bucket = try BoltBucket(file: file, stored: try page.value(index), nesting: nesting + 1)
            try bucket.addStatistics(to: &result, &budget)
        }
    }
}
