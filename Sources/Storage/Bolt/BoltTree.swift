// The pages of one bucket on their way out: the leaf being filled, and an unfinished branch page per level.

import Wire

#if canImport(Glibc)
import Glibc
#endif

/// A bucket being written or measured.
///
/// Every branch gets at least two children, for bbolt relies on it when it deletes: a full branch page is held back
/// until the next one has two.
struct BoltTree {
    private let pageSize: Int
    private let keepsBytes: Bool
    private var leaf: Leaf
    private var levels: [Level] = []
    private var hasPages = false
    var hasBuckets = false

    private struct Leaf {
        var count = 0
        /// Bytes of keys and values.
        var dataCount = 0
        var firstKeyCount = 0
        /// Elements as on the page, but for the position, which counts from the first key.
        var elements: ByteSink
        var data: ByteSink
        var size: Int { BoltFormat.pageHeader + count * BoltFormat.element + dataCount }
    }

    private struct Level {
        var current = Branch()
        var held: Branch?
    }

    private struct Branch {
        struct Child {
            var keyCount: Int
            var page: UInt64
        }
        var children: [Child] = []
        /// The children's keys behind each other, unless only measured.
        var keys: [UInt8] = []
        var size = BoltFormat.pageHeader

        mutating func add(_ child: Child, key: UnsafeRawBufferPointer) {
            children.append(child)
            keys.append(contentsOf: key)
            size += BoltFormat.element + child.keyCount
        }

        /// Takes the last child out, with its key.
        mutating func removeLast(keepsBytes: Bool) -> (Child, [UInt8]) {
            let child = children.removeLast()
            size -= BoltFormat.element + child.keyCount
            guard keepsBytes else { return (child, []) }
            let key = [UInt8](keys.suffix(child.keyCount))
            keys.removeLast(child.keyCount)
            return (child, key)
        }
    }

    init(pageSize: Int, keepsBytes: Bool) {
        self.pageSize = pageSize
        self.keepsBytes = keepsBytes
        leaf = Leaf(elements: ByteSink(capacity: keepsBytes ? 1024 : 16), data: ByteSink(capacity: keepsBytes ? pageSize : 16))
    }

    // MARK: Adding

    /// Whether the bucket is small enough to lie within its parent, by bbolt's rule.
    var isInline: Bool { !hasPages && !hasBuckets && leaf.size <= pageSize / 4 }

    var leafBytes: Int { leaf.size }

    mutating func add(keyCount: Int, valueCount: Int, _ writer: BoltWriter) {
        precondition(keyCount > 0 && keyCount <= BoltLimits.keyBytesMax, "a key of \(keyCount) bytes")
        precondition(valueCount <= BoltLimits.valueBytesMax, "a value of \(valueCount) bytes")
        if !fits(BoltFormat.element + keyCount + valueCount) { flushLeaf(writer) }
        if leaf.count == 0 { leaf.firstKeyCount = keyCount }
        leaf.count += 1
        leaf.dataCount += keyCount + valueCount
    }

    mutating func add(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, flags: UInt32, _ writer: BoltWriter) {
        add(keyCount: key.count, valueCount: value.count, writer)
        guard keepsBytes else { return }
        let position = leaf.data.count
        leaf.elements.append(uninitializedCapacity: BoltFormat.element) {
            $0.storeBytes(of: flags.littleEndian, as: UInt32.self)
            $0.storeBytes(of: UInt32(position).littleEndian, toByteOffset: 4, as: UInt32.self)
            $0.storeBytes(of: UInt32(key.count).littleEndian, toByteOffset: 8, as: UInt32.self)
            $0.storeBytes(of: UInt32(value.count).littleEndian, toByteOffset: 12, as: UInt32.self)
            return BoltFormat.element
        }
        leaf.data.append(key)
        leaf.data.append(value)
    }

    /// Whether the element goes into the leaf. Leaves are one page, unless too much of their last page would be wasted.
    private func fits(_ bytes: Int) -> Bool {
        let size = leaf.size
        let allocated = (size + pageSize - 1) / pageSize * pageSize
        if leaf.count == 0 || size + bytes <= allocated { return true }
        // Positions are 32 bits, an element's number 16.
        guard size < pageSize * BoltLimits.leafPagesWanted, leaf.count < 0x7FFF, size + bytes < 1 << 31 else { return false }
        return allocated - size > pageSize / 8
    }

    // MARK: Pages

    private mutating func flushLeaf(_ writer: BoltWriter) {
        hasPages = true
        let page = allocate(leaf.size, writer)
        if let output = writer.output { writeLeaf(page: page, padding: true, to: output) }
        let child = Branch.Child(keyCount: leaf.firstKeyCount, page: page)
        let firstKey = keepsBytes ? [UInt8](UnsafeRawBufferPointer(rebasing: leaf.data.bytes[..<leaf.firstKeyCount])) : []
        leaf.count = 0
        leaf.dataCount = 0
        leaf.elements.clear()
        leaf.data.clear(keeping: BoltLimits.scratchBytesKept)
        firstKey.withUnsafeBytes { addChild(child, $0, level: 0, writer) }
    }

    private func allocate(_ bytes: Int, _ writer: BoltWriter) -> UInt64 {
        defer { writer.nextPage += UInt64((bytes + pageSize - 1) / pageSize) }
        return writer.nextPage
    }

    private mutating func addChild(_ child: Branch.Child, _ key: UnsafeRawBufferPointer, level: Int, _ writer: BoltWriter) {
        if level == levels.count { levels.append(Level()) }
        if levels[level].current.children.count >= 2,
            levels[level].current.size + BoltFormat.element + child.keyCount > pageSize
        {
            let held = levels[level].held
            levels[level].held = levels[level].current
            levels[level].current = Branch()
            if let held { emit(held, level: level, writer) }
        }
        levels[level].current.add(child, key: key)
    }

    /// Writes a branch page out and tells the level above.
    private mutating func emit(_ branch: Branch, level: Int, _ writer: BoltWriter) {
        let page = write(branch, writer)
        let first = Branch.Child(keyCount: branch.children[0].keyCount, page: page)
        branch.keys.withUnsafeBytes { keys in
            addChild(first, UnsafeRawBufferPointer(rebasing: keys[..<(keepsBytes ? first.keyCount : 0)]), level: level + 1, writer)
        }
    }

    private func write(_ branch: Branch, _ writer: BoltWriter) -> UInt64 {
        let page = allocate(branch.size, writer)
        guard let output = writer.output else { return page }
        let start = output.count
        let pages = (branch.size + pageSize - 1) / pageSize
        output.append(zeros: pages * pageSize)
        let base = output.base + start
        Self.writeHeader(page: page, flags: BoltFormat.branchFlag, count: branch.children.count, overflow: pages - 1, to: base)
        var element = BoltFormat.pageHeader
        var position = BoltFormat.pageHeader + branch.children.count * BoltFormat.element
        for child in branch.children {
            base.storeBytes(of: UInt32(position - element).littleEndian, toByteOffset: element, as: UInt32.self)
            base.storeBytes(of: UInt32(child.keyCount).littleEndian, toByteOffset: element + 4, as: UInt32.self)
            base.storeBytes(of: child.page.littleEndian, toByteOffset: element + 8, as: UInt64.self)
            element += BoltFormat.element
            position += child.keyCount
        }
        branch.keys.withUnsafeBytes { keys in
            if let source = keys.baseAddress { (base + element).copyMemory(from: source, byteCount: keys.count) }
        }
        return page
    }

    /// Writes the leaf as a page.
    ///
    /// - Parameter padding: up to whole pages; not for an inline bucket.
    func writeLeaf(page: UInt64, padding: Bool, to output: ByteSink) {
        let size = leaf.size
        let pages = (size + pageSize - 1) / pageSize
        let start = output.count
        output.append(zeros: BoltFormat.pageHeader)
        Self.writeHeader(
            page: page, flags: BoltFormat.leafFlag, count: leaf.count, overflow: padding ? pages - 1 : 0, to: output.base + start)
        output.append(leaf.elements.bytes)
        // A position counts from its own element.
        for index in 0..<leaf.count {
            let field = output.base + start + BoltFormat.pageHeader + index * BoltFormat.element + 4
            let position = UnsafeRawPointer(field).u32(0) + UInt32((leaf.count - index) * BoltFormat.element)
            field.storeBytes(of: position.littleEndian, as: UInt32.self)
        }
        output.append(leaf.data.bytes)
        if padding { output.append(zeros: pages * pageSize - size) }
    }

    static func writeHeader(page: UInt64, flags: UInt16, count: Int, overflow: Int, to base: UnsafeMutableRawPointer) {
        base.storeBytes(of: page.littleEndian, as: UInt64.self)
        base.storeBytes(of: flags.littleEndian, toByteOffset: 8, as: UInt16.self)
        base.storeBytes(of: UInt16(count).littleEndian, toByteOffset: 10, as: UInt16.self)
        base.storeBytes(of: UInt32(overflow).littleEndian, toByteOffset: 12, as: UInt32.self)
    }

    // MARK: The end

    /// Writes what is unfinished and returns the root's page.
    mutating func finish(_ writer: BoltWriter) -> UInt64 {
        // An empty bucket that cannot be inline (the root bucket) is an empty leaf.
        if leaf.count > 0 || !hasPages { flushLeaf(writer) }
        var level = 0
        while true {
            guard var held = levels[level].held else {
                let branch = levels[level].current
                // A single page needs no branch above it.
                return branch.children.count == 1 ? branch.children[0].page : write(branch, writer)
            }
            var branch = levels[level].current
            if branch.children.count == 1 {
                if held.children.count > 2 {
                    let (child, key) = held.removeLast(keepsBytes: keepsBytes)
                    var rest = Branch()
                    key.withUnsafeBytes { rest.add(child, key: $0) }
                    branch.keys.withUnsafeBytes { rest.add(branch.children[0], key: $0) }
                    branch = rest
                } else {
                    // Three children with huge keys: one page with overflow.
                    branch.keys.withUnsafeBytes { held.add(branch.children[0], key: $0) }
                    branch = Branch()
                }
            }
            levels[level].held = nil
            levels[level].current = Branch()
            emit(held, level: level, writer)
            if !branch.children.isEmpty { emit(branch, level: level, writer) }
            level += 1
        }
    }
}
