// One member's consensus as a value.
//
// The driver feeds it (`tick`, `step`, `propose`, `readIndex`, …) and takes out what is to be done: `ready()`
// returns everything at once, `didPersist` and `didApply` report back. The value has no clock, thread, socket
// or disk, so that the same code runs in the server, in the simulator and in the scripted tests.
// docs/raft.md explains the whole; the section numbers in comments are those of the Raft paper.

import Wire

public struct RaftNode: Sendable {
    public enum Role: Equatable, Sendable {
        case follower, preCandidate, candidate, leader
    }

    public let configuration: RaftConfiguration
    var log: RaftLog
    var tracker = Tracker()

    // What a member must remember: HardState, but for the commit index, which the log knows.
    public internal(set) var term: Term
    var vote: MemberID

    public internal(set) var role = Role.follower
    /// `.none` while no leader is known.
    public internal(set) var leader = MemberID.none

    // Time, in ticks
    var electionElapsed = 0
    var heartbeatElapsed = 0
    /// Drawn anew with every reset: electionTicks to twice that, exclusive.
    var randomizedElectionTicks = 0
    var random: SplitMix64

    /// Whom this leader hands over to, if anybody. Proposals are dropped meanwhile.
    var transferee = MemberID.none
    /// No change of the configuration may be proposed before the entry with this index is applied.
    var pendingConfigurationIndex: LogIndex = 0
    /// Payload bytes that this leader took in and that are not committed.
    var uncommittedBytes = 0

    var reads = ReadQueue()
    /// Reads that came before the leader's first commit of its term, when it cannot know the commit index yet.
    var earlyReads: [(from: MemberID, context: [UInt8])] = []

    // Effects gathered for the next `ready()`
    var messages: [Message] = []
    var messagesAfterAppend: [Message] = []
    var readStates: [ReadState] = []
    var lines = LogLines()
    /// Followers are to be brought up to date when the driver asks for its work: so a batch of proposals
    /// becomes one message.
    var replicationIsDue = false

    /// The candidate's vote for itself counts once it is durable.
    var ownVote = OwnVote.none
    enum OwnVote: Equatable, Sendable {
        case none
        case unwritten
        /// Handed out in the `Ready` of this number.
        case offered(UInt64)
    }

    var readyNumber: UInt64 = 0
    var offeredHardState: HardState
    var offeredSoftState: SoftState
    var reportedLeader = MemberID.none

    /// - Throws: `invalidRestoredState`, `invalidConfigurationChange` if what was stored contradicts itself.
    public init(_ configuration: RaftConfiguration, restoring state: RestoredState) throws(RaftError) {
        configuration.checkSense()
        self.configuration = configuration
        log = try RaftLog(restoring: state)
        term = state.hardState.term
        vote = state.hardState.vote
        // A write that was cut short may have left entries without the term that came with them. No vote of
        // that term was given then: it would have been durable.
        if log.lastTerm > term {
            term = log.lastTerm
            vote = .none
        }
        random = SplitMix64(seed: configuration.seed)
        offeredHardState = state.hardState
        offeredSoftState = SoftState(leader: .none, role: .follower)
        adopt(try MemberConfiguration(state.configuration))
        becomeFollower(term: term, leader: .none)
        let peers = tracker.configuration.quorum.voters.map(\.description).joined(separator: ",")
        info(
            "newRaft \(id) [peers: [\(peers)], term: \(term), commit: \(log.committed), "
                + "applied: \(log.applied), lastindex: \(log.lastIndex), lastterm: \(log.lastTerm)]")
    }

    public var id: MemberID { configuration.id }

    /// May become leader: a voter that is not waiting for a snapshot.
    var isPromotable: Bool {
        guard let own = tracker[id] else { return false }
        return !own.isLearner && !log.isInstallingSnapshot
    }

    var hardState: HardState { HardState(term: term, vote: vote, commit: log.committed) }
    var softState: SoftState { SoftState(leader: leader, role: role) }

    // Logging

    /// Debug lines are on the paths of every message: word them only behind this.
    var logsDebug: Bool { configuration.logsDebug }
    mutating func debug(_ text: String) { lines.append(.debug, text) }
    mutating func info(_ text: String) { lines.append(.info, text) }
    mutating func warn(_ text: String) { lines.append(.warning, text) }

    // Sending

    /// Sends in this member's term, at once. What is passed on keeps its sender.
    mutating func send(_ message: consuming Message) {
        guard messages.count < Limits.maxPendingMessages else { return }
        if message.from == .none { message.from = id }
        if !message.kind.isTermless { message.term = term }
        messages.append(message)
    }

    /// Sends after everything handed out so far is durable: answers promise what must survive a crash.
    /// - Parameter term: a candidate's; otherwise the own.
    mutating func sendAfterAppend(_ message: consuming Message, term: Term? = nil) {
        guard messagesAfterAppend.count < Limits.maxPendingMessages else { return }
        message.from = id
        message.term = term ?? self.term
        messagesAfterAppend.append(message)
    }
}
