// The log and the `.snap` file of a member that etcd and martlet start from.

import Storage
import Wire

/// What a member's log begins with.
struct MemberFiles {
    var metadata: WALMetadata
    var members: [MemberDescription]
    var removed: [MemberID] = []
    /// What the `.snap` file says of the cluster's version; nil: nothing.
    var version: String?
    /// The point that the database stands for.
    var point: SnapshotMetadata
    var vote = MemberID.none

    /// Writes a log that begins at the point, and the file for etcd up to 3.6. A point of index 0 is none.
    ///
    /// - Parameters:
    ///   - before: entries up to the point.
    ///   - after: hands out what comes behind the point, in batches; the state that goes with the last one comes with it.
    func write(
        wal directory: String, snapshots: String, before: [Entry] = [],
        after: (_ append: (HardState?, [Entry]) throws -> Void) throws -> Void = { _ in }
    ) throws {
        let system = PosixFileSystem()
        var options = WALOptions()
        options.preparesInBackground = false
        let log = try WriteAheadLog.create(fileSystem: system, directory: directory, metadata: metadata, options: options)
        do {
            if point.index > 0 {
                try log.append(hardState: HardState(term: point.term, vote: vote, commit: point.index), entries: before)
                try log.saveSnapshot(point)
            }
            try after { state, entries in try log.append(hardState: state, entries: entries) }
        } catch {
            try? log.close()
            throw error
        }
        try log.close()
        guard point.index > 0 else { return }
        let data = VersionTwoStore.json(members: members, removed: removed, version: version, index: point.index)
        let bytes = SnapFile.encode(Snapshot(metadata: point, data: data))
        let file = try system.open(snapshots + "/" + SnapFile.name(term: point.term, index: point.index), .create)
        defer { file.close() }
        try write(bytes, file)
        try file.sync()
    }

    private func write(_ bytes: [UInt8], _ file: any File) throws { try bytes.withUnsafeBytes { try file.write($0, at: 0) } }
}
