// The checks of `verify`: each part by itself, then whether they fit together.

import CommandLineTools
import KeySpace
import Storage
import Wire

final class Verification {
    private(set) var parts: [VerifiedPart] = []
    private let patience: LockPatience
    private let system = PosixFileSystem()

    /// What the log was found to hold; nil while it is damaged.
    private var logRange: (snapshot: LogIndex, first: LogIndex, last: LogIndex)?
    /// The entry that database or store stand for.
    private var applied: LogIndex?

    init(_ patience: LockPatience) { self.patience = patience }

    // MARK: etcd's database

    func database(_ path: String) throws {
        var part = VerifiedPart("database", path)
        defer { parts.append(part) }
        // A lock that is held is no damage: it ends the command.
        let lock = try FileLock(path, isShared: true, patience)
        defer { withExtendedLifetime(lock) {} }
        guard let bolt = part.attempt({ _ in try BoltFile(opening: path, in: system, toleratesTruncation: true) }) else {
            part.advice.append("nothing: neither of the file's two meta pages can be read")
            return
        }
        if bolt.fileSize < bolt.meta.size { part.problem("the file is truncated: \(bolt.fileSize) bytes of \(bolt.meta.size)") }
        if bolt.fileSize % 512 == 32 {
            part.attempt { part in
                try SnapshotHash.check(path, isSkipped: false, patience.console)
                part.facts.append("SHA-256 right")
            }
        }
        for problem in bolt.check() { part.problem(problem.description) }
        let records = checkRecords(bolt, &part)
        if part.isGood {
            part.attempt { part in
                let database = try DatabaseFile(path, patience)
                let hash = try DatabaseHash(database, revision: 0, patience.console)
                let meta = try database.meta()
                applied = meta[BackendKeys.consistentIndex].flatMap { $0.count == 8 ? $0.reduce(0) { $0 << 8 | UInt64($1) } : nil }
                part.facts += [
                    "\(records.count) records", "revision \(hash.revision)", "compacted \(hash.compactRevision)", "HashKV \(hash.hash)",
                    GoText.bytes(bolt.meta.size),
                ]
            }
        } else if records.count > 0 {
            part.advice.append(
                "\(records.count) records up to revision \(records.last) can be read: martlet-decoder extract --documents --lenient -f \(path)")
        }
    }

    /// Reads every record that can be reached.
    private func checkRecords(_ bolt: BoltFile, _ part: inout VerifiedPart) -> (count: Int, last: Int64) {
        var count = 0
        var last: (Int64, Int64) = (0, -1)
        let progress = Progress(patience.console, "verifying", total: bolt.meta.size)
        do {
            guard let bucket = try bolt.root.bucket(BackendKeys.keyBucket) else {
                part.problem("there is no bucket \"\(BackendKeys.keyBucket)\": this is not a database of etcd's")
                return (0, 0)
            }
            try bucket.salvage { key, value, _ in
                progress.add(key.count + value.count)
                guard let revision = RevisionKey(key) else {
                    part.problem("a key of \(key.count) bytes in the bucket \"key\" is no revision")
                    return true
                }
                guard (revision.main, revision.sub) > last else {
                    part.problem("revision \(revision.main)/\(revision.sub) comes behind \(last.0)/\(last.1)")
                    return true
                }
                last = (revision.main, revision.sub)
                if let problem = Self.problem(revision.main, revision.isTombstone, value) {
                    part.problem("revision \(revision.main)/\(revision.sub): \(problem)")
                } else {
                    count += 1
                }
                return true
            } damage: { part.problem($0.description) }
        } catch {
            part.problem("\(error)")
        }
        return (count, last.0)
    }

    /// What is wrong with a record; nil if nothing is.
    private static func problem(_ main: Int64, _ isTombstone: Bool, _ record: UnsafeRawBufferPointer) -> String? {
        // What a restore marks skipped revisions with.
        if record.isEmpty { return nil }
        let kv: StoredKeyValue
        do throws(ProtobufError) { kv = try StoredKeyValue(decoding: record) } catch { return "the record is no key-value pair (\(error))" }
        if kv.key.isEmpty { return "the record has no key" }
        guard !isTombstone else { return nil }
        guard kv.modified == main, kv.created > 0, kv.created <= main, kv.version > 0 else {
            return "the record says that it was created at \(kv.created), modified at \(kv.modified) and is version \(kv.version)"
        }
        return nil
    }

    // MARK: martlet's store

    func store(_ paths: MemberPaths) throws {
        try segments(paths)
        try index(paths)
    }

    /// Manifest, frames of all segments, records in them.
    private func segments(_ paths: MemberPaths) throws {
        var part = VerifiedPart("segments", paths.store)
        defer { parts.append(part) }
        var lock: (any DirectoryLock)?
        try patience.wait(for: paths.store) {
            do throws(StorageError) { lock = try system.lockDirectory(paths.store) } catch {
                guard error.reason == .locked else { throw error }
                return false
            }
            return true
        }
        defer { lock?.release() }
        guard let reader = part.attempt({ _ in try RevisionLogReader(paths.store, in: system, isLenient: true) }) else { return }
        let progress = Progress(patience.console, "verifying", total: reader.size)
        var count = 0
        var last: Int64 = 0
        do {
            try reader.forEach { record in
                progress.add(record.payload.count + 41)
                if let problem = Self.problem(record.main, record.kind == .tombstone, record.payload) {
                    part.problem("segment \(record.location.segment), offset \(record.location.offset), revision \(record.main): \(problem)")
                } else {
                    count += 1
                    last = max(last, record.main)
                }
                return true
            }
        } catch {
            part.problem("\(error)")
        }
        for problem in reader.problems { part.problem(problem.description) }
        part.facts.append("\(count) records up to revision \(last), \(GoText.bytes(reader.size))")
        if !part.isGood, count > 0 {
            part.advice.append("\(count) records up to revision \(last) can be read: martlet-decoder extract --documents --lenient -f \(paths.store)")
        }
    }

    /// The checkpoint and what is behind it, as a start reads them; then each version at the place where the index has it.
    private func index(_ paths: MemberPaths) throws {
        var part = VerifiedPart("index", paths.store)
        defer { parts.append(part) }
        guard let store = part.attempt({ _ in try paths.openStore(patience) }) else {
            part.advice.append("a start is refused like this; if the segments are whole, all records can be read: martlet-decoder extract --documents -f \(paths.store)")
            return
        }
        defer { store.close() }
        applied = store.appliedPosition.index
        guard let walk = store.records() else { preconditionFailure("a store that was opened has nothing unpublished") }
        var count = 0
        let progress = Progress(patience.console, "comparing", total: UInt64(store.sizeInUse))
        part.attempt { part in
            while try walk.step({ revision, isTombstone, record in
                count += 1
                progress.add(record.count + 17)
                if let problem = Self.problem(revision.main, isTombstone, record) { part.problem("revision \(revision.main)/\(revision.sub): \(problem)") }
            }) {}
        }
        part.attempt { part in
            let job: HashJob = try store.hashKV(revision: 0)
            while try !job.step() {}
            part.facts += [
                "\(count) versions", "revision \(job.revision)", "compacted \(max(job.compactRevision, 0))", "HashKV \(job.hash)",
                "entry \(store.appliedPosition.index)",
            ]
        }
    }

    // MARK: The log

    func log(_ directory: String) throws {
        var part = VerifiedPart("write-ahead log", directory)
        defer { parts.append(part) }
        guard var scanner = part.attempt({ _ in try WALScanner(directory, in: system) }) else { return }
        for file in scanner.dropReleased() { part.notes.append("\(file.path) lies before a gap in the sequence: it is taken for one that was released") }
        let progress = Progress(patience.console, "verifying", total: scanner.files.reduce(0) { sum, file in sum + ((try? system.open(file.path, .readOnly).size()) ?? 0) })
        var metadata: WALMetadata?
        var state = HardState()
        var snapshot = WALSnapshot()
        var range: (first: LogIndex, last: LogIndex)?
        let ending = part.attempt { part in
            try scanner.forEach { record, place in
                switch record {
                case .metadata(let found):
                    if let metadata, metadata != found { part.problem("\(place.path), offset \(place.offset): the metadata is not that of the files before") }
                    metadata = found
                case .entry(let entry):
                    progress.add(entry.data.count + 32)
                    if let last = range?.last, entry.index > max(last, snapshot.index) + 1 {
                        part.problem("\(place.path), offset \(place.offset): entry \(entry.index) follows entry \(last)")
                    }
                    range = (min(range?.first ?? entry.index, entry.index), entry.index)
                case .state(let found): state = found
                case .snapshot(let found): if found.index >= snapshot.index { snapshot = found }
                case .checksum: break
                case .unknown(let type): part.problem("\(place.path), offset \(place.offset): a record of type \(type)")
                }
                return true
            }
        }
        switch ending {
        case .damaged(let path, let offset, let text):
            part.problem("\(path), offset \(offset): \(text)")
            part.advice.append(
                range.map { "entries \($0.first)…\($0.last) stand before the damage; dump-logs --raw lists them" }
                    ?? "no entry stands before the damage")
        case .torn(let path, let offset, let text):
            part.notes.append("\(path), offset \(offset): \(text); a power loss leaves such an end, and a start cuts it off")
        case .clean, .stopped, nil: break
        }
        for name in scanner.ignored { part.notes.append("\(name) is no log file") }
        if metadata == nil, part.isGood { part.problem("the log does not say whose it is") }
        part.facts += ["\(scanner.files.count) files"]
        if let range { part.facts.append("entries \(range.first)…\(range.last)") }
        part.facts += ["committed \(state.commit)", "term \(state.term)", "snapshot \(snapshot.index)"]
        if let metadata { part.facts.append("member \(metadata.memberID), cluster \(metadata.clusterID)") }
        guard part.isGood else { return }
        let last = range?.last ?? snapshot.index
        if state.commit > max(last, snapshot.index) { part.notes.append("entry \(state.commit) is committed, the log ends with \(last)") }
        logRange = (snapshot.index <= state.commit ? snapshot.index : 0, range?.first ?? snapshot.index + 1, last)
    }

    func snapshotFiles(_ directory: String) throws {
        let names = ((try? system.list(directory)) ?? []).filter { SnapFile.parse($0) != nil }
        guard !names.isEmpty else { return }
        var part = VerifiedPart(".snap files", directory)
        defer { parts.append(part) }
        for name in names {
            part.attempt { _ in _ = try SnapFile.read(directory + "/" + name, in: system) }
        }
        part.facts.append("\(names.count) files")
        if !part.isGood { part.advice.append("etcd takes an older file in place of a damaged one, and martlet starts without them on what etcd 3.5 and later wrote") }
    }

    // MARK: Together

    func fit(databaseAt path: String) throws {
        guard let applied, let logRange else { return }
        var part = VerifiedPart("database and log", path)
        defer { parts.append(part) }
        part.facts.append("entry \(applied), log from \(logRange.first) to \(logRange.last)")
        if applied < logRange.snapshot {
            part.problem("the database stands for entry \(applied), the log begins behind entry \(logRange.snapshot): a start is refused, unless there is a file \(SnapFile.databaseName(index: logRange.snapshot))")
        } else if applied > logRange.last {
            part.notes.append("the database stands for entry \(applied), the log ends with \(logRange.last)")
        }
    }

    func fit(storeOf paths: MemberPaths) throws {
        guard let applied, let logRange else { return }
        var part = VerifiedPart("store and log", paths.dataDirectory)
        defer { parts.append(part) }
        part.facts.append("entry \(applied), log from \(logRange.first) to \(logRange.last)")
        if applied < logRange.snapshot || applied + 1 < logRange.first {
            part.problem("the store stands for entry \(applied), the log begins behind entry \(max(logRange.snapshot, logRange.first - 1)): a start is refused")
        } else if applied > logRange.last {
            part.notes.append("the store stands for entry \(applied), the log ends with \(logRange.last): it goes on from there")
        }
    }
}
