// Writing a database anew, from another one or from a store: front to back, with bounded memory.

import CommandLineTools
import KeySpace
import Storage
import Wire

/// What a copy has otherwise than its source.
struct DatabaseChanges {
    /// Buckets whose content is replaced.
    var replaced: [MetaBucket: [[UInt8]: [UInt8]]] = [:]
    /// Keys of the bucket `meta` that are set; nil: removed.
    var meta: [[UInt8]: [UInt8]?] = [:]
    /// A record behind all others in the bucket `key`.
    var lastRecord: (key: [UInt8], value: [UInt8])?

    mutating func setConsistentIndex(_ index: LogIndex, term: Term) {
        meta[BackendKeys.consistentIndex] = .some(Self.number(index))
        meta[BackendKeys.term] = .some(Self.number(term))
    }

    mutating func setConfiguration(voters: [MemberID], learners: [MemberID] = []) {
        func list(_ ids: [MemberID]) -> String { ids.map { String($0.rawValue) }.joined(separator: ",") }
        let more = learners.isEmpty ? "" : "\"learners\":[\(list(learners))],"
        meta[BackendKeys.configuration] = .some(Array("{\"voters\":[\(list(voters))],\(more)\"auto_leave\":false}".utf8))
    }

    /// - Parameter version: `3.6.0`; nil: the schema of 3.5, which has none.
    mutating func setStorageVersion(_ version: String?) { meta[BackendKeys.storageVersion] = .some(version.map { Array($0.utf8) }) }

    static func number(_ value: UInt64) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { [UInt8]($0) } }
}

/// Copies a database.
struct DatabaseCopy {
    let source: BoltFile
    var changes = DatabaseChanges()

    /// Writes the copy and makes its content durable; its name is the caller's business.
    func write(to path: String, _ console: Console, _ what: String) throws {
        let progress = Progress(console, what, total: source.meta.size)
        let pageSize = (1024...65536).contains(source.meta.pageSize) ? source.meta.pageSize : 4096
        try DatabaseOutput.write(to: path, pageSize: pageSize, transaction: source.meta.transaction) { writer, drain in
            try give(writer, drain, progress)
        }
    }

    private func give(_ writer: BoltWriter, _ drain: (() throws -> Void)?, _ progress: Progress) throws {
        var missing = Set(changes.replaced.keys.map(\.name))
        if !changes.meta.isEmpty { missing.insert(MetaBucket.meta.name) }
        var names = try source.root.bucketNames()
        for name in names { missing.remove(String(decoding: name, as: UTF8.self)) }
        names = (names + missing.map { Array($0.utf8) }).sorted { $0.lexicographicallyPrecedes($1) }
        for name in names {
            guard let text = String(validating: name, as: UTF8.self) else {
                throw CommandFailure("\(source.path): a bucket has a name that is no text: this is not a database of etcd's")
            }
            writer.beginBucket(text)
            let bucket = try source.root.bucket(text)
            if let kind = MetaBucket.allCases.first(where: { $0.name == text }), let entries = changes.replaced[kind] {
                add(entries, writer, isMeasuring: drain == nil)
            } else if text == MetaBucket.meta.name {
                var entries: [[UInt8]: [UInt8]] = [:]
                try bucket?.forEach { key, value, isBucket in if !isBucket { entries[[UInt8](key)] = [UInt8](value) } }
                for (key, value) in changes.meta { entries[key] = value }
                add(entries, writer, isMeasuring: drain == nil)
            } else if let bucket {
                try copy(bucket, writer, drain, progress)
            }
            if text == BackendKeys.keyBucket, let (key, value) = changes.lastRecord {
                add([key: value], writer, isMeasuring: drain == nil)
            }
            writer.endBucket()
        }
    }

    private func add(_ entries: [[UInt8]: [UInt8]], _ writer: BoltWriter, isMeasuring: Bool) {
        for (key, value) in entries.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
            if isMeasuring {
                writer.add(keyCount: key.count, valueCount: value.count)
            } else {
                key.withUnsafeBytes { key in value.withUnsafeBytes { writer.add(key, $0) } }
            }
        }
    }

    private func copy(
        _ bucket: BoltBucket, _ writer: BoltWriter, _ drain: (() throws -> Void)?, _ progress: Progress
    ) throws {
        let cursor = bucket.cursor()
        var found = try cursor.first()
        while found {
            if cursor.isBucket {
                guard let name = String(validating: cursor.key, as: UTF8.self) else {
                    throw CommandFailure("\(source.path): a bucket has a name that is no text: this is not a database of etcd's")
                }
                writer.beginBucket(name)
                try copy(try cursor.subBucket(), writer, drain, progress)
                writer.endBucket()
            } else if let drain {
                let value = try cursor.value()
                writer.add(cursor.key, value)
                progress.add(cursor.key.count + value.count)
                try drain()
            } else {
                writer.add(keyCount: cursor.key.count, valueCount: try cursor.valueCount())
            }
            found = try cursor.next()
        }
    }
}

/// A database file on its way to the disk.
enum DatabaseOutput {
    /// Gives the content twice, first to be measured, and writes the file.
    ///
    /// - Parameter give: gets what writes out what is finished, to be called now and then; nil when only lengths are asked for.
    static func write(
        to path: String, pageSize: Int, transaction: UInt64, _ give: (BoltWriter, _ drain: (() throws -> Void)?) throws -> Void
    ) throws {
        let measuring = BoltWriter(measuring: pageSize)
        try give(measuring, nil)
        let layout = try measuring.finish()
        let file = try PosixFileSystem().open(path, .create)
        defer { file.close() }
        let sink = ByteSink(capacity: UtilityLimits.pieceBytes)
        var end: UInt64 = 0
        func drain(atLeast least: Int) throws {
            guard sink.count >= least else { return }
            try file.write(sink.bytes, at: end)
            end += UInt64(sink.count)
            sink.clear(keeping: 4 * UtilityLimits.pieceBytes)
        }
        // The newer meta page is the first one, whose transactions are even.
        let writer = BoltWriter(layout, transaction: max(2, (transaction + 1) & ~1), output: sink)
        try give(writer) { try drain(atLeast: UtilityLimits.pieceBytes) }
        try writer.finish()
        try drain(atLeast: 1)
        try file.sync()
    }
}
