// Reading a bbolt file: opening it and fetching pages. Nothing of the file is trusted.

#if canImport(Glibc)
import Glibc
#endif

/// A bbolt file opened for reading.
///
/// Memory does not grow with the file: a cursor holds one page per level of its tree. Every number of the file is
/// checked against its page and the file before it is used, so that a torn, truncated or damaged file, or one that
/// another process is writing to, yields errors and never anything else. Any thread may use it; cursors belong to one
/// thread at a time.
public final class BoltFile: Sendable {
    public let path: String
    /// The meta page in force: the valid one with the higher transaction.
    public let meta: BoltMeta
    /// Length of the file; at least `meta.size` if it is whole.
    public let fileSize: UInt64
    let file: any File

    /// Opens a file for reading, without locking it.
    ///
    /// - Parameter toleratesTruncation: opens a file that is shorter than its meta page says; what is missing is an error
    ///   where it is met.
    /// - Throws: `noValidMeta`, `truncated` (shorter than its meta page says) or `disk`.
    public convenience init(
        opening path: String, in fileSystem: any FileSystem, toleratesTruncation: Bool = false
    ) throws(BoltError) {
        let file: any File
        do { file = try fileSystem.open(path, .readOnly) } catch { throw BoltError(.disk(error), path: path) }
        do { try self.init(file, toleratesTruncation: toleratesTruncation) } catch {
            file.close()
            throw error
        }
    }

    init(_ file: any File, toleratesTruncation: Bool = false) throws(BoltError) {
        self.file = file
        path = file.path
        do { fileSize = try file.size() } catch { throw BoltError(.disk(error), path: file.path) }
        guard let meta = try BoltFile.findMeta(file, fileSize) else {
            throw BoltError(.noValidMeta, path: file.path, "\(fileSize) bytes")
        }
        self.meta = meta
        guard fileSize >= meta.size || toleratesTruncation else {
            throw BoltError(
                .truncated, path: path, offset: fileSize,
                "\(fileSize) bytes, \(meta.highWater) pages of \(meta.pageSize) need \(meta.size)")
        }
    }

    deinit { file.close() }

    /// The bucket that holds all others.
    public var root: BoltBucket { BoltBucket(file: self, root: .page(meta.root), sequence: meta.rootSequence, nesting: 0) }

    // MARK: Meta pages

    /// The meta page that is in force now: another one than `meta` if somebody has written to the file since it was opened.
    public func currentMeta() throws(BoltError) -> BoltMeta? {
        do { return try BoltFile.findMeta(file, try file.size()) } catch let error as StorageError {
            throw BoltError(.disk(error), path: path)
        } catch {
            throw error as! BoltError
        }
    }

    private static func findMeta(_ file: any File, _ size: UInt64) throws(BoltError) -> BoltMeta? {
        let first = try readMeta(file, at: 0, size)
        if let first {
            // The page size is known, so the second one's place is.
            guard let second = try readMeta(file, at: UInt64(first.pageSize), size), second.pageSize == first.pageSize else { return first }
            return second.transaction > first.transaction ? second : first
        }
        // The first is unusable; the second lies one page behind, whatever a page is.
        for shift in 0..<15 {
            let offset = UInt64(1024) << UInt64(shift)
            if let meta = try readMeta(file, at: offset, size), UInt64(meta.pageSize) == offset { return meta }
        }
        return nil
    }

    private static func readMeta(_ file: any File, at offset: UInt64, _ size: UInt64) throws(BoltError) -> BoltMeta? {
        let length = BoltFormat.pageHeader + BoltFormat.metaBytes
        guard offset + UInt64(length) <= size else { return nil }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: length, alignment: 8)
        defer { buffer.deallocate() }
        do {
            guard try file.read(into: buffer, at: offset) == length else { return nil }
        } catch {
            throw BoltError(.disk(error), path: file.path, offset: offset)
        }
        return BoltMeta(UnsafeRawBufferPointer(rebasing: buffer[BoltFormat.pageHeader...]))
    }

    // MARK: Pages

    func offset(of page: UInt64) -> UInt64 { page * UInt64(meta.pageSize) }

    /// Fills the buffer from the file or says that it ends too early.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64, page: UInt64) throws(BoltError) {
        let count: Int
        do { count = try file.read(into: buffer, at: offset) } catch {
            throw BoltError(.disk(error), path: path, page: page, offset: offset)
        }
        guard count == buffer.count else {
            throw BoltError(.truncated, path: path, page: page, offset: offset + UInt64(count), "\(buffer.count - count) bytes are missing")
        }
    }

    /// Checks that a page may be at a place of a tree.
    func checkBounds(_ page: UInt64) throws(BoltError) {
        guard page >= 2, page < meta.highWater else {
            throw BoltError(.pageOutOfBounds, path: path, page: page, "the file has \(meta.highWater) pages")
        }
    }
}
