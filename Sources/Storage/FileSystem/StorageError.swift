// What can go wrong with a disk, said so that an operator can act on it.

#if canImport(Glibc)
import Glibc
#endif

/// A failed operation on a file or directory, or content that is not what this program wrote.
public struct StorageError: Error, Equatable, Sendable, CustomStringConvertible {
    public enum Operation: String, Sendable {
        case open, create, read, write, sync, truncate, preallocate, close, stat, lock
        case list, rename, link, remove
        case createDirectory = "create directory"
        case syncDirectory = "sync directory"
        case recover, decode
    }

    public enum Reason: Equatable, Sendable {
        /// The kernel's answer.
        case system(errno: Int32)
        /// The bytes are there and are not what was written: bit rot, a foreign file, or a bug. Never repaired silently.
        case corrupt(String)
        /// The bytes end in the middle of something, as a torn write leaves them.
        case unexpectedEnd(String)
        /// A location in a segment that garbage collection has removed; look the record up again.
        case stale
        /// Another process holds the lock.
        case locked
        /// An earlier sync failed. The kernel may have dropped what it could not write, so nobody can say what is
        /// on the disk: no later success would mean anything.
        case failedEarlier
        /// The caller asked for something that the log cannot hold or does not have.
        case refused(String)
    }

    public let operation: Operation
    public let path: String
    public let reason: Reason

    public init(_ operation: Operation, _ path: String, _ reason: Reason) {
        self.operation = operation
        self.path = path
        self.reason = reason
    }

    public init(_ operation: Operation, _ path: String, errno code: Int32) {
        self.init(operation, path, .system(errno: code))
    }

    /// The disk is full: the operation changed nothing that matters and may be repeated once there is space.
    /// False for a sync, whatever the kernel says: what a failed sync has kept is not known.
    public var isNoSpace: Bool {
        guard case .system(let code) = reason, operation != .sync, operation != .syncDirectory else { return false }
        return code == ENOSPC || code == EDQUOT
    }

    /// A file could not be opened because the process, or the machine, has no descriptor left.
    public var isNoDescriptor: Bool {
        guard case .system(let code) = reason else { return false }
        return (operation == .open || operation == .create || operation == .list) && (code == EMFILE || code == ENFILE)
    }

    /// Something ran out that may come back, and the operation changed nothing that matters: it may be repeated.
    public var isShortage: Bool { isNoSpace || isNoDescriptor }

    public var isNotFound: Bool { reason == .system(errno: ENOENT) }
    public var isStale: Bool { reason == .stale }
    public var isCorrupt: Bool { if case .corrupt = reason { true } else { false } }
    public var isUnexpectedEnd: Bool { if case .unexpectedEnd = reason { true } else { false } }

    public var description: String {
        switch reason {
        case .system(let code): "\(operation.rawValue) \(path): \(String(cString: strerror(code)))"
        case .corrupt(let text): "\(operation.rawValue) \(path): corrupt: \(text)"
        case .unexpectedEnd(let text): "\(operation.rawValue) \(path): unexpected EOF: \(text)"
        case .stale: "\(operation.rawValue) \(path): the segment has been collected"
        case .locked: "\(operation.rawValue) \(path): locked by another process"
        case .failedEarlier: "\(operation.rawValue) \(path): an earlier sync failed; what is on the disk is not known"
        case .refused(let text): "\(operation.rawValue) \(path): \(text)"
        }
    }
}
