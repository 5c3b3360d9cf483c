// Starting on a data directory of etcd's: its database becomes our store, its log goes on as it is.
//
// Nothing of etcd's is changed before the store is complete: it is made in a directory beside its place, synced, and
// renamed. A start that is interrupted begins again. The database stays where it is.

import KeySpace
import Storage
import Wire

/// A member's directory that may be etcd's.
struct EtcdDirectory {
    let fileSystem: any FileSystem
    let memberDirectory: String
    let walDirectory: String

    var database: String { memberDirectory + "/snap/db" }
    var store: String { memberDirectory + "/store" }
    /// Where the store is made.
    var workplace: String { memberDirectory + "/store.import" }

    /// Whether etcd's database is there and no store of ours.
    var needsImport: Bool { !fileSystem.exists(store) && fileSystem.exists(database) }

    /// What will be imported.
    struct Plan {
        var backend: BackendReader
        var members: [MemberDescription]
        var index: LogIndex
        var term: Term
        /// What goes into the buckets beside the keys.
        var buckets: [MetaBucket: [[UInt8]: [UInt8]]]
        var strangeBuckets: [String]
    }

    // MARK: Looking

    /// Reads what is there and checks that it fits together. Changes nothing.
    ///
    /// - Throws: `StartError` that says what an operator can do.
    func plan() throws -> Plan {
        guard WriteAheadLog.exists(fileSystem, walDirectory) else {
            throw StartError(
                "\(database) is a database of etcd's, but there is no write-ahead log in \(walDirectory); make a data directory of a snapshot with `etcdutl snapshot restore`")
        }
        let log = try WriteAheadLog.contents(fileSystem: fileSystem, directory: walDirectory)
        let backend = try backend(for: log)
        try checkVersion(backend)
        let index = backend.consistentIndex
        let membership = try EtcdMembership(log: log, snapshots: snapshots(), backend: backend, at: index)
        guard let members = membership.members else {
            throw StartError("the members of the cluster in \(memberDirectory) cannot be told from its log and database")
        }
        let own = log.metadata.memberID
        guard let member = members.first(where: { $0.id == own }) else {
            throw StartError("member \(own) of the log in \(walDirectory) is not a member of its cluster any more")
        }
        guard members.count == 1, !member.isLearner else {
            throw StartError(
                "\(memberDirectory) belongs to a cluster of \(members.count) members; clusters of several members are not supported by this build")
        }
        var buckets: [MetaBucket: [[UInt8]: [UInt8]]] = [:]
        for bucket in MetaBucket.allCases where bucket != .meta && bucket != .members { buckets[bucket] = try backend.entries(bucket) }
        buckets[.members] = [ClusterKeys.key(own): member.json()]
        return Plan(
            backend: backend, members: members, index: index, term: term(of: index, log, backend), buckets: buckets,
            strangeBuckets: try backend.strangeBuckets())
    }

    /// The database, or the one that a leader sent and that was not put in its place before the stop.
    private func backend(for log: WALContents) throws -> BackendReader {
        let backend = try BackendReader(database, in: fileSystem)
        let index = backend.consistentIndex
        guard index < log.snapshot.index else {
            if index == 0, let first = log.entries.first?.index, first > 1 {
                throw StartError("\(database) does not say which entries it holds, and the log begins with entry \(first)")
            }
            return backend
        }
        let sent: String = "\(memberDirectory)/snap/\(SnapFile.databaseName(index: log.snapshot.index))"
        guard fileSystem.exists(sent) else {
            throw StartError(
                "database file (\(database) index \(index)) does not match with snapshot (index \(log.snapshot.index)) of the log in \(walDirectory)")
        }
        let newer = try BackendReader(sent, in: fileSystem)
        guard newer.consistentIndex >= log.snapshot.index else {
            throw StartError("database file (\(sent) index \(newer.consistentIndex)) does not match with snapshot (index \(log.snapshot.index))")
        }
        return newer
    }

    /// Refuses what a newer version wrote.
    private func checkVersion(_ backend: BackendReader) throws {
        guard let bytes = try backend.entries(.cluster)[ClusterKeys.clusterVersion] else { return }
        let text = String(decoding: bytes, as: UTF8.self)
        let numbers: [Int] = text.split(separator: ".").compactMap { Int($0) }
        let own: [Int] = Version.cluster.split(separator: ".").compactMap { Int($0) }
        guard numbers.count >= 2, numbers[0] < own[0] || (numbers[0] == own[0] && numbers[1] <= own[1]) else {
            throw StartError("invalid downgrade; server version is lower than determined cluster version (\(Version.server), \(text))")
        }
    }

    /// Readable `.snap` files, the newest first.
    private func snapshots() -> [Snapshot] {
        let directory = memberDirectory + "/snap"
        guard let names = try? fileSystem.list(directory) else { return [] }
        var result: [Snapshot] = []
        for name in names.reversed() where SnapFile.parse(name) != nil {
            let path: String = "\(directory)/\(name)"
            if let snapshot = try? SnapFile.read(path, in: fileSystem) { result.append(snapshot) }
        }
        return result
    }

    private func term(of index: LogIndex, _ log: WALContents, _ backend: BackendReader) -> Term {
        if let entry = log.entries.first(where: { $0.index == index }) { return entry.term }
        if index == log.snapshot.index { return log.snapshot.term }
        return backend.term ?? log.hardState.term
    }

    // MARK: Doing

    /// Makes the store of the plan and puts it in place.
    func carryOut(_ plan: Plan, logOptions: RevisionLogOptions, progress: (BackendImport) -> Void) throws -> BackendImport {
        try removeWorkplace()
        do {
            let result = try MVCCStore.create(
                from: plan.backend, fileSystem: fileSystem, directory: workplace, logOptions: logOptions, index: plan.index,
                term: plan.term, buckets: plan.buckets, progress: progress)
            try fileSystem.rename(workplace, to: store)
            try fileSystem.syncDirectory(memberDirectory)
            return result
        } catch {
            // The next start would do it too; a full disk gets its space back at once.
            try? removeWorkplace()
            throw error
        }
    }

    /// Removes what an interrupted import left.
    private func removeWorkplace() throws {
        guard fileSystem.exists(workplace) else { return }
        for name in try fileSystem.list(workplace) { try fileSystem.remove("\(workplace)/\(name)") }
        try fileSystem.removeDirectory(workplace)
    }
}
