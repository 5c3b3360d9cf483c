// Handing out work and taking its results back.

import Wire

extension RaftNode {
    /// Whether `ready()` would return any work.
    public var hasReady: Bool {
        replicationIsDue || log.hasEntriesToOffer || log.incomingSnapshot != nil
            || log.hasEntriesToApply(maxBytes: configuration.maxApplyingBytes)
            || !messages.isEmpty || !messagesAfterAppend.isEmpty || !readStates.isEmpty || !lines.isEmpty
            || hardState != offeredHardState || softState != offeredSoftState
    }

    /// Takes out all that is to be done. Nothing is handed out twice.
    public mutating func ready() -> Ready {
        if replicationIsDue { replicateToAll() }
        reportLeader()
        readyNumber += 1
        if ownVote == .unwritten { ownVote = .offered(readyNumber) }

        let snapshot = log.takeIncomingSnapshot()
        let appended = log.offer()
        let (committed, payloadBytes) = log.takeEntriesToApply(maxBytes: configuration.maxApplyingBytes)
        uncommittedBytes = max(0, uncommittedBytes - payloadBytes)

        let hardState = hardState
        let softState = softState
        let mustSync =
            !appended.isEmpty || snapshot != nil || hardState.term != offeredHardState.term
            || hardState.vote != offeredHardState.vote
        let ready = Ready(
            softState: softState == offeredSoftState ? nil : softState,
            hardState: hardState == offeredHardState ? nil : hardState,
            snapshot: snapshot, entriesToAppend: appended, messages: messages,
            messagesAfterAppend: messagesAfterAppend, committedEntries: committed, readStates: readStates,
            mustSync: mustSync, logLines: lines.take(),
            persistence: PersistenceToken(number: readyNumber, epoch: log.epoch, through: log.offered))
        messages = []
        messagesAfterAppend = []
        readStates = []
        offeredHardState = hardState
        offeredSoftState = softState
        return ready
    }

    /// The entries of a range that a `Ready` named, in place.
    public func withEntries<Result>(
        _ range: Range<LogIndex>, _ body: (UnsafeBufferPointer<Entry>) throws -> Result
    ) rethrows -> Result {
        try log.withEntries(range, body)
    }

    /// Copies of them.
    public func entries(_ range: Range<LogIndex>) -> [Entry] { log.withEntries(range) { Array($0) } }

    /// The lines since the last `ready()`, ahead of the next one.
    public mutating func takeLogLines() -> [LogLine] { lines.take() }

    /// All that this and earlier Readies asked to write is durable. A leader counts its own copy now: with a
    /// quorum of one the entries are committed when this returns.
    public mutating func didPersist(_ token: PersistenceToken) {
        precondition(token.number <= readyNumber, "raft: Ready \(token.number) was never handed out")
        log.didPersist(through: token.through, epoch: token.epoch)
        if case .offered(let number) = ownVote, number <= token.number {
            ownVote = .none
            count(vote: true, from: id, kind: .voteResponse)
        }
        if role == .leader { acknowledgeOwnEntries() }
    }

    /// The state machine has everything up to `index`, which a `Ready` handed out.
    public mutating func didApply(through index: LogIndex) {
        log.didApply(through: index)
        leaveJointIfDue()
    }

    /// A copy of the state machine at an applied index exists, for members that need what will be compacted.
    /// Its `data` is put into snapshot messages as it is; the driver may replace it when sending.
    public mutating func recordSnapshot(_ snapshot: Snapshot) { log.record(snapshot) }

    /// Forgets the entries up to `index`, which must be covered by a recorded snapshot.
    public mutating func compactLog(through index: LogIndex) { log.compact(through: index) }

    /// As etcd says it when a client would notice.
    private mutating func reportLeader() {
        guard leader != reportedLeader else { return }
        if leader == .none {
            info("raft.node: \(id) lost leader \(reportedLeader) at term \(term)")
        } else if reportedLeader == .none {
            info("raft.node: \(id) elected leader \(leader) at term \(term)")
        } else {
            info("raft.node: \(id) changed leader from \(reportedLeader) to \(leader) at term \(term)")
        }
        reportedLeader = leader
    }
}
