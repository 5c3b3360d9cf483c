// Writing a bbolt file front to back, without ever going back: for snapshots that are made while they are sent.
//
// The meta pages come first and name the root page and the number of pages, so the same content is given twice: once to
// a writer that only measures (lengths are enough), once to one that writes. Both make the same decisions. Pages follow
// each other in post-order: a branch comes right behind the last page below it, so that only one unfinished page per
// level is kept, whatever the number of keys.

import Wire

/// What a measured file will consist of.
public struct BoltLayout: Equatable, Sendable {
    public let pageSize: Int
    /// Page of the root bucket.
    public let root: UInt64
    public let pageCount: UInt64
    /// Length of the file.
    public var size: UInt64 { pageCount * UInt64(pageSize) }
}

/// Makes a bbolt file of buckets and keys that are given in ascending order. Belongs to one thread at a time.
///
///     let measuring = BoltWriter(measuring: 4096)
///     give(measuring)                                   // beginBucket, add, endBucket
///     let layout = measuring.finish()
///     let writer = BoltWriter(layout, transaction: 2, output: sink)
///     give(writer)                                      // drain `sink` in between
///     writer.finish()
public final class BoltWriter {
    public let pageSize: Int
    let output: ByteSink?
    private let layout: BoltLayout?
    var nextPage: UInt64
    /// The root bucket and the buckets that are open, outermost first.
    private var trees: [BoltTree]
    private var names: [[UInt8]] = []
    private var isFinished = false

    /// Pages so far.
    public var pageCount: UInt64 { nextPage }

    /// Meta, meta, freelist.
    private static let pagesBefore: UInt64 = 3

    /// Makes a writer that only measures.
    public init(measuring pageSize: Int) {
        precondition(
            BoltLimits.writtenPageBytes.contains(pageSize) && pageSize & (pageSize - 1) == 0, "a page size of \(pageSize)")
        self.pageSize = pageSize
        output = nil
        layout = nil
        nextPage = Self.pagesBefore
        trees = [BoltTree(pageSize: pageSize, keepsBytes: false)]
    }

    /// Makes a writer for content that has been measured; the meta pages and an empty freelist go out at once.
    ///
    /// - Parameters:
    ///   - transaction: of the newer meta page; even and at least 2, so that it is the first one.
    ///   - output: finished pages are appended to it; the caller takes them out.
    public init(_ layout: BoltLayout, transaction: UInt64, output: ByteSink) {
        precondition(transaction >= 2 && transaction % 2 == 0, "transaction \(transaction) does not go to the first meta page")
        pageSize = layout.pageSize
        self.output = output
        self.layout = layout
        nextPage = Self.pagesBefore
        trees = [BoltTree(pageSize: layout.pageSize, keepsBytes: true)]
        for page in 0..<2 as Range<UInt64> {
            let meta = BoltMeta(
                pageSize: pageSize, root: layout.root, freelist: 2, highWater: layout.pageCount, transaction: transaction - page)
            let start = output.count
            output.append(zeros: pageSize)
            meta.write(page: page, to: output.base + start)
        }
        let start = output.count
        output.append(zeros: pageSize)
        BoltTree.writeHeader(page: 2, flags: BoltFormat.freelistFlag, count: 0, overflow: 0, to: output.base + start)
    }

    // MARK: Content

    /// Opens a bucket in the one that is open.
    public func beginBucket(_ name: String) {
        let name = Array(name.utf8)
        precondition(!name.isEmpty && trees.count <= BoltLimits.nestingMax)
        names.append(name)
        trees.append(BoltTree(pageSize: pageSize, keepsBytes: output != nil))
    }

    /// Closes the bucket that was opened last.
    public func endBucket() {
        var tree = trees.removeLast()
        let name = names.removeLast()
        trees[trees.count - 1].hasBuckets = true
        name.withUnsafeBytes { name in
            // Small buckets lie within their parent's page, as bbolt has it.
            guard tree.isInline else {
                let root = tree.finish(self)
                withUnsafeTemporaryAllocation(byteCount: BoltFormat.bucketHeader, alignment: 8) { value in
                    value.storeBytes(of: root.littleEndian, as: UInt64.self)
                    value.storeBytes(of: UInt64(0), toByteOffset: 8, as: UInt64.self)
                    trees[trees.count - 1].add(name, UnsafeRawBufferPointer(value), flags: BoltFormat.bucketElement, self)
                }
                return
            }
            guard output != nil else {
                return trees[trees.count - 1].add(keyCount: name.count, valueCount: BoltFormat.bucketHeader + tree.leafBytes, self)
            }
            let value = ByteSink(capacity: BoltFormat.bucketHeader + tree.leafBytes)
            value.append(zeros: BoltFormat.bucketHeader)
            tree.writeLeaf(page: 0, padding: false, to: value)
            trees[trees.count - 1].add(name, value.bytes, flags: BoltFormat.bucketElement, self)
        }
    }

    /// Adds a key to the open bucket; keys ascend.
    public func add(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
        trees[trees.count - 1].add(key, value, flags: 0, self)
    }

    /// Adds a key of which only the lengths are known, when measuring.
    public func add(keyCount: Int, valueCount: Int) {
        precondition(output == nil, "lengths cannot be written")
        trees[trees.count - 1].add(keyCount: keyCount, valueCount: valueCount, self)
    }

    /// Ends the file.
    ///
    /// - Throws: `BoltLayoutError` if what was written is not what was measured; the file is worthless then.
    @discardableResult
    public func finish() throws(BoltLayoutError) -> BoltLayout {
        precondition(trees.count == 1 && !isFinished, "\(trees.count - 1) buckets are open")
        isFinished = true
        let root = trees[0].finish(self)
        let result = BoltLayout(pageSize: pageSize, root: root, pageCount: nextPage)
        if let layout, layout != result { throw BoltLayoutError(measured: layout, written: result) }
        return result
    }
}

/// The content changed between measuring and writing.
public struct BoltLayoutError: Error, CustomStringConvertible {
    public let measured: BoltLayout
    public let written: BoltLayout
    public var description: String {
        "\(written.pageCount) pages were written, \(measured.pageCount) measured (root \(written.root), \(measured.root))"
    }
}
