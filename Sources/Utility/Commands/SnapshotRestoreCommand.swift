// snapshot restore: a member's data directory from a snapshot file.

import CommandLineTools
import KeySpace
import Storage
import Wire

extension UtilityTool {
    func snapshotRestoreCommand() -> Command {
        let command = Command("restore <filename> --data-dir {output dir} [options]", "Restores an etcd member snapshot to an etcd directory")
        let flags = command.flags
        let dataDirectory = flags.add("data-dir", "", "Path to the output data directory")
        let walDirectory = flags.add("wal-dir", "", "Path to the WAL directory (use --data-dir if none given)")
        let cluster = flags.add(
            "initial-cluster", "default=http://localhost:2380", "Initial cluster configuration for restore bootstrap")
        let token = flags.add(
            "initial-cluster-token", "etcd-cluster", "Initial cluster token for the etcd cluster during restore bootstrap")
        let peerURLs = flags.add(
            "initial-advertise-peer-urls", "http://localhost:2380", "List of this member's peer URLs to advertise to the rest of the cluster")
        let name = flags.add("name", "default", "Human-readable name for this member")
        let skipsHash = flags.add(
            "skip-hash-check", false, "Ignore snapshot integrity hash value (required if copied from data directory)")
        let mapSize = flags.add(
            "initial-memory-map-size", UInt64(10_737_418_240),
            "Initial memory map size of the database in bytes. It uses the default value if not defined or defined to 0")
        let bump = flags.add("bump-revision", UInt64(0), "How much to increase the latest revision after restore")
        let isCompacted = flags.add(
            "mark-compacted", false,
            "Mark the latest revision after restore as the point of scheduled compaction (required if --bump-revision > 0, disallowed otherwise)")
        command.run = { [unowned self] invocation in
            guard invocation.arguments.count == 1 else { throw badArguments("snapshot restore requires exactly one argument") }
            guard (bump.value > 0) == isCompacted.value else { throw badArguments("--mark-compacted required if --revision-bump > 0") }
            guard let amount = Int64(exactly: bump.value) else { throw badArguments("--bump-revision \(bump.value) is more than a revision can be") }
            let members = try InitialMembers(name: name.value, cluster: cluster.value, token: token.value, peerURLs: peerURLs.value)
            let directory = dataDirectory.value.isEmpty ? name.value + ".etcd" : dataDirectory.value
            let paths = MemberPaths(directory, walDirectory: walDirectory.value)
            let new = try NewDirectory(directory, walDirectory: walDirectory.value)
            let log = LogLines(console: invocation.console)
            let fields: [(String, LogValue)] = [
                ("path", .text(invocation.arguments[0])), ("wal-dir", .text(paths.walDirectory)), ("data-dir", .text(directory)),
                ("snap-dir", .text(paths.snapshots)), ("initial-memory-map-size", .count(mapSize.value)),
            ]
            log.info("restoring snapshot", fields)
            let restore = SnapshotRestore(
                path: invocation.arguments[0], members: members, skipsHash: skipsHash.value, bump: amount, patience: self.patience(invocation.console), log: log)
            try restore.run(into: new)
            log.info("restored snapshot", fields)
        }
        return command
    }
}

struct SnapshotRestore {
    let path: String
    let members: InitialMembers
    let skipsHash: Bool
    /// Revisions that are skipped; 0: none.
    let bump: Int64
    let patience: LockPatience
    let log: LogLines

    func run(into new: NewDirectory) throws {
        try SnapshotHash.check(path, isSkipped: skipsHash, log.console)
        let database = try DatabaseFile(path, patience)
        var changes = DatabaseChanges()
        let count = LogIndex(members.members.count)
        changes.replaced[.members] = Dictionary(uniqueKeysWithValues: members.members.map { (ClusterKeys.key($0.id), $0.json()) })
        changes.replaced[.membersRemoved] = [:]
        changes.setConsistentIndex(count, term: 1)
        if try database.meta()[BackendKeys.configuration] != nil { changes.setConfiguration(voters: members.members.map(\.id)) }
        if bump > 0 { try skipRevisions(database, &changes) }
        _ = try database.keys()
        try new.begin()
        log.info("Trimming membership information from the backend...")
        try DatabaseCopy(source: database.bolt, changes: changes).write(to: new.member + "/snap/db", log.console, "restoring")
        for member in members.members {
            log.info(
                "added member",
                [
                    ("cluster-id", .text(members.clusterID.description)), ("local-member-id", .text("0")), ("added-peer-id", .text(member.id.description)),
                    ("added-peer-peer-urls", .list(member.peerURLs)), ("added-peer-is-learner", .flag(false)),
                ])
        }
        var files = MemberFiles(
            metadata: WALMetadata(memberID: members.own.id, clusterID: members.clusterID), members: members.members,
            point: SnapshotMetadata(index: count, term: 1, configuration: ConfigurationState(voters: members.members.map(\.id))))
        files.vote = members.members[0].id
        let entries = members.members.enumerated().map { offset, member in
            let sink = ByteSink(capacity: 256)
            ConfigurationChange(kind: .addVoter, member: member.id, context: member.json()).encode(to: sink)
            return Entry(kind: .configurationChange, term: 1, index: LogIndex(offset + 1), data: sink.array())
        }
        try files.write(wal: new.wal, snapshots: new.member + "/snap", before: entries)
        try new.finish()
    }

    private func skipRevisions(_ database: DatabaseFile, _ changes: inout DatabaseChanges) throws {
        let latest = try database.lastRevision()
        let (next, overflows) = latest.addingReportingOverflow(bump)
        guard !overflows else { throw badArguments("revision \(latest) cannot be raised by \(bump)") }
        log.info(
            "bumping latest revision",
            [("latest-revision", .number(latest)), ("bump-amount", .number(bump)), ("new-latest-revision", .number(next))])
        changes.lastRecord = (BackendKeys.revision(next), [])
        log.info("marking revision compacted", [("revision", .number(next))])
        changes.meta[BackendKeys.scheduledCompaction] = .some(BackendKeys.revision(next))
    }
}

/// The SHA-256 that a snapshot file ends with.
enum SnapshotHash {
    private static let bytes: UInt64 = 32

    /// - Throws: in etcdutl's words, if there is none or it is not that of what stands before it.
    static func check(_ path: String, isSkipped: Bool, _ console: Console) throws {
        let file: any File
        do { file = try PosixFileSystem().open(path, .readOnly) } catch {
            guard case .system(let code) = error.reason else { throw error }
            throw CommandFailure("open \(path): \(systemText(code))")
        }
        defer { file.close() }
        let size = try file.size()
        // Pages are multiples of 512 bytes, so that what is left over tells.
        let hasHash = size % 512 == bytes
        if isSkipped { return }
        guard hasHash else { throw CommandFailure("snapshot missing hash but --skip-hash-check=false") }
        let progress = Progress(console, "checking", total: size)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: UtilityLimits.pieceBytes, alignment: 16)
        defer { buffer.deallocate() }
        var digest = SHA256Stream()
        var at: UInt64 = 0
        while at < size - bytes {
            let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(min(UInt64(buffer.count), size - bytes - at))])
            guard try file.read(into: piece, at: at) == piece.count else { throw CommandFailure("\(path): the file shrinks while it is read") }
            digest.update(UnsafeRawBufferPointer(piece))
            at += UInt64(piece.count)
            progress.add(piece.count)
        }
        let stored = UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(bytes)])
        guard try file.read(into: stored, at: size - bytes) == stored.count else { throw CommandFailure("\(path): the file shrinks while it is read") }
        let found = digest.digest()
        func list(_ bytes: some Sequence<UInt8>) -> String { "[" + bytes.map { String($0) }.joined(separator: " ") + "]" }
        guard found.elementsEqual(stored) else { throw CommandFailure("expected sha256 \(list(stored)), got \(list(found))") }
    }
}
