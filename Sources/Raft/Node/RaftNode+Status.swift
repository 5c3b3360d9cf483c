// What an operator or a metric wants to see, copied out.

import Wire

public struct RaftStatus: Equatable, Sendable {
    public struct Member: Equatable, Sendable {
        public var id: MemberID
        public var match: LogIndex
        public var next: LogIndex
        public var state: ReplicationState
        public var isLearner: Bool
        public var isRecentlyActive: Bool
        public var isPaused: Bool
        public var pendingSnapshot: LogIndex
        public var inflightMessages: Int
        public var inflightBytes: Int
    }

    public var id: MemberID
    public var role: RaftNode.Role
    public var leader: MemberID
    public var term: Term
    public var vote: MemberID
    public var commit: LogIndex
    public var applied: LogIndex
    public var lastIndex: LogIndex
    public var firstIndex: LogIndex
    public var isLearner: Bool
    public var transferTarget: MemberID?
    public var uncommittedBytes: Int
    public var pendingReads: Int
    public var configuration: ConfigurationState
    /// A leader's view of everybody; empty on others.
    public var members: [Member]
}

extension RaftNode {
    public var status: RaftStatus {
        let members = tracker.progress.map {
            RaftStatus.Member(
                id: $0.id, match: $0.match, next: $0.next, state: $0.state, isLearner: $0.isLearner,
                isRecentlyActive: $0.isRecentlyActive, isPaused: $0.isPaused, pendingSnapshot: $0.pendingSnapshot,
                inflightMessages: $0.inflight.count, inflightBytes: $0.inflight.bytes)
        }
        return RaftStatus(
            id: id, role: role, leader: leader, term: term, vote: vote, commit: log.committed, applied: log.applied,
            lastIndex: log.lastIndex, firstIndex: log.firstIndex, isLearner: isLearner,
            transferTarget: transferTarget, uncommittedBytes: uncommittedBytes,
            pendingReads: reads.count + earlyReads.count, configuration: configurationState,
            members: role == .leader ? members : [])
    }

    /// How far a member's log is known to agree with this leader's; nil for nobody's member, and on others.
    public func match(of member: MemberID) -> LogIndex? {
        guard role == .leader, let place = tracker.place(of: member) else { return nil }
        return tracker.progress[place].match
    }

    // The hot ones, without building the whole.
    public var commitIndex: LogIndex { log.committed }
    public var appliedIndex: LogIndex { log.applied }
    public var lastIndex: LogIndex { log.lastIndex }
    public var firstIndex: LogIndex { log.firstIndex }
    public var lastTerm: Term { log.lastTerm }
    public var isLeader: Bool { role == .leader }
    public var isLearner: Bool { tracker[id]?.isLearner ?? false }
    /// The newest point that a follower behind the compacted log would be sent.
    public var snapshotMetadata: SnapshotMetadata { log.snapshot.metadata }

    /// Nil if the entry is compacted or not there yet.
    public func term(at index: LogIndex) -> Term? { log.term(at: index) }

    /// Stops the program if the value contradicts itself: for tests and the simulator.
    public func checkInvariants() {
        log.checkInvariants()
        precondition(tracker.configuration.problem == nil, "raft: \(tracker.configuration.problem ?? "")")
        precondition(tracker.progress.map(\.id) == tracker.configuration.members.ids)
        for progress in tracker.progress { progress.checkInvariants() }
        precondition(role != .leader || leader == id)
        precondition(role == .follower || log.lastTerm <= term)
        precondition(ownVote == .none || (role == .candidate && vote == id))
        precondition(reads.count <= Limits.maxPendingReads && earlyReads.count <= Limits.maxPendingReads)
        precondition(uncommittedBytes >= 0)
        if role == .leader {
            for member in tracker.progress {
                precondition(
                    member.match <= log.lastIndex,
                    "raft: \(member.id) matches \(member.match), beyond the leader's last index \(log.lastIndex)")
            }
        }
    }
}
