// etcd's database file as the tool opens it: locked as bbolt does it, checked where it must be.

import CommandLineTools
import KeySpace
import Storage
import Wire

/// An open database and its lock.
final class DatabaseFile {
    let path: String
    let bolt: BoltFile
    private let lock: FileLock

    /// - Parameter isShared: for reading; others may do that too.
    init(_ path: String, isShared: Bool = true, _ patience: LockPatience, notice: String? = nil) throws {
        self.path = path
        lock = try FileLock(path, isShared: isShared, patience, notice: notice)
        bolt = try BoltFile(opening: path, in: PosixFileSystem())
    }

    /// Values of the bucket `meta`.
    func meta() throws -> [[UInt8]: [UInt8]] {
        var entries: [[UInt8]: [UInt8]] = [:]
        try bolt.root.bucket(MetaBucket.meta.name)?.forEach { key, value, isBucket in if !isBucket { entries[[UInt8](key)] = [UInt8](value) } }
        return entries
    }

    func keys() throws -> BoltBucket {
        guard let bucket = try bolt.root.bucket(BackendKeys.keyBucket) else {
            throw CommandFailure("\(path): there is no bucket \"\(BackendKeys.keyBucket)\": this is not a database of etcd's")
        }
        return bucket
    }
}

/// Compactions as the bucket `meta` tells them.
struct Compactions {
    /// The last one asked for; 0: none.
    var scheduled: Int64 = 0
    /// The last one whose purge is complete.
    var finished: Int64 = 0
    /// What a store that opens the file takes for compacted.
    var last: Int64 { max(scheduled, finished) }

    init(_ meta: [[UInt8]: [UInt8]]) {
        func revision(_ key: [UInt8]) -> Int64 {
            guard let bytes = meta[key], bytes.count >= 8 else { return 0 }
            return bytes.prefix(8).reduce(0) { $0 << 8 | Int64($1) }
        }
        scheduled = revision(BackendKeys.scheduledCompaction)
        finished = revision(BackendKeys.finishedCompaction)
    }
}

/// A key of the bucket `key`.
struct RevisionKey {
    let main: Int64
    let sub: Int64
    let isTombstone: Bool

    /// Nil if it is no revision.
    init?(_ key: UnsafeRawBufferPointer) {
        isTombstone = key.count == BackendKeys.revisionBytes + 1 && key[BackendKeys.revisionBytes] == UInt8(ascii: "t")
        guard key.count == BackendKeys.revisionBytes || isTombstone, key[8] == UInt8(ascii: "_"), let base = key.baseAddress else { return nil }
        main = Int64(bigEndian: base.loadUnaligned(as: Int64.self))
        sub = Int64(bigEndian: base.loadUnaligned(fromByteOffset: 9, as: Int64.self))
    }
}

extension DatabaseFile {
    /// Visits the records of keys in the order of their revisions; views are valid during the call.
    ///
    /// - Parameter body: answers whether to go on.
    func forEachRecord(
        _ body: (_ revision: RevisionKey, _ key: UnsafeRawBufferPointer, _ record: UnsafeRawBufferPointer) throws -> Bool
    ) throws {
        let cursor = try keys().cursor()
        var found = try cursor.first()
        while found {
            guard let revision = RevisionKey(cursor.key) else {
                throw CommandFailure("\(path): a key of \(cursor.key.count) bytes in the bucket \"\(BackendKeys.keyBucket)\" is no revision")
            }
            guard try body(revision, cursor.key, try cursor.value()) else { return }
            found = try cursor.next()
        }
    }

    func decode(_ revision: RevisionKey, _ record: UnsafeRawBufferPointer) throws -> StoredKeyValue {
        do throws(ProtobufError) { return try StoredKeyValue(decoding: record) } catch {
            throw CommandFailure("\(path): the record of revision \(revision.main)/\(revision.sub) is no key-value pair (\(error))")
        }
    }

    /// The last revision in the bucket `key`; 0 if it is empty.
    func lastRevision() throws -> Int64 {
        let cursor = try keys().cursor()
        guard try cursor.last() else { return 0 }
        guard let revision = RevisionKey(cursor.key) else { throw CommandFailure("\(path): the last key of the bucket \"key\" is no revision") }
        return revision.main
    }
}
