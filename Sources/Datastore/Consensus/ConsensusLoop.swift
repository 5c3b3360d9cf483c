// The consensus thread: takes what arrived since the last round, drives Raft, writes the log, applies, and
// hands the answers back. Everything here runs on that one thread.

import DatastoreMetrics
import DatastoreTracing
import Glibc
import KeySpace
import Raft
import Storage
import Transport
import Wire

final class ConsensusLoop: @unchecked Sendable {
    // Unchecked: confined to its thread after `start()`. What is not private is used by the extensions of this folder only.
    var raft: RaftNode
    let wal: WriteAheadLog
    let node: Node
    let log: Log
    private let raftLog: Log

    var taken = InboxState()
    /// Proposals that are in the log and wait to be applied, by request ID.
    var waiting: [UInt64: Waiting] = [:]
    var waitingChanges: [UInt64: ConfigurationProposal] = [:]
    /// What came while nobody led: proposed as soon as somebody does.
    var parked = ParkedWork()
    var reads = ReadWaiters()
    /// Of this round, by index of the event loop.
    var answers: [AnswerBatch]
    var released = (proposals: 0, bytes: 0, reads: 0)

    var applied: LogIndex
    var lastSnapshotIndex: LogIndex
    /// A downgrade was enabled: the older version shall find a short log.
    var wantsSnapshot = false
    private var publishedRevision: Int64
    var appliedTerm: Term = 0
    /// The leader as of the last state that Raft told.
    var seenLeader = MemberID.none
    /// Nobody else is needed for a quorum. Kept, because building the configuration's description costs.
    var isOnlyVoter = false
    /// There is nobody who could ask for entries of the log.
    var isAlone = false
    /// Payloads of applied entries since the log in memory was last cut.
    var appliedEntryBytes = 0
    var forgottenIndex: LogIndex = 0
    var isPrimary = false
    /// A revoke was answered, so another may be proposed.
    var wantsRevokes = false
    private var nextTick: UInt64
    private var nextLeasePass: UInt64
    private var nextExpiry: UInt64
    private let tickNanoseconds: UInt64
    let times: ApplyTimes
    let slowApplyNanoseconds: UInt64
    /// Of slow writes that are described.
    var slowWrites: SlowRequestBudget
    let slowWriteNanoseconds: UInt64
    var isStopping = false

    /// When the last rounds were written.
    var rounds = RoundMoments()
    /// When the entries that are being applied came to it.
    var committedAt: UInt64 = 0

    struct Waiting {
        let target: ReplyTarget
        let start: UInt64
        let bytes: Int
        let round: UInt64
    }

    init(raft: RaftNode, wal: WriteAheadLog, node: Node, applied: LogIndex, snapshotIndex: LogIndex) {
        self.raft = raft
        self.wal = wal
        self.node = node
        log = node.log
        raftLog = node.log.named("raft")
        times = ApplyTimes(node.metrics.server, node.metrics.registry)
        self.applied = applied
        lastSnapshotIndex = snapshotIndex
        publishedRevision = node.store.currentRevision
        answers = node.loops.map { _ in AnswerBatch() }
        tickNanoseconds = UInt64(node.configuration.raft.heartbeatMilliseconds) * 1_000_000
        slowApplyNanoseconds = UInt64(max(0, node.configuration.warningApplyDuration.count))
        slowWriteNanoseconds = node.requests.shortestNanoseconds
        slowWrites = SlowRequestBudget(perSecond: node.requests.lookedAtPerSecond)
        let now = monotonicNow()
        nextTick = now + tickNanoseconds
        nextLeasePass = now + Self.leasePassNanoseconds
        nextExpiry = now + Self.expiryNanoseconds
    }

    private static let leasePassNanoseconds: UInt64 = 500_000_000
    private static let expiryNanoseconds: UInt64 = 250_000_000

    // MARK: The thread

    /// Runs until the inbox is stopped; everything accepted before is answered.
    func run() {
        configurationChanged()
        // What is committed already says who votes; a member that votes alone has nobody to wait for.
        process()
        if isOnlyVoter { raft.campaign() }
        process()
        while !isStopping {
            node.inbox.take(until: min(nextTick, nextLeasePass, nextExpiry), into: &taken)
            runTimers()
            takeWork()
            process()
            isStopping = taken.isStopping
        }
        finish()
    }

    private func runTimers() {
        let now = monotonicNow()
        if now >= nextTick {
            raft.tick()
            // Its followers got the heartbeat before this one twice as late as they may expect it.
            if raft.role == .leader, !isAlone, now - nextTick > tickNanoseconds {
                node.metrics.server.heartbeatSendFailures.increment()
            }
            // A thread that was held up does not make up for lost ticks: that would start elections.
            nextTick = max(nextTick + tickNanoseconds, now + tickNanoseconds / 2)
        }
        if now >= nextLeasePass {
            nextLeasePass = now + Self.leasePassNanoseconds
            revokeExpiredLeases(now)
        }
        if now >= nextExpiry {
            nextExpiry = now + Self.expiryNanoseconds
            expireWaiters(now)
        }
    }

    private func takeWork() {
        if !taken.tasks.isEmpty {
            let tasks = taken.tasks
            taken.tasks.removeAll(keepingCapacity: true)
            for task in tasks { task(self) }
        }
        if !taken.configurationChanges.isEmpty {
            for proposal in taken.configurationChanges { propose(proposal) }
            taken.configurationChanges.removeAll(keepingCapacity: true)
        }
        if !taken.reads.isEmpty {
            addReads(taken.reads)
            taken.reads.removeAll(keepingCapacity: true)
        }
        // Rounds are bounded in bytes, so that one sync never has to wait for a gigabyte of proposals.
        var start = 0
        while start < taken.proposals.count {
            var end = start
            var bytes = 0
            while end < taken.proposals.count, bytes < ServerLimits.roundBytesMax {
                bytes += taken.proposals[end].data.count
                end += 1
            }
            propose(taken.proposals[start..<end])
            start = end
            if start < taken.proposals.count { process() }
        }
        taken.proposals.removeAll(keepingCapacity: true)
    }

    // MARK: Driving Raft

    private func process() {
        while raft.hasReady {
            let ready = raft.ready()
            write(ready.logLines)
            precondition(ready.snapshot == nil, "a snapshot arrived at a member without peers")
            persist(ready)
            raft.didPersist(ready.persistence)
            drop(ready.messages)
            drop(ready.messagesAfterAppend)
            if let state = ready.softState { adopt(state) }
            apply(ready.committedEntries)
            if !ready.readStates.isEmpty {
                let now = monotonicNow()
                for state in ready.readStates { reads.confirm(state.context, index: state.index, at: now) }
            }
            publishView()
        }
        serveReads()
        deliver()
        if isPrimary != (raft.role == .leader) { updatePrimary() }
        if wantsRevokes { proposeRevokes() }
        snapshotIfDue()
        forgetAppliedEntries()
        if raft.leader != .none, !parked.isEmpty { proposeParked() }
    }

    private func write(_ lines: [LogLine]) {
        for line in lines {
            switch line.level {
            case .debug: raftLog.debug(line.text)
            case .info: raftLog.info(line.text)
            case .warning: raftLog.warn(line.text)
            case .error: raftLog.error(line.text)
            }
        }
    }

    // MARK: Answers

    /// Hands the round's answers to their loops, one task and one write per connection each, and tells the
    /// hubs how far the store is.
    func deliver() {
        let revision = node.store.currentRevision
        let hasNews = revision != publishedRevision
        publishedRevision = revision
        let node = node
        for (index, context) in node.loops.enumerated() {
            let batch = answers[index]
            guard !batch.isEmpty || hasNews else { continue }
            if !batch.isEmpty { answers[index] = AnswerBatch() }
            node.serverLoop(index).execute {
                if !batch.isEmpty { batch.deliver(node.log, isObserving: node.requests.isObserving) }
                if hasNews { context.watches.published(through: revision) }
            }
        }
        if released.proposals > 0 || released.reads > 0 {
            node.inbox.release(proposals: released.proposals, bytes: released.bytes, reads: released.reads)
            released = (0, 0, 0)
        }
    }

    // MARK: The end

    private func finish() {
        node.consensus.stop()
        for (_, entry) in waiting { resolve(entry.target, .failed(.stopped), bytes: entry.bytes) }
        waiting = [:]
        for (_, proposal) in waitingChanges { proposal.completion(.stopped) }
        waitingChanges = [:]
        for proposal in parked.proposals { resolve(proposal.target, .failed(.stopped), bytes: proposal.data.count) }
        for proposal in parked.changes { proposal.completion(.stopped) }
        parked = ParkedWork()
        for read in reads.failAll() { fail(read, .stopped) }
        deliver()
        do { try wal.close() } catch { log.warn("failed to close the write-ahead log", .error("\(error)")) }
    }
}
