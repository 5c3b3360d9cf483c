// A file system that changes nothing: what opens a store for use, opened by a tool that only looks. Repairs that an opening
// makes (a torn end cut off, strays removed) hold for the opened files and leave the disk as it is.

import Synchronization

#if canImport(Glibc)
import Glibc
#endif

/// Reads from another file system. Truncations are remembered, removals and syncs do nothing, everything else that would change
/// the disk is refused. Directories are locked for real, so that a server that runs on one is noticed.
public struct ReadOnlyFileSystem: FileSystem {
    private let base: any FileSystem

    public init(_ base: any FileSystem = PosixFileSystem()) { self.base = base }

    public func open(_ path: String, _ mode: OpenMode) throws(StorageError) -> any File {
        guard mode != .create else { throw Self.refusal(.create, path) }
        return ReadOnlyFile(try base.open(path, .readOnly))
    }

    public func createDirectory(_ path: String) throws(StorageError) {
        guard base.exists(path) else { throw Self.refusal(.createDirectory, path) }
    }

    public func exists(_ path: String) -> Bool { base.exists(path) }
    public func list(_ directory: String) throws(StorageError) -> [String] { try base.list(directory) }
    public func rename(_ from: String, to: String) throws(StorageError) { throw Self.refusal(.rename, from) }
    public func link(_ from: String, to: String) throws(StorageError) { throw Self.refusal(.link, from) }
    public func remove(_ path: String) throws(StorageError) {}
    public func removeDirectory(_ path: String) throws(StorageError) {}
    public func syncDirectory(_ path: String) throws(StorageError) {}
    public func lockDirectory(_ path: String) throws(StorageError) -> any DirectoryLock { try base.lockDirectory(path) }

    static func refusal(_ operation: StorageError.Operation, _ path: String) -> StorageError {
        StorageError(operation, path, .refused("it is opened for reading only"))
    }
}

private final class ReadOnlyFile: File {
    private let base: any File
    /// Where a truncation has ended the file for this reader.
    private let end = Mutex<UInt64?>(nil)

    init(_ base: any File) { self.base = base }

    var path: String { base.path }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(StorageError) -> Int {
        guard let end = end.withLock({ $0 }) else { return try base.read(into: buffer, at: offset) }
        guard offset < end else { return 0 }
        return try base.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(min(UInt64(buffer.count), end - offset))]), at: offset)
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(StorageError) { throw ReadOnlyFileSystem.refusal(.write, path) }
    func sync() throws(StorageError) {}

    func truncate(to length: UInt64) throws(StorageError) {
        let size = try size()
        guard length <= size else { throw ReadOnlyFileSystem.refusal(.truncate, path) }
        end.withLock { $0 = length }
    }

    func preallocate(_ length: UInt64, extending: Bool) throws(StorageError) { throw ReadOnlyFileSystem.refusal(.preallocate, path) }

    func size() throws(StorageError) -> UInt64 {
        if let end = end.withLock({ $0 }) { return end }
        return try base.size()
    }

    func lock() throws(StorageError) { try base.lock() }
    func close() { base.close() }
}
