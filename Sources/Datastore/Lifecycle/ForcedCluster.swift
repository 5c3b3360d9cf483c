// `--force-new-cluster`: what is left of a cluster whose other members are lost for good goes on alone. As in etcd, the
// log gets entries that take the others out, declared committed by the operator's word instead of a quorum's.

import DatastoreTracing
import KeySpace
import Raft
import Storage
import Wire

enum ForcedCluster {
    /// Drops what was not committed, and appends the removal of every other member.
    ///
    /// - Parameter view: membership as of the last entry in the store.
    static func rewrite(
        _ wal: WriteAheadLog, _ contents: inout WALContents, applied: LogIndex, _ view: ClusterView, _ log: Log
    ) throws {
        let own = contents.metadata.memberID
        let commit = max(contents.hardState.commit, applied)
        let dropped = contents.entries.filter { $0.index > commit }.count
        if dropped > 0 {
            contents.entries.removeAll { $0.index > commit }
            log.info("discarding uncommitted WAL entries", .uint64("commit-index-at-server-start", commit), .int("number-of-discarded-wal-entries", dropped))
        }
        let members = try members(view, contents.entries.drop { $0.index <= applied })
        guard members[own] != .learner else {
            throw StartError("--force-new-cluster: this member is a learner, which may lack what was acknowledged; force a voter")
        }
        var entries: [Entry] = []
        func append(_ change: ConfigurationChange) {
            let sink = ByteSink(capacity: 256)
            change.encode(to: sink)
            entries.append(
                Entry(
                    kind: .configurationChange, term: contents.hardState.term, index: commit + 1 + LogIndex(entries.count),
                    data: sink.array()))
        }
        for id in members.keys.filter({ $0 != own }).sorted() { append(ConfigurationChange(kind: .remove, member: id)) }
        if members[own] == nil {
            throw StartError("--force-new-cluster: this member was removed from its cluster, and its data with it")
        }
        contents.hardState.commit = commit + LogIndex(entries.count)
        try wal.append(hardState: contents.hardState, entries: entries)
        try wal.sync()
        contents.entries += entries
        log.warn(
            "forcing a new cluster: all other members are taken out", .string("local-member-id", own.description),
            .strings("removed-member-ids", members.keys.filter { $0 != own }.sorted().map(\.description)),
            .uint64("commit-index", contents.hardState.commit))
    }

    private enum Role { case voter, learner }

    /// Who is in the cluster once everything committed is applied.
    private static func members(_ view: ClusterView, _ entries: ArraySlice<Entry>) throws -> [MemberID: Role] {
        var members: [MemberID: Role] = [:]
        for member in view.sortedMembers { members[member.id] = member.isLearner ? .learner : .voter }
        for entry in entries where entry.kind == .configurationChange {
            let change = try entry.data.withUnsafeBytes { try ConfigurationChange(decoding: $0) }
            switch change.kind {
            case .addVoter: members[change.member] = .voter
            case .addLearner: members[change.member] = .learner
            case .remove: members[change.member] = nil
            case .update: break
            }
        }
        return members
    }
}
