// Reading what can be read of a damaged bucket: a page that is not what its place demands is reported and left out, with
// everything below it, and the walk goes on behind it.

extension BoltBucket {
    /// Visits all elements that can be reached, in the order of the tree; views are valid during the call.
    ///
    /// - Parameter body: answers whether to go on.
    /// - Parameter damage: told of each page or element that was left out.
    public func salvage(
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, _ isBucket: Bool) throws -> Bool,
        damage: (BoltError) -> Void
    ) throws {
        var walk = Salvage(file: file)
        let page = BoltPage(file)
        do throws(BoltError) {
            switch root {
            case .page(let number): try page.load(number)
            case .inline(let bytes): try page.load(inline: bytes)
            }
        } catch {
            return damage(error)
        }
        _ = try walk.visit(page, depth: 1, body, damage)
    }
}

private struct Salvage {
    let file: BoltFile
    /// Pages visited: more than the file has means that they form a circle.
    private var pages: UInt64 = 0
    private var spare: [BoltPage] = []

    init(file: BoltFile) { self.file = file }

    mutating func visit(
        _ page: BoltPage, depth: Int, _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer, Bool) throws -> Bool, _ damage: (BoltError) -> Void
    ) throws -> Bool {
        pages += 1
        guard depth <= BoltLimits.depthMax, pages <= file.meta.highWater else {
            damage(BoltError(.circle, path: file.path, "depth \(depth), \(pages) pages visited"))
            return false
        }
        for index in 0..<page.count {
            if page.isLeaf {
                do {
                    // A view may live in the page's one scratch buffer: the key is copied.
                    let key = [UInt8](try page.key(index))
                    let value = try page.value(index)
                    guard try key.withUnsafeBytes({ try body($0, value, page.isBucket(index)) }) else { return false }
                } catch let error as BoltError {
                    damage(error)
                }
                continue
            }
            let child = spare.popLast() ?? BoltPage(file)
            defer { spare.append(child) }
            do throws(BoltError) { try child.load(page.child(index)) } catch {
                damage(error)
                continue
            }
            guard try visit(child, depth: depth + 1, body, damage) else { return false }
        }
        return true
    }
}

extension BoltFile {
    /// Visits the elements of all leaves of a file whose tree cannot be followed, page by page in the order of their first
    /// keys. Leaves that the database had given up may be among them: the caller must expect keys to come again and out of order.
    ///
    /// - Parameter isWanted: whether a leaf that begins with this key belongs to what is looked for.
    /// - Parameter body: answers whether to go on; views are valid during the call.
    public func salvageLeaves(
        _ isWanted: (_ firstKey: UnsafeRawBufferPointer) -> Bool,
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, _ page: UInt64) throws -> Bool, damage: (BoltError) -> Void
    ) throws {
        let page = BoltPage(self)
        var leaves: [(firstKey: [UInt8], number: UInt64)] = []
        var number: UInt64 = 2
        while number < min(meta.highWater, fileSize / UInt64(meta.pageSize)) {
            // Most pages are behind the head of a longer one, or of another kind: no damage.
            guard (try? page.load(number)) != nil else {
                number += 1
                continue
            }
            if page.isLeaf, page.count > 0, let key = try? page.key(0), isWanted(key) { leaves.append(([UInt8](key), number)) }
            number += 1 + UInt64(page.overflow)
        }
        leaves.sort { $0.firstKey.lexicographicallyPrecedes($1.firstKey) }
        for leaf in leaves {
            do {
                guard try visitLeaf(leaf.number, page, { try body($0, $1, leaf.number) }) else { return }
            } catch let error as BoltError {
                damage(error)
            }
        }
    }

    /// Visits the elements of one leaf.
    public func salvageLeaf(_ number: UInt64, _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws -> Bool) throws {
        _ = try visitLeaf(number, BoltPage(self), body)
    }

    private func visitLeaf(
        _ number: UInt64, _ page: BoltPage, _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws -> Bool
    ) throws -> Bool {
        try page.load(number)
        guard page.isLeaf else { return true }
        for index in 0..<page.count {
            let key = [UInt8](try page.key(index))
            let value = try page.value(index)
            guard try key.withUnsafeBytes({ try body($0, value) }) else { return false }
        }
        return true
    }
}

extension BoltFile {
    /// Visits the elements of every leaf page that there is, in use or given up, in the order of pages.
    ///
    /// - Parameter body: gets the number of the page, of the element and of all elements, then key and value, whose views are
    ///   valid during the call; answers whether to go on with the page.
    /// - Parameter unreadable: told of each page or element that makes no sense.
    public func scanLeaves(
        _ body: (_ page: UInt64, _ index: Int, _ count: Int, _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws -> Bool,
        unreadable: (_ page: UInt64, BoltError) -> Void
    ) throws {
        let page = BoltPage(self)
        var number: UInt64 = 2
        while number < meta.highWater {
            do throws(BoltError) { try page.load(number) } catch {
                unreadable(number, error)
                number += 1
                continue
            }
            guard page.isLeaf else {
                number += 1
                continue
            }
            for index in 0..<page.count {
                do {
                    let key = [UInt8](try page.key(index))
                    let value = try page.value(index)
                    guard try key.withUnsafeBytes({ try body(number, index, page.count, $0, value) }) else { break }
                } catch let error as BoltError {
                    unreadable(number, error)
                }
            }
            number += 1 + UInt64(page.overflow)
        }
    }
}
