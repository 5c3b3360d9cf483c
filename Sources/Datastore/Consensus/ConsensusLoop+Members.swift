// Changes of the members on the consensus thread, and what a member does whose peers cannot be reached: its
// messages are dropped and reported, its clients wait for a leader.

import DatastoreMetrics
import DatastoreTracing
import KeySpace
import Raft
import Wire

/// Work that waits for a leader. Bounded by the limits of the inbox, since nothing here is answered yet.
struct ParkedWork {
    private(set) var proposals: [Proposal] = []
    var changes: [ConfigurationProposal] = []

    var isEmpty: Bool { proposals.isEmpty && changes.isEmpty }

    mutating func add(_ more: ArraySlice<Proposal>) { proposals += more }

    /// Takes out what was handed in before a moment.
    mutating func expire(startedBefore limit: UInt64) -> [Proposal] {
        guard proposals.contains(where: { $0.start < limit }) else { return [] }
        let expired = proposals.filter { $0.start < limit }
        proposals.removeAll { $0.start < limit }
        return expired
    }
}

extension ConsensusLoop {
    /// Somebody leads: what was parked goes on its way.
    func proposeParked() {
        let work = parked
        parked = ParkedWork()
        for change in work.changes { propose(change) }
        if !work.proposals.isEmpty { propose(work.proposals[...]) }
    }

    // MARK: Changes

    func propose(_ proposal: ConfigurationProposal) {
        guard waitingChanges.count + parked.changes.count < ServerLimits.configurationChangesMax else {
            return proposal.completion(.tooManyRequests)
        }
        guard raft.leader != .none else { return parked.changes.append(proposal) }
        do {
            try raft.proposeConfigurationChange(proposal.change)
            waitingChanges[proposal.change.id] = proposal
        } catch {
            proposal.completion(CallError(.unknown, "raft proposal dropped"))
        }
    }

    /// Nobody waits for the change any more; it may come to pass all the same.
    func abandonChange(_ id: UInt64) {
        waitingChanges[id] = nil
        parked.changes.removeAll { $0.change.id == id }
    }

    func applyChange(_ entry: Entry) {
        guard let change = try? entry.data.withUnsafeBytes({ try ConfigurationChange(decoding: $0) }) else {
            log.error("a committed membership change cannot be decoded; it changes nothing", .uint64("entry-index", entry.index))
            return
        }
        let completion = waitingChanges.removeValue(forKey: change.id)?.completion
        let former = node.keySpace.cluster.current.members[change.member]
        do {
            // A cluster without voters could never change again; etcd would end here.
            if change.kind == .remove, raft.configurationState.voters == [change.member] { throw CallError.notEnoughStartedMembers }
            try node.keySpace.apply(change, entry: entry)
            say(change, former)
            node.metrics.knownPeers.set(
                local: node.memberID.rawValue, remote: change.member.rawValue, known: change.kind != .remove)
            if change.member == node.memberID {
                node.metrics.server.isLearner.set(node.keySpace.cluster.current.members[change.member]?.isLearner ?? false)
            }
            _ = try raft.applyConfigurationChange(change)
            configurationChanged()
            completion?(nil)
        } catch let error as CallError {
            completion?(error)
        } catch {
            completion?(CallError(.unknown, "\(error)"))
        }
    }

    private func say(_ change: ConfigurationChange, _ former: MemberDescription?) {
        let cluster = LogField.string("cluster-id", node.clusterID.description)
        let local = LogField.string("local-member-id", node.memberID.description)
        switch change.kind {
        case .addVoter where MemberDescription.isPromotion(json: change.context):
            if raft.role == .leader { node.metrics.learners.promotions.increment() }
            log.info("promote member", cluster, local, .string("promoted-member-id", change.member.description))
        case .addVoter, .addLearner:
            let member = MemberDescription(json: change.context)
            log.info(
                "added member", cluster, local, .string("added-peer-id", change.member.description),
                .strings("added-peer-peer-urls", member?.peerURLs ?? []),
                .bool("added-peer-is-learner", change.kind == .addLearner))
        case .remove:
            log.info(
                "removed member", cluster, local, .string("removed-remote-peer-id", change.member.description),
                .strings("removed-remote-peer-urls", former?.peerURLs ?? []),
                .bool("removed-remote-peer-is-learner", former?.isLearner ?? false))
        case .update:
            let member = MemberDescription(json: change.context)
            log.info(
                "updated member", cluster, local, .string("updated-remote-peer-id", change.member.description),
                .strings("updated-remote-peer-urls", member?.peerURLs ?? []),
                .bool("updated-remote-peer-is-learner", former?.isLearner ?? false))
        }
    }

    // MARK: Peers

    /// Messages to other members have no way to go: each is counted, and Raft is told as of a member that is down.
    func drop(_ messages: [Message]) {
        for message in messages where message.to != node.memberID {
            node.metrics.peers.sendFailures.series(message.to.description).increment()
            if message.kind == .snapshot {
                raft.reportSnapshot(message.to, succeeded: false)
            } else {
                raft.reportUnreachable(message.to)
            }
        }
    }

    /// How far a member and this leader are; nil for who is no member, both nil when this member does not lead.
    func progress(of member: MemberID) -> (member: LogIndex?, leader: LogIndex?) {
        (raft.match(of: member), raft.match(of: node.memberID))
    }

    func transferLeadership(to member: MemberID) {
        guard member != node.memberID else { return }
        log.info(
            "leadership transfer starting", .string("local-member-id", node.memberID.description),
            .string("current-leader-member-id", node.memberID.description),
            .string("transferee-member-id", member.description))
        raft.transferLeadership(to: member)
    }
}
