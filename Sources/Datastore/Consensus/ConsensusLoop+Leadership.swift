// Who leads and who votes, as the rest of the server sees it, and what a leader alone does: ending leases.

import DatastoreMetrics
import KeySpace
import Raft
import Transport
import Wire

extension ConsensusLoop {
    func adopt(_ state: SoftState) {
        let metrics = node.metrics.server
        // Not compared with what the loops see: that may have been published before this state came.
        if state.leader != seenLeader, state.leader != .none { metrics.leaderChangesSeen.increment() }
        seenLeader = state.leader
        if state.leader != node.consensus.leader {
            if state.leader != .none {
                // Who asked the leader before asks nobody now; reads that wait for any leader go on waiting.
                for read in reads.failAll() { fail(read, .leaderChanged) }
            }
        }
        metrics.hasLeader.set(state.leader != .none)
        metrics.isLeader.set(state.role == .leader)
        publishView()
    }

    func publishView() {
        let committed = raft.commitIndex
        node.consensus.update(
            term: raft.term, leader: raft.leader, committed: committed,
            servesLocally: !isStopping && raft.role == .leader && isOnlyVoter && hasAppliedOwnTerm,
            isLearner: raft.isLearner)
        node.metrics.server.proposalsCommitted.set(committed)
    }

    func configurationChanged() {
        let state = raft.configurationState
        isOnlyVoter = state.voters == [node.memberID] && state.votersOutgoing.isEmpty
        isAlone = isOnlyVoter && state.learners.isEmpty && state.learnersNext.isEmpty
    }

    /// A leader knows what is committed once an entry of its own term is.
    var hasAppliedOwnTerm: Bool { appliedTerm == raft.term }

    // MARK: Leases

    func updatePrimary() {
        if raft.role == .leader {
            // A lease may have been renewed just before the old leader fell silent.
            guard hasAppliedOwnTerm else { return }
            isPrimary = true
            node.keySpace.leases.promote(extend: UInt64(node.configuration.raft.electionMilliseconds) * 1_000_000)
            node.reviewVersions()
        } else {
            isPrimary = false
            node.keySpace.leases.demote()
        }
    }

    func revokeExpiredLeases(_ now: UInt64) {
        // While the cluster is corrupt no revoke could be applied.
        guard isPrimary, !node.keySpace.cluster.hasAlarm(.corrupt) else { return }
        node.metrics.server.leasesExpired.add(node.keySpace.leases.collectExpired(now: now))
        proposeRevokes()
    }

    /// Proposes as many revokes as may be in flight; each answer makes room for another.
    func proposeRevokes() {
        wantsRevokes = false
        guard isPrimary else { return }
        let leases = node.keySpace.leases
        for id in leases.takeRevokes(now: monotonicNow()) {
            let sink = ByteSink(capacity: 16)
            sink.field(1, id)
            let audited = node.audit.flatMap { $0.audits(.leaseExpiry) ? AuditEntry(expired: id, keys: leases.keys(of: id) ?? []) : nil }
            node.propose(.leaseRevoke, sink.bytes) { [weak self, audit = node.audit] error in
                // One that somebody else has revoked is in the log already.
                if let audited, error == nil { audit?.write(audited, .leaseExpiry, error: nil) }
                if let error, error != .leaseNotFound { leases.revokeFailed(id: id, now: monotonicNow()) }
                self?.wantsRevokes = true
            }
        }
    }
}
