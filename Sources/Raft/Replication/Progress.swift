// What a leader knows of one follower's log, and how it feeds that follower.

import Wire

public enum ReplicationState: Equatable, Sendable {
    /// The follower's log is not known: one message per heartbeat, until it answers.
    case probe
    /// The follower keeps up: messages are sent ahead of its answers.
    case replicate
    /// The follower needs what was compacted away: nothing is sent until it has the snapshot.
    case snapshot

    /// As etcd's logs name it.
    public var logName: String {
        switch self {
        case .probe: "StateProbe"
        case .replicate: "StateReplicate"
        case .snapshot: "StateSnapshot"
        }
    }
}

struct Progress: Equatable, Sendable {
    let id: MemberID
    /// The follower is known to have everything up to here, durably.
    var match: LogIndex = 0
    /// The next entry to send; above `match`.
    var next: LogIndex
    private(set) var state = ReplicationState.probe
    /// The snapshot that was sent, in state `.snapshot`.
    private(set) var pendingSnapshot: LogIndex = 0
    /// The highest commit index that the follower was told of, provided its log reached that far.
    private(set) var sentCommit: LogIndex = 0
    /// Heard from since the last check of the quorum.
    var isRecentlyActive = false
    /// Nothing more is sent until an answer or a heartbeat's answer comes.
    private(set) var isFlowPaused = false
    var isLearner: Bool
    private(set) var inflight: InflightWindow

    init(id: MemberID, next: LogIndex, isLearner: Bool, inflight: InflightWindow) {
        self.id = id
        self.next = next
        self.isLearner = isLearner
        self.inflight = inflight
    }

    var isPaused: Bool { state == .snapshot || isFlowPaused }

    private mutating func enter(_ state: ReplicationState) {
        self.state = state
        isFlowPaused = false
        pendingSnapshot = 0
        inflight.reset()
    }

    mutating func becomeProbe() {
        // After a snapshot that arrived, probing goes on behind it.
        next = state == .snapshot ? max(match + 1, pendingSnapshot + 1) : match + 1
        enter(.probe)
        sentCommit = min(sentCommit, next - 1)
    }

    mutating func becomeReplicate() {
        enter(.replicate)
        next = match + 1
    }

    mutating func becomeSnapshot(_ index: LogIndex) {
        enter(.snapshot)
        pendingSnapshot = index
        next = index + 1
        sentCommit = index
    }

    /// The snapshot did not arrive: probing goes on from what is known.
    mutating func abandonSnapshot() { pendingSnapshot = 0 }

    mutating func didSend(entries: Int, bytes: Int) {
        guard entries > 0 else { return }
        switch state {
        case .replicate:
            next += UInt64(entries)
            inflight.add(through: next - 1, bytes: bytes)
            isFlowPaused = inflight.isFull
        case .probe:
            isFlowPaused = true
        case .snapshot:
            preconditionFailure("raft: entries sent to \(id), which waits for a snapshot")
        }
    }

    mutating func didSend(commit: LogIndex) { sentCommit = max(sentCommit, commit) }

    /// Whether telling `commit` would move the follower's commit index.
    func canBumpCommit(_ commit: LogIndex) -> Bool { commit > sentCommit && sentCommit < next - 1 }

    mutating func resumeFlow() { isFlowPaused = false }
    mutating func pauseFlow() { isFlowPaused = true }

    /// The follower has everything up to `index`. False if that is no news.
    mutating func acknowledge(_ index: LogIndex) -> Bool {
        guard index > match else { return false }
        match = index
        next = max(next, index + 1)
        isFlowPaused = false
        return true
    }

    mutating func freeInflight(through index: LogIndex) { inflight.free(through: index) }

    /// The follower refused an append at `rejected` and suggests to go on from `hint`. False if the refusal
    /// is of an old message.
    mutating func decrease(rejected: LogIndex, hint: LogIndex) -> Bool {
        if state == .replicate {
            if rejected <= match { return false }
            next = match + 1
            sentCommit = min(sentCommit, next - 1)
            return true
        }
        if next - 1 != rejected { return false }
        next = max(min(rejected, hint + 1), match + 1)
        sentCommit = min(sentCommit, next - 1)
        isFlowPaused = false
        return true
    }

    /// As etcd's logs show it.
    var logText: String {
        var text = "\(state.logName) match=\(match) next=\(next)"
        if isLearner { text += " learner" }
        if isPaused { text += " paused" }
        if pendingSnapshot > 0 { text += " pendingSnap=\(pendingSnapshot)" }
        if !isRecentlyActive { text += " inactive" }
        if inflight.count > 0 {
            text += " inflight=\(inflight.count)"
            if inflight.isFull { text += "[full]" }
        }
        return text
    }

    func checkInvariants() {
        precondition(match < next, "raft: progress of \(id): match \(match) is not below next \(next)")
        precondition(state == .snapshot || pendingSnapshot == 0)
        precondition(state == .replicate || inflight.count == 0)
        inflight.checkInvariants()
    }
}
