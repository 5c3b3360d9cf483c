// Who is a member in a data directory of etcd's, as of one entry of its log.
//
// Its sources do not always agree: the database of etcd 3.4 keeps members of the cluster that a snapshot was taken
// from, and up to 3.5 the truth is in the `.snap` file. What Raft counted votes by is the same in all versions, so it
// says who is a member; the other places only describe them.

import KeySpace
import Raft
import Storage
import Wire

struct EtcdMembership {
    private var voters: [MemberID] = []
    private var learners: [MemberID] = []
    private var descriptions: [MemberID: MemberDescription] = [:]

    /// - Parameters:
    ///   - log: what the write-ahead log holds.
    ///   - snapshots: `.snap` files, the newest first.
    ///   - index: the entry after which the membership is wanted.
    init(log: WALContents, snapshots: [Snapshot], backend: BackendReader, at index: LogIndex) throws(BackendError) {
        let snapshot = snapshots.first { $0.metadata.index == log.snapshot.index }
        let base = log.snapshot.configuration ?? snapshot?.metadata.configuration
        if let base {
            voters = base.voters
            learners = base.learners
        }
        if let snapshot { describe(version2: snapshot.data) }
        for (_, value) in try backend.entries(.members) {
            if let member = MemberDescription(json: value) { descriptions[member.id] = member }
        }
        if log.snapshot.index > 0, base == nil {
            voters = backend.configuration?.voters ?? []
            learners = backend.configuration?.learners ?? []
        } else {
            for entry in log.entries where entry.index <= index { apply(entry) }
        }
    }

    /// All members, described; nil if one is not described anywhere, or there is none.
    var members: [MemberDescription]? {
        var result: [MemberDescription] = []
        for id in voters + learners {
            guard var member = descriptions[id] else { return nil }
            member.isLearner = learners.contains(id)
            result.append(member)
        }
        return result.isEmpty ? nil : result.sorted { $0.id < $1.id }
    }

    // MARK: Sources

    private mutating func apply(_ entry: Entry) {
        switch entry.kind {
        case .normal: break
        case .configurationChange:
            guard let change = try? entry.data.withUnsafeBytes({ try ConfigurationChange(decoding: $0) }) else { return }
            if change.kind != .remove, descriptions[change.member] == nil, let member = MemberDescription(json: change.context) {
                descriptions[change.member] = member
            }
            apply(change.kind, change.member)
        case .configurationChangeV2:
            guard let changes = try? entry.data.withUnsafeBytes({ try ConfigurationChangeV2(decoding: $0) }) else { return }
            for change in changes.changes { apply(change.kind, change.member) }
        }
    }

    private mutating func apply(_ kind: ConfigurationChangeKind, _ member: MemberID) {
        guard kind != .update, member != .none else { return }
        voters.removeAll { $0 == member }
        learners.removeAll { $0 == member }
        if kind == .addVoter { voters.append(member) }
        if kind == .addLearner { learners.append(member) }
    }

    /// Reads members out of the old key space that a `.snap` file carries: `/0/members/ID/{raftAttributes,attributes}`.
    private mutating func describe(version2 data: [UInt8]) {
        guard !data.isEmpty, let json = try? JSONValue(parsing: data), let root = json["Root"] else { return }
        func child(_ node: JSONValue?, _ name: String) -> JSONValue? { node?["Children"]?[name] }
        guard let list = child(child(root, "0"), "members"), case .object(let members)? = list["Children"] else { return }
        for (name, node) in members {
            guard let id = UInt64(name, radix: 16) else { continue }
            func attributes(_ name: String) -> JSONValue? {
                guard let text = child(node, name)?["Value"]?.string else { return nil }
                return try? JSONValue(parsing: Array(text.utf8))
            }
            let raft = attributes("raftAttributes")
            let own = attributes("attributes")
            var member = MemberDescription(id: MemberID(id), peerURLs: [])
            if let name = own?["name"]?.string { member.name = name }
            if let urls = own?["clientURLs"]?.strings { member.clientURLs = urls }
            if let urls = raft?["peerURLs"]?.strings { member.peerURLs = urls }
            descriptions[MemberID(id)] = member
        }
    }
}
