// Reading etcd's database: what it says about itself, and the buckets that are small.

import Storage
import Wire

/// Why a database of etcd's cannot be taken over.
public enum BackendError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The file is damaged.
    case database(BoltError)
    /// The file is whole, and what it holds is not what etcd writes.
    case malformed(path: String, String)
    /// The disk that the store is written to.
    case storage(StorageError)

    public var description: String {
        switch self {
        case .database(let error): error.description
        case .malformed(let path, let text): "\(path): \(text)"
        case .storage(let error): error.description
        }
    }
}

/// etcd's database, opened for reading.
public struct BackendReader: Sendable {
    public let file: BoltFile
    private let meta: [[UInt8]: [UInt8]]

    /// - Throws: `BackendError` if the file cannot be read, or has no bucket of keys.
    public init(_ path: String, in fileSystem: any FileSystem) throws(BackendError) {
        do {
            file = try BoltFile(opening: path, in: fileSystem)
            guard try file.root.bucket(BackendKeys.keyBucket) != nil else {
                throw BackendError.malformed(path: path, "there is no bucket \"\(BackendKeys.keyBucket)\": this is not a database of etcd's")
            }
            meta = try Self.entries(of: MetaBucket.meta.name, file)
        } catch let error as BackendError {
            throw error
        } catch {
            throw .database(error as! BoltError)
        }
    }

    // MARK: The bucket `meta`

    /// The last entry of the Raft log whose effects are in the database; 0 if it does not say.
    public var consistentIndex: UInt64 { number(BackendKeys.consistentIndex) ?? 0 }

    /// That entry's term; nil before etcd 3.5.
    public var term: UInt64? { number(BackendKeys.term) }

    /// `3.6.0`; nil before etcd 3.6.
    public var storageVersion: String? { meta[BackendKeys.storageVersion].map { String(decoding: $0, as: UTF8.self) } }

    /// Who votes and who learns, as of `consistentIndex`; nil before etcd 3.5.
    public var configuration: ConfigurationState? {
        guard let json = meta[BackendKeys.configuration].flatMap({ try? JSONValue(parsing: $0) }) else { return nil }
        func members(_ name: String) -> [MemberID] { (json[name]?.array ?? []).compactMap { $0.uint64.map { MemberID($0) } } }
        return ConfigurationState(
            voters: members("voters"), learners: members("learners"), votersOutgoing: members("voters_outgoing"),
            learnersNext: members("learners_next"), autoLeave: json["auto_leave"]?.bool ?? false)
    }

    /// The last compaction asked for, and the last that was finished; −1: none.
    public var compactions: (scheduled: Int64, finished: Int64) {
        func revision(_ key: [UInt8]) -> Int64 {
            guard let bytes = meta[key], bytes.count >= 8 else { return -1 }
            return bytes.prefix(8).reduce(0) { $0 << 8 | Int64($1) }
        }
        return (revision(BackendKeys.scheduledCompaction), revision(BackendKeys.finishedCompaction))
    }

    private func number(_ key: [UInt8]) -> UInt64? {
        guard let bytes = meta[key], bytes.count == 8 else { return nil }
        return bytes.reduce(0) { $0 << 8 | UInt64($1) }
    }

    // MARK: Buckets

    /// Keys and values of a bucket beside the keys; empty if the bucket is not there.
    public func entries(_ bucket: MetaBucket) throws(BackendError) -> [[UInt8]: [UInt8]] {
        do { return try Self.entries(of: bucket.name, file) } catch { throw .database(error) }
    }

    private static func entries(of name: String, _ file: BoltFile) throws(BoltError) -> [[UInt8]: [UInt8]] {
        guard let bucket = try file.root.bucket(name) else { return [:] }
        var entries: [[UInt8]: [UInt8]] = [:]
        let cursor = bucket.cursor()
        var found = try cursor.first()
        while found {
            if !cursor.isBucket { entries[[UInt8](cursor.key)] = [UInt8](try cursor.value()) }
            found = try cursor.next()
        }
        return entries
    }

    /// Names of buckets that etcd does not write.
    public func strangeBuckets() throws(BackendError) -> [String] {
        let known = Set(MetaBucket.allCases.map(\.name) + [BackendKeys.keyBucket])
        do { return try file.root.bucketNames().map { String(decoding: $0, as: UTF8.self) }.filter { !known.contains($0) } } catch {
            throw .database(error)
        }
    }

    /// Visits every record of the bucket of keys in the order of their revisions.
    func forEachRecord(
        _ body: (_ revision: Revision, _ isTombstone: Bool, _ record: UnsafeRawBufferPointer) throws(BackendError) -> Void
    ) throws(BackendError) {
        do {
            guard let bucket = try file.root.bucket(BackendKeys.keyBucket) else { return }
            let cursor = bucket.cursor()
            var found = try cursor.first()
            while found {
                let (revision, isTombstone) = try parse(cursor.key)
                try body(revision, isTombstone, try cursor.value())
                found = try cursor.next()
            }
        } catch let error as BackendError {
            throw error
        } catch {
            throw .database(error as! BoltError)
        }
    }

    private func parse(_ key: UnsafeRawBufferPointer) throws(BackendError) -> (Revision, isTombstone: Bool) {
        let isTombstone = key.count == BackendKeys.revisionBytes + 1 && key[BackendKeys.revisionBytes] == UInt8(ascii: "t")
        guard key.count == BackendKeys.revisionBytes || isTombstone, key[8] == UInt8(ascii: "_"), let base = key.baseAddress else {
            throw .malformed(path: file.path, "a key of \(key.count) bytes in the bucket \"\(BackendKeys.keyBucket)\" is no revision")
        }
        let main = Int64(bigEndian: base.loadUnaligned(as: Int64.self))
        let sub = Int64(bigEndian: base.loadUnaligned(fromByteOffset: 9, as: Int64.self))
        guard main > 0, sub >= 0, sub < Int64(Int32.max) else {
            throw .malformed(path: file.path, "revision (\(main), \(sub)) is impossible")
        }
        return (Revision(main: main, sub: Int32(sub)), isTombstone)
    }
}
