// A consistency walk over a whole file, as `bbolt check` does it.

#if canImport(Glibc)
import Glibc
#endif

extension BoltFile {
    /// Checks every page that the file's buckets consist of: numbers, types, elements, order of keys within and between
    /// pages, each page used once, and, if the file has a freelist, that every other page is on it.
    ///
    /// Memory: one bit per page, and one page per level.
    ///
    /// - Returns: what is wrong, at most a hundred problems; empty for a good file.
    public func check() -> [BoltError] {
        var walk = BoltCheck(file: self)
        walk.run()
        return walk.problems
    }
}

private struct BoltCheck {
    let file: BoltFile
    var problems: [BoltError] = []
    /// A bit per page: used by a tree, the freelist or a meta page.
    private var used: BoltPageSet
    private var free: BoltPageSet

    init(file: BoltFile) {
        self.file = file
        used = BoltPageSet(file.meta.highWater)
        free = BoltPageSet(file.meta.freelist == nil ? 0 : file.meta.highWater)
    }

    mutating func run() {
        used.insert(0)
        used.insert(1)
        attempt { (walk) throws(BoltError) in try walk.readFreelist() }
        attempt { (walk) throws(BoltError) in try walk.visit(walk.file.root) }
        guard file.meta.freelist != nil, problems.isEmpty else { return }
        for page in 2..<max(file.meta.highWater, 2) where !used.contains(page) && !free.contains(page) {
            add(BoltError(.leaked, path: file.path, page: page, offset: file.offset(of: page)))
        }
    }

    private mutating func add(_ problem: BoltError) {
        if problems.count < BoltLimits.problemsMax { problems.append(problem) }
    }

    private mutating func attempt(_ body: (inout BoltCheck) throws(BoltError) -> Void) {
        do throws(BoltError) { try body(&self) } catch { add(error) }
    }

    private mutating func use(_ page: UInt64, overflow: UInt32) throws(BoltError) {
        for number in page...page + UInt64(overflow) {
            guard !used.contains(number) else {
                throw BoltError(.doubleUse, path: file.path, page: number, offset: file.offset(of: number), "it is used twice")
            }
            guard !free.contains(number) else {
                throw BoltError(.doubleUse, path: file.path, page: number, offset: file.offset(of: number), "it is used and on the freelist")
            }
            used.insert(number)
        }
    }

    // MARK: Freelist

    private mutating func readFreelist() throws(BoltError) {
        guard let number = file.meta.freelist else { return }
        try file.checkBounds(number)
        let start = file.offset(of: number)
        let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: BoltLimits.freelistPieceBytes, alignment: 16)
        defer { piece.deallocate() }
        let base = UnsafeRawPointer(piece.baseAddress!)
        try file.read(into: UnsafeMutableRawBufferPointer(rebasing: piece[..<24]), at: start, page: number)
        func wrong(_ problem: BoltError.Problem, _ detail: String) -> BoltError {
            BoltError(problem, path: file.path, page: number, offset: start, detail)
        }
        guard base.u64(0) == number else { throw wrong(.wrongPageNumber, "it says it is page \(base.u64(0))") }
        guard base.u16(8) == BoltFormat.freelistFlag else { throw wrong(.wrongPageType, "flags \(base.u16(8)), a freelist is expected") }
        let overflow = base.u32(12)
        guard UInt64(overflow) < file.meta.highWater - number else { throw wrong(.pageOutOfBounds, "\(overflow) overflow pages") }
        try use(number, overflow: overflow)
        var count = UInt64(base.u16(10))
        var offset = UInt64(BoltFormat.pageHeader)
        if base.u16(10) == BoltFormat.longCount {
            count = base.u64(16)
            offset += 8
        }
        let room = (UInt64(overflow) + 1) * UInt64(file.meta.pageSize) - offset
        guard count <= room / 8 else { throw wrong(.badElement, "\(count) free pages in \(room) bytes") }
        while count > 0 {
            let now = min(count, UInt64(piece.count / 8))
            try file.read(into: UnsafeMutableRawBufferPointer(rebasing: piece[..<Int(now * 8)]), at: start + offset, page: number)
            for index in 0..<Int(now) {
                let page = base.u64(index * 8)
                guard page >= 2, page < file.meta.highWater else { throw wrong(.pageOutOfBounds, "free page \(page)") }
                guard !free.contains(page), !used.contains(page) else { throw wrong(.doubleUse, "free page \(page)") }
                free.insert(page)
            }
            count -= now
            offset += now * 8
        }
    }

    // MARK: Trees

    private mutating func visit(_ bucket: BoltBucket) throws(BoltError) {
        switch bucket.root {
        case .page(let number):
            var last: [UInt8]?
            try visit(number, level: 1, from: nil, &last, bucket)
        case .inline(let bytes):
            let page = BoltPage(file)
            try page.load(inline: bytes)
            var last: [UInt8]?
            try visitElements(page, &last, bucket)
        }
    }

    /// - Parameters:
    ///   - from: what the parent says is the smallest key that may be in the page.
    ///   - last: the greatest key so far.
    private mutating func visit(
        _ number: UInt64, level: Int, from: [UInt8]?, _ last: inout [UInt8]?, _ bucket: BoltBucket
    ) throws(BoltError) {
        guard level <= BoltLimits.depthMax else { throw BoltError(.circle, path: file.path, page: number, "depth \(level)") }
        let page = BoltPage(file)
        try page.load(number)
        try use(number, overflow: page.overflow)
        if let from, page.count > 0, compare(try page.key(0), from) < 0 {
            throw page.error(.keysOutOfOrder, "its first key is below the one in its parent")
        }
        if page.isLeaf { return try visitElements(page, &last, bucket) }
        for index in 0..<page.count {
            let key = [UInt8](try page.key(index))
            if let last, !(key.withUnsafeBytes { compare($0, last) } > 0) {
                throw page.error(.keysOutOfOrder, "element \(index) is not above what is before it")
            }
            do throws(BoltError) {
                try visit(page.child(index), level: level + 1, from: key, &last, bucket)
            } catch {
                add(error)
                if problems.count >= BoltLimits.problemsMax { return }
            }
        }
    }

    private mutating func visitElements(_ page: BoltPage, _ last: inout [UInt8]?, _ bucket: BoltBucket) throws(BoltError) {
        for index in 0..<page.count {
            let key = try page.key(index)
            if let last, compare(key, last) <= 0 { throw page.error(.keysOutOfOrder, "element \(index) is not above the one before") }
            last = [UInt8](key)
            guard page.isBucket(index) else { continue }
            let inner = try BoltBucket(file: file, stored: try page.value(index), nesting: bucket.nesting + 1)
            do throws(BoltError) { try visit(inner) } catch { add(error) }
        }
    }

    private func compare(_ key: UnsafeRawBufferPointer, _ other: [UInt8]) -> Int {
        other.withUnsafeBytes { compareKeys(key, $0) }
    }
}

/// A bit per page.
private struct BoltPageSet {
    private var words: [UInt64]

    init(_ pages: UInt64) { words = Array(repeating: 0, count: Int(pages + 63) / 64) }

    func contains(_ page: UInt64) -> Bool {
        let word = Int(page / 64)
        return word < words.count && words[word] & (1 << (page % 64)) != 0
    }

    mutating func insert(_ page: UInt64) {
        let word = Int(page / 64)
        if word < words.count { words[word] |= 1 << (page % 64) }
    }
}
