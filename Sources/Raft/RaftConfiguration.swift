// What a member is told about consensus once, at its start.

import Wire

public struct RaftConfiguration: Sendable {
    public enum ReadOnlyOption: Sendable {
        /// A read index is confirmed by a quorum.
        case safe
        /// A leader trusts its check-quorum lease: cheaper, and wrong when clocks drift.
        case lease
    }

    public var id: MemberID
    /// A follower that hears nothing for this long to twice this long starts an election.
    public var electionTicks: Int
    public var heartbeatTicks: Int
    public var preVote: Bool
    public var checkQuorum: Bool
    public var readOnlyOption: ReadOnlyOption = .safe
    public var maxSizePerMessage = Limits.defaultMaxSizePerMessage
    public var maxInflightMessages = Limits.defaultMaxInflightMessages
    public var maxInflightBytes = Limits.defaultMaxInflightBytes
    public var maxApplyingBytes = Limits.defaultMaxApplyingBytes
    /// Payload bytes that a leader takes in before they are committed; then proposals are dropped.
    public var maxUncommittedBytes = Int.max
    /// A leader that is no longer a voter hands leadership over, as §6 of the paper wants.
    public var handsOverOnRemoval = true
    /// Followers refuse proposals instead of passing them to the leader.
    public var disableProposalForwarding = false
    /// Debug lines are worded only if somebody reads them.
    public var logsDebug = false
    /// Must differ between members.
    public var seed: UInt64

    public init(
        id: MemberID, electionTicks: Int = 10, heartbeatTicks: Int = 1, preVote: Bool = true,
        checkQuorum: Bool = true, seed: UInt64
    ) {
        self.id = id
        self.electionTicks = electionTicks
        self.heartbeatTicks = heartbeatTicks
        self.preVote = preVote
        self.checkQuorum = checkQuorum
        self.seed = seed
    }

    func checkSense() {
        precondition(id != .none, "raft: a member cannot have the id 0")
        precondition(heartbeatTicks > 0, "raft: heartbeatTicks must be positive, is \(heartbeatTicks)")
        precondition(
            electionTicks > heartbeatTicks,
            "raft: electionTicks (\(electionTicks)) must be greater than heartbeatTicks (\(heartbeatTicks))")
        precondition(maxInflightMessages > 0, "raft: maxInflightMessages must be positive")
        precondition(maxInflightBytes >= maxSizePerMessage, "raft: maxInflightBytes must hold one message")
        precondition(maxApplyingBytes > 0 && maxUncommittedBytes > 0, "raft: byte limits must be positive")
        precondition(
            readOnlyOption == .safe || checkQuorum, "raft: lease reads need checkQuorum: the lease is what it grants")
    }
}

/// What a member remembers from before its restart.
public struct RestoredState: Sendable {
    public var hardState: HardState
    /// The configuration as of `applied`.
    public var configuration: ConfigurationState
    /// Where `entries` begin: the snapshot or compaction point before them. Its configuration is not used:
    /// the one as of `applied` replaces it.
    public var snapshot: SnapshotMetadata
    /// The log after `snapshot.index`, without a gap.
    public var entries: [Entry]
    /// How far the state machine is known to be.
    public var applied: LogIndex

    /// - Parameter applied: nil if the state machine stands where the snapshot does.
    public init(
        hardState: HardState = HardState(), configuration: ConfigurationState,
        snapshot: SnapshotMetadata = SnapshotMetadata(), entries: [Entry] = [], applied: LogIndex? = nil
    ) {
        self.hardState = hardState
        self.configuration = configuration
        self.snapshot = snapshot
        self.entries = entries
        self.applied = applied ?? snapshot.index
    }
}
