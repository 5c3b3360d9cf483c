// What `snapshot status` tells of a database: hash, last revision, live keys, size, version of the schema.

import Archive
import CommandLineTools
import KeySpace
import Storage
import Wire

struct DatabaseStatus {
    var hash: UInt32 = 0
    var revision: Int64 = 0
    var keys = 0
    var size: UInt64 = 0
    /// Empty before etcd 3.6.
    var version = ""

    /// Reads the whole file, twice: the first time to check it.
    init(_ database: DatabaseFile, _ console: Console) throws {
        let bolt = database.bolt
        let problems = bolt.check()
        guard problems.isEmpty else {
            let lines = problems.map { "\n\($0)" }.joined()
            throw CommandFailure("snapshot file integrity check failed. \(problems.count) errors found.\(lines)")
        }
        size = bolt.meta.size
        let meta = try database.meta()
        version = meta[BackendKeys.storageVersion].map { String(decoding: $0, as: UTF8.self) } ?? ""
        let progress = Progress(console, "reading", total: size)
        var counter = LiveKeyCounter(Compactions(meta))
        let root = bolt.root.cursor()
        var found = try root.first()
        while found {
            let name = [UInt8](root.key)
            guard root.isBucket else { throw CommandFailure("cannot get hash of bucket \(String(decoding: name, as: UTF8.self))") }
            hash = name.withUnsafeBytes { CRC32C.update(hash, $0) }
            let isKeys = name.elementsEqual(BackendKeys.keyBucket.utf8)
            try root.subBucket().forEach { key, stored, isBucket in
                let value = isBucket ? UnsafeRawBufferPointer(start: nil, count: 0) : stored
                hash = CRC32C.update(CRC32C.update(hash, key), value)
                progress.add(key.count + value.count)
                guard isKeys, let revision = RevisionKey(key) else { return }
                self.revision = revision.main
                counter.take(revision, revision.isTombstone ? 0 : try database.decode(revision, value).version)
            }
            found = try root.next()
        }
        keys = try counter.count ?? Self.countByNames(database)
    }

    /// Keys whose last record is a put. In passes, so that memory does not grow with them.
    static func countByNames(_ database: DatabaseFile) throws -> Int {
        var low: [UInt8] = []
        var count = 0
        while true {
            let table = KeyTable<Bool>(
                KeySpan(low: low), keysMax: UtilityLimits.keysPerPass, bytesMax: UtilityLimits.keyBytesPerPass)
            try database.forEachRecord { revision, _, record in
                table.update(try database.decode(revision, record).key, initial: false) { $0 = !revision.isTombstone }
                return true
            }
            table.forEachSorted { _, isLive in if isLive { count += 1 } }
            guard let high = table.range.high else { return count }
            low = high
        }
    }
}

/// Counts live keys without remembering them: below a compaction that is complete each put is another key's, and above it a
/// key begins with a put of version 1 and ends with a tombstone.
struct LiveKeyCounter {
    private let compacted: Int64
    private let isCountable: Bool
    private var total = 0

    init(_ compactions: Compactions) {
        compacted = compactions.finished
        isCountable = compactions.scheduled <= compactions.finished
    }

    mutating func take(_ revision: RevisionKey, _ version: Int64) {
        if revision.main <= compacted {
            if !revision.isTombstone { total += 1 }
        } else if revision.isTombstone {
            total -= 1
        } else if version == 1 {
            total += 1
        }
    }

    /// Nil: a purge is not complete, and only the keys' names tell.
    var count: Int? { isCountable && total >= 0 ? total : nil }
}
