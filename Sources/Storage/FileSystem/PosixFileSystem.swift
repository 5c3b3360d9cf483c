// The kernel's file system.

#if canImport(Glibc)
import Glibc
#endif
import Synchronization

public struct PosixFileSystem: FileSystem {
    private let directories = OpenDirectories()

    public init() {}

    public func open(_ path: String, _ mode: OpenMode) throws(StorageError) -> any File {
        let flags =
            switch mode {
            case .readOnly: O_RDONLY | O_CLOEXEC
            case .readWrite: O_RDWR | O_CLOEXEC
            case .create: O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC
            }
        switch retryingInterrupts({ Glibc.open(path, flags, 0o600) }) {
        case .success(let descriptor): return PosixFile(path: path, descriptor: descriptor)
        case .failure(let error): throw StorageError(mode == .create ? .create : .open, path, errno: error.code)
        }
    }

    public func createDirectory(_ path: String) throws(StorageError) {
        if mkdir(path, 0o700) == 0 { return }
        let code = errno
        if code == EEXIST { return }
        if code == ENOENT, let slash = path.lastIndex(of: "/"), slash != path.startIndex {
            try createDirectory(String(path[..<slash]))
            if mkdir(path, 0o700) == 0 || errno == EEXIST { return }
        }
        throw StorageError(.createDirectory, path, errno: errno)
    }

    public func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    public func list(_ directory: String) throws(StorageError) -> [String] {
        guard let stream = opendir(directory) else { throw StorageError(.list, directory, errno: errno) }
        defer { closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                if errno != 0 { throw StorageError(.list, directory, errno: errno) }
                return names.sorted()
            }
            let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                String(cString: $0.baseAddress!.assumingMemoryBound(to: CChar.self))
            }
            if name != ".", name != ".." { names.append(name) }
        }
    }

    public func rename(_ from: String, to: String) throws(StorageError) {
        if Glibc.rename(from, to) != 0 { throw StorageError(.rename, from, errno: errno) }
    }

    public func link(_ from: String, to: String) throws(StorageError) {
        if Glibc.link(from, to) != 0 { throw StorageError(.link, to, errno: errno) }
    }

    public func remove(_ path: String) throws(StorageError) {
        if unlink(path) != 0 { throw StorageError(.remove, path, errno: errno) }
    }

    public func removeDirectory(_ path: String) throws(StorageError) {
        if rmdir(path) != 0 { throw StorageError(.remove, path, errno: errno) }
    }

    public func syncDirectory(_ path: String) throws(StorageError) {
        let result = directories.withDescriptor(of: path) { descriptor in retryingInterrupts { fsync(descriptor) } }
        switch result {
        case .success(.success): return
        // Some file systems cannot sync a directory and say so with EINVAL; there is nothing else to be done there.
        case .success(.failure(let error)) where error.code == EINVAL: return
        case .success(.failure(let error)): throw StorageError(.syncDirectory, path, errno: error.code)
        case .failure(let error): throw StorageError(.open, path, errno: error.code)
        }
    }

    public func lockDirectory(_ path: String) throws(StorageError) -> any DirectoryLock {
        let descriptor = try openDirectory(path)
        if case .failure(let error) = retryingInterrupts({ flock(descriptor, LOCK_EX | LOCK_NB) }) {
            close(descriptor)
            throw StorageError(.lock, path, error.code == EWOULDBLOCK ? .locked : .system(errno: error.code))
        }
        return PosixDirectoryLock(descriptor)
    }

    /// Takes the lock that bbolt takes on its file, for as long as the answer lives.
    public func lockFile(_ path: String) throws(StorageError) -> any DirectoryLock {
        let descriptor: Int32
        switch retryingInterrupts({ Glibc.open(path, O_RDONLY | O_CLOEXEC) }) {
        case .success(let opened): descriptor = opened
        case .failure(let error): throw StorageError(.open, path, errno: error.code)
        }
        if case .failure(let error) = retryingInterrupts({ flock(descriptor, LOCK_EX | LOCK_NB) }) {
            close(descriptor)
            throw StorageError(.lock, path, error.code == EWOULDBLOCK ? .locked : .system(errno: error.code))
        }
        return PosixDirectoryLock(descriptor)
    }

    private func openDirectory(_ path: String) throws(StorageError) -> Int32 {
        switch OpenDirectories.open(path) {
        case .success(let descriptor): return descriptor
        case .failure(let error): throw StorageError(.open, path, errno: error.code)
        }
    }
}

/// Descriptors of the directories that were synced lately, kept open: making a name durable must not depend on there
/// being a free descriptor, since a name that cannot be made durable ends all trust in the disk.
private final class OpenDirectories: Sendable {
    /// A server syncs three directories: its own, the write-ahead log's and the store's.
    private static let keptMax = 8

    private let descriptors = Mutex<[(path: String, descriptor: Int32)]>([])

    deinit { descriptors.withLock { for entry in $0 { close(entry.descriptor) } } }

    static func open(_ path: String) -> Result<Int32, SystemErrno> {
        retryingInterrupts { Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
    }

    func withDescriptor<R>(of path: String, _ body: (Int32) -> R) -> Result<R, SystemErrno> {
        descriptors.withLock { kept in
            if let index = kept.firstIndex(where: { $0.path == path }) {
                if Self.isSame(kept[index].descriptor, path) { return .success(body(kept[index].descriptor)) }
                // Removed and made again meanwhile.
                close(kept.remove(at: index).descriptor)
            }
            switch Self.open(path) {
            case .failure(let error): return .failure(error)
            case .success(let descriptor):
                if kept.count == Self.keptMax { close(kept.removeFirst().descriptor) }
                kept.append((path, descriptor))
                return .success(body(descriptor))
            }
        }
    }

    private static func isSame(_ descriptor: Int32, _ path: String) -> Bool {
        var open = stat()
        var named = stat()
        return fstat(descriptor, &open) == 0 && stat(path, &named) == 0 && open.st_ino == named.st_ino
            && open.st_dev == named.st_dev
    }
}

final class PosixDirectoryLock: DirectoryLock {
    private let descriptor: Atomic<Int32>

    init(_ descriptor: Int32) { self.descriptor = Atomic(descriptor) }

    deinit { release() }

    func release() {
        let old = descriptor.exchange(-1, ordering: .relaxed)
        if old >= 0 { close(old) }
    }
}
