// What commands read: all revisions that a store keeps, from the first to the last, whatever the store is.

import Storage

/// A store opened for reading. Memory does not grow with it. One thread.
public protocol RevisionSource: AnyObject {
    /// As the user named it, or the file that was found there.
    var path: String { get }
    /// What kind of store it is.
    var kind: SourceKind { get }
    /// Bytes of its files.
    var size: UInt64 { get }
    /// The last compaction that was asked for; 0: none.
    var compacted: Int64 { get }
    /// The last revision; 1 for an empty store.
    var revision: Int64 { get }
    /// Visits puts and deletes, those of one key in the order of their revisions; a file all of them.
    ///
    /// - Parameter scope: what is needed; more may come.
    /// - Parameter body: answers whether to go on.
    /// - Throws: `ArchiveError`, or what the body throws.
    func forEach(_ scope: ReadScope, _ body: (StoredRevision) throws -> Bool) throws
    /// Reads the revision again that a key had at `revision`.
    func read(_ place: RecordPlace, of key: UnsafeRawBufferPointer, at revision: Int64, _ body: (StoredRevision) throws -> Void) throws
    /// What the user should know of what was read: damage that was passed over, a file that somebody writes to.
    var notes: [String] { get }
    /// Called from time to time with the bytes that were read in this pass.
    var progress: ((UInt64) -> Void)? { get set }
}

/// What a reader needs of a store, so that a server need not send more.
public struct ReadScope: Sendable {
    public var span: KeySpan
    /// Later changes are not wanted.
    public var revision: Int64
    /// False: of each key the last change is enough.
    public var needsHistory: Bool

    public init(_ span: KeySpan = KeySpan(), at revision: Int64, needsHistory: Bool = true) {
        self.span = span
        self.revision = revision
        self.needsHistory = needsHistory
    }
}

extension RevisionSource {
    /// Visits everything.
    public func forEach(_ body: (StoredRevision) throws -> Bool) throws { try forEach(ReadScope(at: revision), body) }
}

public enum SourceKind: String, Sendable {
    case database = "etcd database"
    case directory = "martlet data directory"
    case server = "server"
}

public enum Archive {
    /// Opens whatever a path names: a database or snapshot of etcd's, a data directory of etcd's or martlet's, or a
    /// directory within one.
    ///
    /// - Parameter isLenient: damage is passed over and told in `notes`.
    /// - Throws: `ArchiveError`.
    public static func open(
        _ path: String, isLenient: Bool = false, in fileSystem: any FileSystem = PosixFileSystem()
    ) throws(ArchiveError) -> any RevisionSource {
        guard fileSystem.exists(path) else { throw ArchiveError("\(path): there is no such file or directory") }
        guard (try? fileSystem.list(path)) != nil else { return try DatabaseSource(path, in: fileSystem, isLenient: isLenient) }
        func find(_ candidates: [String], _ file: String) -> String? {
            candidates.map { path + $0 }.first { fileSystem.exists($0 + file) }
        }
        if let store = find(["/member/store", "/store", ""], "/MANIFEST") {
            return try DirectorySource(store, in: fileSystem, isLenient: isLenient)
        }
        if let database = find(["/member/snap/db", "/snap/db", "/db"], "") {
            return try DatabaseSource(database, in: fileSystem, isLenient: isLenient)
        }
        throw ArchiveError("\(path): this is no data directory: neither member/store of martlet's nor member/snap/db of etcd's is in it")
    }
}

/// How often `progress` is called.
struct ProgressTicker {
    private var bytes: UInt64 = 0
    private var told: UInt64 = 0

    mutating func add(_ count: Int, _ progress: ((UInt64) -> Void)?) {
        bytes += UInt64(count)
        if bytes - told >= ArchiveLimits.progressStepBytes, let progress {
            told = bytes
            progress(bytes)
        }
    }
}
