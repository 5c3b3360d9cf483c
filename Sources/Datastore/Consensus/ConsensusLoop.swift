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
    // Unchecked: confined to its thread after `start()`.
    var raft: RaftNode
    private let wal: WriteAheadLog
    let node: Node
    let log: Log
    private let raftLog: Log

    private var taken = InboxState()
    /// Proposals that are in the log and wait to be applied, by request ID.
    private var waiting: [UInt64: Waiting] = [:]
    var waitingChanges: [UInt64: ConfigurationProposal] = [:]
    /// What came while nobody led: proposed as soon as somebody does.
    var parked = ParkedWork()
    private var reads = ReadWaiters()
    /// Compactions whose caller wants the purge to be finished first.
    private var answers: [AnswerBatch]
    private var released = (proposals: 0, bytes: 0, reads: 0)

    private var applied: LogIndex
    private var lastSnapshotIndex: LogIndex
    /// A downgrade was enabled: the older version shall find a short log.
    private var wantsSnapshot = false
    private var publishedRevision: Int64
    private var isPrimary = false
    /// A revoke was answered, so another may be proposed.
    private var wantsRevokes = false
    private var nextTick: UInt64
    private var nextLeasePass: UInt64
    private var nextExpiry: UInt64
    private let tickNanoseconds: UInt64
    private let slowApplyNanoseconds: UInt64
    private let slowWriteNanoseconds: UInt64
    private var isStopping = false

    struct Waiting {
        let target: ReplyTarget
        let start: UInt64
        let bytes: Int
    }

    init(raft: RaftNode, wal: WriteAheadLog, node: Node, applied: LogIndex, snapshotIndex: LogIndex) {
        self.raft = raft
        self.wal = wal
        self.node = node
        log = node.log
        raftLog = node.log.named("raft")
        self.applied = applied
        lastSnapshotIndex = snapshotIndex
        publishedRevision = node.store.currentRevision
        answers = node.loops.map { _ in AnswerBatch() }
        tickNanoseconds = UInt64(node.configuration.raft.heartbeatMilliseconds) * 1_000_000
        slowApplyNanoseconds = UInt64(max(0, node.configuration.warningApplyDuration.count))
        slowWriteNanoseconds = UInt64(max(0, node.configuration.warningUnaryRequestDuration.count))
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

    // MARK: Proposing

    func propose(_ proposals: ArraySlice<Proposal>) {
        guard raft.leader != .none else { return parked.add(proposals) }
        do {
            try raft.propose(proposals.map(\.data))
            for proposal in proposals {
                waiting[proposal.id] = Waiting(target: proposal.target, start: proposal.start, bytes: proposal.data.count)
            }
        } catch {
            for proposal in proposals {
                resolve(proposal.target, .failed(CallError(.unknown, "raft proposal dropped")), bytes: proposal.data.count)
            }
        }
    }

    /// Ends a proposal of this member.
    private func resolve(_ target: ReplyTarget, _ outcome: ApplyOutcome, bytes: Int, from offset: Int = 0) {
        released.proposals += 1
        released.bytes += bytes
        node.metrics.server.proposalsPending.decrement()
        let error: CallError? =
            switch outcome {
            case .done, .compacting: nil
            case .failed(let error): error
            case .exceededQuota: .noSpace
            }
        switch target {
        case .server(let completion): completion(error)
        case .call(let call):
            let batch = answers[call.loop.index]
            if let error { batch.add(call, failed: error) } else { batch.add(call, from: offset) }
        case .loop(let reply):
            let batch = answers[reply.loop]
            if let error { batch.add(reply, failed: error) } else { batch.add(reply, from: offset) }
        }
    }

    private func expireWaiters(_ now: UInt64) {
        let timeout = node.requestTimeoutNanoseconds
        guard now > timeout else { return }
        for (id, entry) in waiting where entry.start < now - timeout {
            waiting[id] = nil
            node.metrics.server.proposalsFailed.increment()
            resolve(entry.target, .failed(.timeout), bytes: entry.bytes)
        }
        for proposal in parked.expire(startedBefore: now - timeout) {
            node.metrics.server.proposalsFailed.increment()
            // As etcd's caller sees it: the proposal was never taken, its context ended.
            resolve(proposal.target, .failed(.deadlineExceeded), bytes: proposal.data.count)
        }
        for read in reads.expire(startedBefore: now - timeout) {
            node.metrics.server.slowReadIndexes.increment()
            fail(read, .timeout)
        }
        deliver()
    }

    // MARK: Reads that need a quorum

    private func addReads(_ pending: [PendingRead]) {
        guard let context = reads.add(pending.map { .call($0) }) else { return }
        requestReadIndex(context)
    }

    /// Calls back when a linearizable read could be served.
    func confirmRead(_ completion: @escaping @Sendable (CallError?) -> Void) {
        guard let context = reads.add([.probe(start: monotonicNow(), completion)]) else { return }
        requestReadIndex(context)
    }

    private func requestReadIndex(_ context: UInt64) {
        do {
            try raft.readIndex(context: ReadWaiters.encode(context))
        } catch {
            node.metrics.server.readIndexesFailed.increment()
            // No leader yet: the wait goes on until the request time-out, as the read is asked again by then.
            reads.retryLater(context)
        }
    }

    private func serveReads() {
        for waiter in reads.takeReady(applied: applied) {
            switch waiter {
            case .call(let read):
                released.reads += 1
                answers[read.call.loop.index].add(read)
            case .probe(_, let completion): completion(nil)
            }
        }
        for context in reads.takeRetries() where raft.leader != .none { requestReadIndex(context) }
    }

    private func fail(_ waiter: ReadWaiter, _ error: CallError) {
        switch waiter {
        case .call(let read):
            released.reads += 1
            answers[read.call.loop.index].add(read.call, failed: error)
        case .probe(_, let completion): completion(error)
        }
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
            for state in ready.readStates { reads.confirm(state.context, index: state.index) }
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

    /// Makes entries and state durable: what a `Ready` names is acknowledged only after this.
    private func persist(_ ready: Ready) {
        guard !ready.entriesToAppend.isEmpty || ready.hardState != nil else { return }
        let metrics = node.metrics.wal
        let began = monotonicNow()
        retryWhileDiskIsFull("write-ahead log") {
            try raft.withEntries(ready.entriesToAppend) { entries in
                try wal.append(hardState: ready.hardState, entries: entries)
            }
        }
        metrics.writeDuration.observe(nanoseconds: monotonicNow() - began)
        guard ready.mustSync else { return }
        var took: UInt64 = 0
        retryWhileDiskIsFull("write-ahead log") { took = try wal.sync() }
        metrics.fsyncDuration.observe(nanoseconds: took)
        if took > 1_000_000_000 {
            log.warn("slow fdatasync", .duration("took", took), .duration("expected-duration", 1_000_000_000 as UInt64))
        }
    }

    /// A full disk is waited out, and so is a lack of file descriptors: nothing has been acknowledged, reads go on.
    /// Any other error of the disk ends the process, because nobody can say what a failed sync has kept.
    private func retryWhileDiskIsFull(_ what: String, _ body: () throws -> Void) {
        var hasSaidSo = false
        while true {
            do {
                try body()
                if hasSaidSo { log.info("the shortage is over; writes go on", .string("what", what)) }
                return
            } catch let error as StorageError where error.isShortage {
                if !hasSaidSo {
                    hasSaidSo = true
                    let message =
                        error.isNoSpace
                        ? "no space left on the disk; writes wait until there is"
                        : "no file descriptor left; writes wait until there is one"
                    log.warn(message, .string("what", what), .error(error.description))
                }
                // Callers are told after the request time-out; those that hand in more meet the admission limits.
                expireWaiters(monotonicNow())
                if taken.isStopping { log.fatal("stopped while writes had to wait", .string("what", what), .error(error.description)) }
                usleep(UInt32(ServerLimits.diskFullRetryNanoseconds / 1000))
            } catch {
                log.fatal("disk error; the process ends so that nothing unsure is acknowledged", .string("what", what), .error("\(error)"))
            }
        }
    }

    private func adopt(_ state: SoftState) {
        let metrics = node.metrics.server
        if state.leader != node.consensus.leader {
            if state.leader != .none {
                metrics.leaderChangesSeen.increment()
                // Who asked the leader before asks nobody now; reads that wait for any leader go on waiting.
                for read in reads.failAll() { fail(read, .leaderChanged) }
            }
        }
        metrics.hasLeader.set(state.leader != .none)
        metrics.isLeader.set(state.role == .leader)
        publishView()
    }

    private func publishView() {
        let committed = raft.commitIndex
        node.consensus.update(
            term: raft.term, leader: raft.leader, committed: committed,
            servesLocally: !isStopping && raft.role == .leader && isOnlyVoter && hasAppliedOwnTerm,
            isLearner: raft.isLearner)
        node.metrics.server.proposalsCommitted.set(committed)
    }

    /// Nobody else is needed for a quorum. Kept, because building the configuration's description costs.
    private var isOnlyVoter = false
    /// There is nobody who could ask for entries of the log.
    private var isAlone = false
    /// Payloads of applied entries since the log in memory was last cut.
    private var appliedEntryBytes = 0
    private var forgottenIndex: LogIndex = 0

    func configurationChanged() {
        let state = raft.configurationState
        isOnlyVoter = state.voters == [node.memberID] && state.votersOutgoing.isEmpty
        isAlone = isOnlyVoter && state.learners.isEmpty && state.learnersNext.isEmpty
    }

    /// A leader knows what is committed once an entry of its own term is.
    private var hasAppliedOwnTerm: Bool { appliedTerm == raft.term }
    private var appliedTerm: Term = 0

    // MARK: Applying

    private func apply(_ range: Range<LogIndex>) {
        guard !range.isEmpty else { return }
        var next = range.lowerBound
        while next < range.upperBound {
            let end = min(next + LogIndex(KeySpaceLimits.entriesPerPublication), range.upperBound)
            // A configuration change changes `raft` itself, so the chunk is a copy; the payloads are shared.
            for entry in raft.entries(next..<end) {
                apply(entry)
                next = entry.index + 1
                if answers.contains(where: { $0.sink.count > ServerLimits.answerBatchBytesMax }) { break }
            }
            publishChunk()
            if answers.contains(where: { $0.sink.count > ServerLimits.answerBatchBytesMax }) { deliver() }
        }
        applied = range.upperBound - 1
        raft.didApply(through: applied)
        node.consensus.update(applied: applied)
        node.metrics.server.proposalsApplied.set(applied)
    }

    /// Shows a chunk's changes to readers. As long as a full disk prevents that, its answers are set aside, beside those that tell
    /// others of their time-outs: a client that was told of its write must not read the state before it.
    private func publishChunk() {
        var heldBack: [AnswerBatch]?
        retryWhileDiskIsFull("revision log") {
            do {
                try node.store.publish()
            } catch {
                if heldBack == nil {
                    heldBack = answers
                    answers = node.loops.map { _ in AnswerBatch() }
                }
                throw error
            }
        }
        guard let heldBack else { return }
        deliver()
        answers = heldBack
    }

    private func apply(_ entry: Entry) {
        appliedTerm = entry.term
        switch entry.kind {
        case .normal: applyRequest(entry)
        case .configurationChange: applyChange(entry)
        case .configurationChangeV2:
            // Members of this version propose single changes only, and so does etcd.
            if let change = try? entry.data.withUnsafeBytes({ try ConfigurationChangeV2(decoding: $0) }) {
                _ = try? raft.applyConfigurationChange(change)
                configurationChanged()
            }
        }
    }

    private func applyRequest(_ entry: Entry) {
        guard !entry.data.isEmpty else { return }
        appliedEntryBytes += entry.data.count
        entry.data.withUnsafeBytes { bytes in
            guard let request = try? InternalRequest(decoding: bytes) else {
                log.error("a committed entry cannot be decoded; it changes nothing", .uint64("entry-index", entry.index))
                return
            }
            let waiter = waiting.isEmpty ? nil : waiting.removeValue(forKey: request.id)
            var sink: ByteSink?
            switch waiter?.target {
            case .call(let call): sink = answers[call.loop.index].sink
            case .loop(let reply): sink = answers[reply.loop].sink
            case .server, nil: break
            }
            let offset = sink?.count ?? 0
            let began = monotonicNow()
            let versionBefore = request.kind == .clusterVersionSet ? node.keySpace.cluster.current.version : nil
            let outcome = node.keySpace.apply(request, entry: entry, currentTerm: raft.term, to: sink)
            if request.kind == .clusterVersionSet, let version = node.keySpace.cluster.current.version {
                node.clusterVersionChanged(from: versionBefore, to: version)
            }
            let took = monotonicNow() - began
            if took > slowApplyNanoseconds { warnSlowApply(took, request, outcome, size: (sink?.count ?? 0) - offset) }
            if case .exceededQuota = outcome { node.space.raise(node) {} }
            if request.kind == .downgradeInfoSet, node.keySpace.cluster.current.downgradeEnabled { wantsSnapshot = true }
            guard let waiter else { return }
            if began &+ took &- waiter.start > slowWriteNanoseconds {
                noteSlowWrite(waiter, request, outcome, size: (sink?.count ?? 0) - offset)
            }
            if case .compacting = outcome, case .call(let call) = waiter.target {
                finishCompaction(call, waiter, offset)
            } else {
                resolve(waiter.target, outcome, bytes: waiter.bytes, from: offset)
            }
        }
    }

    /// A compaction asked for with `physical`: its answer waits until the purge is finished.
    private func finishCompaction(_ call: Call, _ waiter: Waiting, _ offset: Int) {
        let sink = answers[call.loop.index].sink
        let answer = SharedBytes(copying: UnsafeRawBufferPointer(rebasing: sink.bytes[offset..<sink.count]))
        let node = node
        released.proposals += 1
        released.bytes += waiter.bytes
        node.metrics.server.proposalsPending.decrement()
        node.store.notifyWhenCompacted {
            call.loop.execute { call.reply { $0.append(answer.bytes) } }
        }
    }

    private func warnSlowApply(_ took: UInt64, _ request: InternalRequest, _ outcome: ApplyOutcome, size: Int) {
        node.metrics.server.slowApplies.increment()
        var failure: String?
        if case .failed(let error) = outcome { failure = error.message }
        let slow = SlowApply(
            nanoseconds: took, threshold: node.configuration.warningApplyDuration, kind: .replicated,
            request: RequestTexts.text(of: request), response: size > 0 ? "size:\(size)" : "", error: failure)
        log.warn(SlowApply.message, slow.fields)
    }

    /// Says what of a client's write took longer than `--warning-unary-request-duration`.
    private func noteSlowWrite(_ waiter: Waiting, _ request: InternalRequest, _ outcome: ApplyOutcome, size: Int) {
        guard case .call(let call) = waiter.target, let kind = request.kind else { return }
        var content: RequestStatistics.Content?
        if case .done = outcome {
            switch kind {
            case .put, .deleteRange, .txn:
                content = RequestStatistics.Content(
                    requestCount: kind == .put ? 1 : 0, requestSize: Int64(request.body.count), responseCount: 0,
                    responseSize: Int64(size), text: RequestTexts.text(kind, request.body))
            default: break
            }
        }
        answers[call.loop.index].add(
            AnswerBatch.SlowWrite(call: call, kind: kind, start: waiter.start, content: content))
    }

    // MARK: Answers

    /// Hands the round's answers to their loops, one task and one write per connection each, and tells the
    /// hubs how far the store is.
    private func deliver() {
        let revision = node.store.currentRevision
        let hasNews = revision != publishedRevision
        publishedRevision = revision
        let node = node
        for (index, context) in node.loops.enumerated() {
            let batch = answers[index]
            guard !batch.isEmpty || hasNews else { continue }
            if !batch.isEmpty { answers[index] = AnswerBatch() }
            node.serverLoop(index).execute {
                if !batch.isEmpty { batch.deliver(node.log, context) }
                if hasNews { context.watches.published(through: revision) }
            }
        }
        if released.proposals > 0 || released.reads > 0 {
            node.inbox.release(proposals: released.proposals, bytes: released.bytes, reads: released.reads)
            released = (0, 0, 0)
        }
    }

    // MARK: Leases and leadership

    private func updatePrimary() {
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

    private func revokeExpiredLeases(_ now: UInt64) {
        // While the cluster is corrupt no revoke could be applied.
        guard isPrimary, !node.keySpace.cluster.hasAlarm(.corrupt) else { return }
        node.metrics.server.leasesExpired.add(node.keySpace.leases.collectExpired(now: now))
        proposeRevokes()
    }

    /// Proposes as many revokes as may be in flight; each answer makes room for another.
    private func proposeRevokes() {
        wantsRevokes = false
        guard isPrimary else { return }
        let leases = node.keySpace.leases
        for id in leases.takeRevokes(now: monotonicNow()) {
            let sink = ByteSink(capacity: 16)
            sink.field(1, id)
            node.propose(.leaseRevoke, sink.bytes) { [weak self] error in
                if let error, error != .leaseNotFound { leases.revokeFailed(id: id, now: monotonicNow()) }
                self?.wantsRevokes = true
            }
        }
    }

    // MARK: Log compaction

    /// Marks how far the log is no longer needed, every `--snapshot-count` entries: the store itself is the
    /// snapshot, so only a record in the log is written.
    private func snapshotIfDue() {
        guard applied - lastSnapshotIndex > node.configuration.raft.snapshotCount || wantsSnapshot else { return }
        // Entries whose effects are not durable in the store are still needed.
        let durable = min(applied, node.store.durableIndex)
        guard durable > lastSnapshotIndex, wantsSnapshot || durable - lastSnapshotIndex > node.configuration.raft.snapshotCount / 2 else { return }
        log.info(
            "triggering snapshot", .string("local-member-id", node.memberID.description),
            .uint64("local-member-applied-index", applied), .uint64("local-member-snapshot-index", lastSnapshotIndex),
            .uint64("local-member-snapshot-count", node.configuration.raft.snapshotCount), .bool("snapshot-forced", wantsSnapshot))
        wantsSnapshot = false
        guard let term = raft.term(at: durable) else { return }
        let metadata = SnapshotMetadata(index: durable, term: term, configuration: raft.configurationState)
        retryWhileDiskIsFull("write-ahead log") {
            try wal.saveSnapshot(metadata)
            try wal.release(through: durable)
        }
        lastSnapshotIndex = durable
        log.info("saved snapshot to disk", .uint64("snapshot-index", durable))
        raft.recordSnapshot(Snapshot(metadata: metadata))
        let kept = node.configuration.raft.snapshotCatchUpEntries
        if durable > kept { raft.compactLog(through: durable - kept) }
    }

    /// Alone, the log in memory is cut behind what is durable in the store, whatever the files keep. A member that joins
    /// later is sent the store.
    private func forgetAppliedEntries() {
        guard isAlone, appliedEntryBytes > ServerLimits.appliedEntryBytesKeptAlone else { return }
        // The term of the next snapshot record is looked up here, so the entries behind it stay.
        let durable = min(applied, node.store.durableIndex)
        guard durable > forgottenIndex, let term = raft.term(at: durable) else { return }
        forgottenIndex = durable
        appliedEntryBytes = 0
        raft.recordSnapshot(
            Snapshot(metadata: SnapshotMetadata(index: durable, term: term, configuration: raft.configurationState)))
        raft.compactLog(through: durable)
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
