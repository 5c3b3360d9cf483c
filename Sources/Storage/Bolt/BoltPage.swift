// One branch or leaf page in memory, with checked access to its elements.

#if canImport(Glibc)
import Glibc
#endif

/// A page of a tree, reused for one page after the other. Of a large page only the head is kept; keys and values behind
/// it are read when asked for.
final class BoltPage {
    private let file: BoltFile
    private var memory: UnsafeMutableRawPointer
    private var capacity: Int
    /// Bytes in memory, from the page's start.
    private var loaded = 0
    /// Bytes of the page and its overflow.
    private var total = 0
    private(set) var number: UInt64 = 0
    private(set) var overflow: UInt32 = 0
    private(set) var isLeaf = false
    private(set) var count = 0
    /// Where the page begins in the file; for an inline bucket, where its value does.
    private var fileOffset: UInt64 = 0
    private var scratch: UnsafeMutableRawPointer?
    private var scratchCapacity = 0

    init(_ file: BoltFile) {
        self.file = file
        capacity = max(file.meta.pageSize, BoltFormat.pageHeader)
        memory = .allocate(byteCount: capacity, alignment: 16)
    }

    deinit {
        memory.deallocate()
        scratch?.deallocate()
    }

    // MARK: Loading

    func load(_ page: UInt64) throws(BoltError) {
        try file.checkBounds(page)
        let size = file.meta.pageSize
        number = page
        fileOffset = file.offset(of: page)
        reserve(size)
        try file.read(into: UnsafeMutableRawBufferPointer(start: memory, count: size), at: fileOffset, page: page)
        loaded = size
        let base = UnsafeRawPointer(memory)
        guard base.u64(0) == page else { throw error(.wrongPageNumber, "it says it is page \(base.u64(0))") }
        overflow = base.u32(12)
        guard UInt64(overflow) < file.meta.highWater - page else {
            throw error(.pageOutOfBounds, "\(overflow) overflow pages; the file has \(file.meta.highWater) pages")
        }
        total = (1 + Int(overflow)) * size
        try readHeader()
        let head = total <= BoltLimits.wholePageBytes ? total : BoltFormat.pageHeader + count * BoltFormat.element
        guard head > loaded else { return }
        reserve(head)
        try file.read(
            into: UnsafeMutableRawBufferPointer(start: memory + loaded, count: head - loaded), at: fileOffset + UInt64(loaded), page: page)
        loaded = head
    }

    /// An inline bucket: a leaf page within the value of an element.
    func load(inline bytes: [UInt8]) throws(BoltError) {
        number = 0
        overflow = 0
        fileOffset = 0
        guard bytes.count >= BoltFormat.pageHeader else { throw error(.badBucket, "an inline page of \(bytes.count) bytes") }
        reserve(bytes.count)
        bytes.withUnsafeBytes { memory.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        loaded = bytes.count
        total = bytes.count
        try readHeader()
        guard isLeaf else { throw error(.wrongPageType, "an inline bucket is not a leaf") }
    }

    private func readHeader() throws(BoltError) {
        let base = UnsafeRawPointer(memory)
        switch base.u16(8) {
        case BoltFormat.branchFlag: isLeaf = false
        case BoltFormat.leafFlag: isLeaf = true
        default: throw error(.wrongPageType, "flags \(base.u16(8)), a branch (1) or leaf (2) is expected")
        }
        count = Int(base.u16(10))
        guard BoltFormat.pageHeader + count * BoltFormat.element <= total else {
            throw error(.badElement, "\(count) elements in \(total) bytes")
        }
        guard isLeaf || count > 0 else { throw error(.badElement, "a branch without children") }
    }

    private func reserve(_ bytes: Int) {
        guard bytes > capacity else { return }
        let larger = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 16)
        larger.copyMemory(from: memory, byteCount: loaded)
        memory.deallocate()
        memory = larger
        capacity = bytes
    }

    func error(_ problem: BoltError.Problem, _ detail: String) -> BoltError {
        BoltError(problem, path: file.path, page: number == 0 ? nil : number, offset: number == 0 ? nil : fileOffset, detail)
    }

    // MARK: Elements

    private func elementOffset(_ index: Int) -> Int { BoltFormat.pageHeader + index * BoltFormat.element }

    /// Where an element's bytes lie in the page.
    private func extent(_ index: Int) throws(BoltError) -> (start: Int, key: Int, value: Int) {
        precondition(index >= 0 && index < count, "element \(index) of \(count)")
        let at = elementOffset(index)
        let base = UnsafeRawPointer(memory)
        // All are below 2^32, so their sum is no overflow.
        let start = at + Int(base.u32(isLeaf ? at + 4 : at))
        let key = Int(base.u32(isLeaf ? at + 8 : at + 4))
        let value = isLeaf ? Int(base.u32(at + 12)) : 0
        guard start >= BoltFormat.pageHeader + count * BoltFormat.element, start + key + value <= total else {
            throw error(.badElement, "element \(index): \(key) + \(value) bytes at \(start) of \(total)")
        }
        guard key > 0, key <= BoltLimits.keyBytesMax else { throw error(.badElement, "element \(index): a key of \(key) bytes") }
        return (start, key, value)
    }

    /// A key; valid until the page is loaded again or another view of it is asked for.
    func key(_ index: Int) throws(BoltError) -> UnsafeRawBufferPointer {
        let extent = try extent(index)
        return try view(extent.start, extent.key)
    }

    /// A leaf's value; as valid as a key.
    func value(_ index: Int) throws(BoltError) -> UnsafeRawBufferPointer {
        let extent = try extent(index)
        return try view(extent.start + extent.key, extent.value)
    }

    func sizes(_ index: Int) throws(BoltError) -> (key: Int, value: Int) {
        let extent = try extent(index)
        return (extent.key, extent.value)
    }

    func isBucket(_ index: Int) -> Bool {
        isLeaf && UnsafeRawPointer(memory).u32(elementOffset(index)) & BoltFormat.bucketElement != 0
    }

    /// A branch's child.
    func child(_ index: Int) -> UInt64 { UnsafeRawPointer(memory).u64(elementOffset(index) + 8) }

    private func view(_ start: Int, _ length: Int) throws(BoltError) -> UnsafeRawBufferPointer {
        if start + length <= loaded { return UnsafeRawBufferPointer(start: memory + start, count: length) }
        if length > scratchCapacity || scratchCapacity > BoltLimits.scratchBytesKept {
            scratch?.deallocate()
            scratch = .allocate(byteCount: length, alignment: 16)
            scratchCapacity = length
        }
        let buffer = UnsafeMutableRawBufferPointer(start: scratch, count: length)
        try file.read(into: buffer, at: fileOffset + UInt64(start), page: number)
        return UnsafeRawBufferPointer(buffer)
    }

    /// The first element whose key is not below `wanted`; `count` if there is none.
    func lowerBound(_ wanted: UnsafeRawBufferPointer) throws(BoltError) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if compareKeys(try key(middle), wanted) < 0 { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Bytes of the page that hold something.
    func usedBytes() throws(BoltError) -> Int {
        var used = elementOffset(count)
        for index in 0..<count {
            let sizes = try sizes(index)
            used += sizes.key + sizes.value
        }
        return used
    }
}

/// Byte order, as bbolt sorts keys.
@inline(__always)
func compareKeys(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Int {
    let shared = min(a.count, b.count)
    if shared > 0 {
        let order = memcmp(a.baseAddress!, b.baseAddress!, shared)
        if order != 0 { return Int(order) }
    }
    return a.count - b.count
}
