// What the storage layer needs of a file system. Two conformers: the kernel's (PosixFileSystem) and one that loses
// power on demand (StorageSimulation).

#if canImport(Glibc)
import Glibc
#endif

/// An open file. Reads and writes name their offset, so any thread may use it.
public protocol File: AnyObject, Sendable {
    var path: String { get }
    /// Reads until the buffer is full or the file ends; returns how many bytes it read.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(StorageError) -> Int
    /// Reads into several places, one filled after the other, until they are full or the file ends; returns how many
    /// bytes it read. At most `FileLimits.vectorsMax` places; what they say afterwards is undefined.
    func read(scattered places: UnsafeMutableBufferPointer<iovec>, at offset: UInt64) throws(StorageError) -> Int
    /// Writes everything or throws; after an error any part may have been written.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(StorageError)
    /// Makes content and size durable (fdatasync).
    func sync() throws(StorageError)
    func truncate(to length: UInt64) throws(StorageError)
    /// Reserves space for the first `length` bytes. `extending` also makes the file that long, reading as zeros.
    func preallocate(_ length: UInt64, extending: Bool) throws(StorageError)
    func size() throws(StorageError) -> UInt64
    /// Locks the file against other processes until it is closed; throws `.locked` at once if it is taken.
    func lock() throws(StorageError)
    func close()
}

extension File {
    public func read(scattered places: UnsafeMutableBufferPointer<iovec>, at offset: UInt64) throws(StorageError) -> Int {
        var done = 0
        for place in places {
            let count = try read(
                into: UnsafeMutableRawBufferPointer(start: place.iov_base, count: place.iov_len), at: offset + UInt64(done))
            done += count
            if count < place.iov_len { break }
        }
        return done
    }
}

public enum FileLimits {
    /// Places of one scattered read (the kernel's IOV_MAX).
    public static let vectorsMax = 1024
}

public enum OpenMode: Sendable {
    case readOnly
    case readWrite
    /// Creates the file, or empties it if it exists.
    case create
}

public protocol FileSystem: Sendable {
    func open(_ path: String, _ mode: OpenMode) throws(StorageError) -> any File
    /// Creates a directory of mode 0700 and whatever is missing above it.
    func createDirectory(_ path: String) throws(StorageError)
    func exists(_ path: String) -> Bool
    /// Names in a directory, sorted.
    func list(_ directory: String) throws(StorageError) -> [String]
    func rename(_ from: String, to: String) throws(StorageError)
    /// Makes `to` a second name of the file `from`.
    func link(_ from: String, to: String) throws(StorageError)
    func remove(_ path: String) throws(StorageError)
    func removeDirectory(_ path: String) throws(StorageError)
    /// Makes creations, renames and removals in the directory durable.
    func syncDirectory(_ path: String) throws(StorageError)
    /// Locks a directory against other processes for as long as the answer lives.
    func lockDirectory(_ path: String) throws(StorageError) -> any DirectoryLock
}

/// Held for as long as the object lives.
public protocol DirectoryLock: AnyObject, Sendable {
    func release()
}

/// The directory that a path names something in.
public func parentDirectory(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
}

extension FileSystem {
    /// Creates a directory and what is missing above it, so that their names outlast a power loss.
    public func createDirectoryDurably(_ path: String) throws(StorageError) {
        guard !exists(path) else { return }
        let parent = parentDirectory(of: path)
        if parent != "/", parent != "." { try createDirectoryDurably(parent) }
        try createDirectory(path)
        try syncDirectory(parent)
    }

    /// The whole content of a small file.
    public func contents(of path: String, limit: Int) throws(StorageError) -> [UInt8] {
        let file = try open(path, .readOnly)
        defer { file.close() }
        let size = try file.size()
        guard size <= UInt64(limit) else { throw StorageError(.read, path, .corrupt("\(size) bytes, at most \(limit) expected")) }
        var failure: StorageError?
        let bytes = [UInt8](unsafeUninitializedCapacity: Int(size)) { buffer, count in
            do throws(StorageError) { count = try file.read(into: UnsafeMutableRawBufferPointer(buffer), at: 0) } catch { failure = error }
        }
        if let failure { throw failure }
        return bytes
    }

    /// Puts a file in place so that a power loss leaves either the old content or the new one; without syncs, so that the end of
    /// the process does.
    public func replace(
        _ path: String, with bytes: UnsafeRawBufferPointer, in directory: String, skipsSync: Bool = false
    ) throws(StorageError) {
        let temporary = path + ".tmp"
        let file = try open(temporary, .create)
        do throws(StorageError) {
            try file.write(bytes, at: 0)
            if !skipsSync { try file.sync() }
        } catch {
            file.close()
            throw error
        }
        file.close()
        try rename(temporary, to: path)
        if !skipsSync { try syncDirectory(directory) }
    }
}
