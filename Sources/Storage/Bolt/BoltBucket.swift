// Buckets: named, sorted maps of keys to values or to further buckets.

/// A bucket of a file that is open for reading.
public struct BoltBucket: Sendable {
    enum Root: Sendable {
        case page(UInt64)
        /// Small buckets lie within the value of their element: a leaf page's bytes.
        case inline([UInt8])
    }

    let file: BoltFile
    let root: Root
    /// The bucket's own counter.
    public let sequence: UInt64
    let nesting: Int

    init(file: BoltFile, root: Root, sequence: UInt64, nesting: Int) {
        self.file = file
        self.root = root
        self.sequence = sequence
        self.nesting = nesting
    }

    /// Reads the value of an element that is a bucket.
    init(file: BoltFile, stored value: UnsafeRawBufferPointer, nesting: Int) throws(BoltError) {
        guard nesting <= BoltLimits.nestingMax else {
            throw BoltError(.badBucket, path: file.path, "buckets are nested more than \(BoltLimits.nestingMax) deep")
        }
        guard value.count >= BoltFormat.bucketHeader, let base = value.baseAddress else {
            throw BoltError(.badBucket, path: file.path, "a bucket's value has \(value.count) bytes")
        }
        let page = base.u64(0)
        self.init(
            file: file,
            root: page == 0 ? .inline([UInt8](UnsafeRawBufferPointer(rebasing: value[BoltFormat.bucketHeader...]))) : .page(page),
            sequence: base.u64(8), nesting: nesting)
    }

    /// Whether the bucket lies within its parent's page.
    public var isInline: Bool { if case .inline = root { true } else { false } }

    /// The page of the bucket's root; nil if it is inline.
    public var rootPage: UInt64? { if case .page(let number) = root { number } else { nil } }

    public func cursor() -> BoltCursor { BoltCursor(self) }

    /// The bucket of a name in this one; nil if there is none, or if it is a value.
    public func bucket(_ name: String) throws(BoltError) -> BoltBucket? {
        let cursor = cursor()
        guard try seek(cursor, Array(name.utf8)), cursor.isBucket else { return nil }
        return try cursor.subBucket()
    }

    /// A key's value; nil if there is none, or if it is a bucket.
    public func value(of key: [UInt8]) throws(BoltError) -> [UInt8]? {
        let cursor = cursor()
        guard try seek(cursor, key), !cursor.isBucket else { return nil }
        return [UInt8](try cursor.value())
    }

    private func seek(_ cursor: BoltCursor, _ key: [UInt8]) throws(BoltError) -> Bool {
        var failure: BoltError?
        let found = key.withUnsafeBytes { wanted -> Bool in
            do throws(BoltError) {
                return try cursor.seek(wanted) && cursor.key.elementsEqual(wanted)
            } catch {
                failure = error
                return false
            }
        }
        if let failure { throw failure }
        return found
    }

    /// Visits all elements in key order. The views are valid during the call; of a bucket the value is how it is stored.
    ///
    /// - Throws: `BoltError`, or what the body throws.
    public func forEach(
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, _ isBucket: Bool) throws -> Void
    ) throws {
        let cursor = cursor()
        var found = try cursor.first()
        while found {
            try body(cursor.key, try cursor.value(), cursor.isBucket)
            found = try cursor.next()
        }
    }

    /// Names of the buckets in this one, sorted.
    public func bucketNames() throws(BoltError) -> [[UInt8]] {
        var names: [[UInt8]] = []
        let cursor = cursor()
        var found = try cursor.first()
        while found {
            if cursor.isBucket { names.append([UInt8](cursor.key)) }
            found = try cursor.next()
        }
        return names
    }
}
