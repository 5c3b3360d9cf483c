// export: martlet's data directory as one that etcd starts from.

import CommandLineTools
import KeySpace
import Storage
import Wire

extension UtilityTool {
    func exportCommand() -> Command {
        let command = Command(
            "export --data-dir DIR --output DIR", "Makes a data directory that etcd starts from of martlet's",
            long: """
                Makes a data directory that etcd starts from, of one that martlet has run on: the same member and cluster, keys with their history,
                leases, users, and the entries of the log that the store does not have yet. The source is not changed and must not be in use.
                The output is whole or not there.
                """)
        let source = command.flags.add("data-dir", "", "Required. The data `directory` of martlet's")
        let sourceLog = command.flags.add("wal-dir", "", "its WAL `directory`, if it is not within")
        let output = command.flags.add("output", short: "o", "", "Required. The `directory` to make")
        let outputLog = command.flags.add("output-wal-dir", "", "the WAL `directory` to make, if not within")
        let target = command.flags.add(
            "target-version", "", "the etcd `version` (X.Y) that is to start on it, if it is older than the cluster's: 3.5, 3.6")
        source.isRequired = true
        output.isRequired = true
        command.arguments = ArgumentRule.none
        command.run = { [unowned self] invocation in
            let format = try self.format()
            guard format == .simple || format == .json else { throw format.unsupported() }
            let export = Export(
                source: MemberPaths(source.value, walDirectory: sourceLog.value),
                target: target.value.isEmpty ? nil : try SchemaVersion(target: target.value), patience: self.patience(invocation.console))
            let result = try export.run(into: try NewDirectory(output.value, walDirectory: outputLog.value))
            if format == .json {
                invocation.console.print(
                    "{\"output\":\(JSONText.quoted(output.value)),\"revision\":\(result.revision),\"compactRevision\":\(result.compactRevision),"
                        + "\"hash\":\(result.hash),\"index\":\(result.index),\"entriesBehind\":\(result.entries)}")
            } else {
                invocation.console.print(
                    "exported to \(output.value): revision \(result.revision), hash \(result.hash) as of entry \(result.index); "
                        + "\(result.entries) entries of the log behind it")
            }
        }
        return command
    }
}

private struct Export {
    struct Result {
        var revision: Int64
        var compactRevision: Int64
        var hash: UInt32
        /// The entry that the database stands for, and how many come behind it.
        var index: LogIndex
        var entries: Int
    }

    let source: MemberPaths
    let target: SchemaVersion?
    let patience: LockPatience

    func run(into new: NewDirectory) throws -> Result {
        guard source.isMartlets else {
            let isEtcds = PosixFileSystem().exists(source.database)
            throw CommandFailure(
                isEtcds ? "\(source.dataDirectory) is a data directory of etcd's already" : "\(source.dataDirectory) is no data directory of martlet's: there is no \(source.store)/MANIFEST")
        }
        let store = try source.openStore(patience)
        defer { store.close() }
        let applied = store.appliedPosition
        let walk = try WALWalk(source.walDirectory, behind: applied.index)
        guard walk.snapshot.index <= applied.index else {
            throw CommandFailure("the log in \(source.walDirectory) begins behind entry \(walk.snapshot.index), but the store only has entries up to \(applied.index)")
        }
        guard let metadata = walk.metadata else { throw CommandFailure("the log in \(source.walDirectory) does not say whose it is") }
        let members = store.metaEntries(.members).values.compactMap { MemberDescription(json: $0) }.sorted { $0.id < $1.id }
        let job: HashJob
        do throws(CallError) { job = try store.hashKV(revision: 0) } catch { throw CommandFailure(error.message) }
        while try !job.step() {}

        try new.begin()
        try writeDatabase(store, to: new.member + "/snap/db")
        var files = MemberFiles(
            metadata: metadata, members: members,
            removed: store.metaEntries(.membersRemoved).keys.compactMap { UInt64(String(decoding: $0, as: UTF8.self), radix: 16).map { MemberID($0) } }.sorted(),
            version: (target ?? version(of: store))?.long,
            point: SnapshotMetadata(
                index: applied.index, term: applied.term,
                configuration: ConfigurationState(voters: members.filter { !$0.isLearner }.map(\.id), learners: members.filter(\.isLearner).map(\.id))))
        // A vote holds for its term.
        if walk.state.term == applied.term { files.vote = walk.state.vote }
        try files.write(wal: new.wal, snapshots: new.member + "/snap") { append in try copy(walk, applied, append) }
        try new.finish()
        return Result(
            revision: job.revision, compactRevision: max(job.compactRevision, 0), hash: job.hash, index: applied.index, entries: walk.count)
    }

    private func version(of store: MVCCStore) -> SchemaVersion? {
        store.metaEntries(.cluster)[ClusterKeys.clusterVersion].flatMap { SchemaVersion(String(decoding: $0, as: UTF8.self)) }
    }

    private func writeDatabase(_ store: MVCCStore, to path: String) throws {
        let isLower = target.flatMap { target in version(of: store).map { target < $0 } } ?? false
        let first = isLower ? path + ".tmp" : path
        try StoreCopy.write(store, storageVersion: StoreCopy.storageVersion(store), to: first, patience.console, "exporting")
        guard isLower, let target else { return }
        var changes = DatabaseChanges()
        changes.replaced[.cluster] = [ClusterKeys.clusterVersion: Array(target.long.utf8)]
        changes.setStorageVersion(target < .named ? nil : target.long)
        do {
            let database = try DatabaseFile(first, patience)
            try DatabaseCopy(source: database.bolt, changes: changes).write(to: path, patience.console, "lowering")
        }
        try PosixFileSystem().remove(first)
    }

    /// Entries behind the point, and the state that the member had at last.
    private func copy(_ walk: WALWalk, _ applied: (index: UInt64, term: UInt64), _ append: (HardState?, [Entry]) throws -> Void) throws {
        var batch: [Entry] = []
        var bytes = 0
        try walk.forEachEntry { entry in
            batch.append(lowered(entry))
            bytes += entry.data.count
            if batch.count >= UtilityLimits.entriesPerBatch || bytes >= UtilityLimits.entryBytesPerBatch {
                try append(nil, batch)
                batch.removeAll(keepingCapacity: true)
                bytes = 0
            }
            return true
        }
        var state = walk.state
        state.term = max(state.term, applied.term)
        state.commit = max(state.commit, applied.index)
        try append(state, batch)
    }

    /// An entry that sets the cluster's version to one that the target does not know sets the target's.
    private func lowered(_ entry: Entry) -> Entry {
        guard let target, entry.kind == .normal else { return entry }
        var changed = entry
        entry.data.withUnsafeBytes { bytes in
            guard let request = try? InternalRequest(decoding: bytes), request.kind == .clusterVersionSet else { return }
            var reader = ProtobufReader(request.body)
            guard let (field, type) = try? reader.next(), field == 1, let text = try? reader.string(type), let version = SchemaVersion(text),
                version > target
            else { return }
            let body = ByteSink(capacity: 16)
            body.field(1, target.long)
            changed.data = InternalRequest.encode(kind: .clusterVersionSet, body: body.bytes, id: request.id)
        }
        return changed
    }
}
