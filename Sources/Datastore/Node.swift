// What every handler of the server shares: the key space, what this member knows of consensus, and the
// way to propose. Built once at start, then immutable but for the atomics.

import CShims
import DatastoreMetrics
import DatastoreTracing
import KeySpace
import Synchronization
import Transport
import Wire

@inline(__always)
func monotonicNow() -> UInt64 { martlet_monotonic_ns() }

/// The same clock as of the kernel's last tick, a few milliseconds ago at most, for a fifth of the price.
@inline(__always)
func monotonicRecently() -> UInt64 { martlet_monotonic_coarse_ns() }

/// What event loops read of consensus without asking its thread.
final class ConsensusView: Sendable {
    private let termCell = Atomic<UInt64>(0)
    private let leaderCell = Atomic<UInt64>(0)
    private let committedCell = Atomic<UInt64>(0)
    private let appliedCell = Atomic<UInt64>(0)
    private let localReads = Atomic<Bool>(false)
    private let learner = Atomic<Bool>(false)
    private let stopping = Atomic<Bool>(false)

    var term: Term { termCell.load(ordering: .relaxed) }
    var leader: MemberID { MemberID(leaderCell.load(ordering: .relaxed)) }
    var committed: LogIndex { committedCell.load(ordering: .relaxed) }
    var applied: LogIndex { appliedCell.load(ordering: .relaxed) }
    var isLearner: Bool { learner.load(ordering: .relaxed) }
    var isStopping: Bool { stopping.load(ordering: .relaxed) }

    /// True while this member is the only voter and leads: nobody else can acknowledge a write, and this
    /// member acknowledges none before it is visible. So a read of the present state is linearizable.
    @inline(__always)
    var servesLocally: Bool { localReads.load(ordering: .acquiring) }

    func update(term: Term, leader: MemberID, committed: LogIndex, servesLocally: Bool, isLearner: Bool) {
        termCell.store(term, ordering: .relaxed)
        leaderCell.store(leader.rawValue, ordering: .relaxed)
        committedCell.store(committed, ordering: .relaxed)
        learner.store(isLearner, ordering: .relaxed)
        localReads.store(servesLocally, ordering: .releasing)
    }

    func update(applied: LogIndex) { appliedCell.store(applied, ordering: .relaxed) }

    func stop() {
        stopping.store(true, ordering: .relaxed)
        localReads.store(false, ordering: .releasing)
    }
}

/// The member as its services see it.
final class Node: Sendable {
    let configuration: Configuration
    let clusterID: ClusterID
    let memberID: MemberID
    let keySpace: KeySpace
    let consensus = ConsensusView()
    let inbox = Inbox()
    let snapshots = SnapshotThreads()
    let health = HealthService()
    let claims = ClaimCount()
    let space: SpaceQuota
    let storageVersion: StorageVersion
    let ids: RequestIDGenerator
    let tokens: AuthTokens
    let metrics: NodeMetrics
    let log: Log
    let resources: ResourceStatistics
    let clients: ClientStatistics
    let requests: RequestLog
    /// Nil without an audit log.
    let audit: AuditLog?
    /// By index of the event loop.
    let loops: [LoopContext]
    /// Of each loop's context.
    nonisolated(unsafe) private let readingsByLoop: UnsafePointer<UnsafeMutablePointer<LoopReadings>>
    /// What the loop of a call notes of reads. Only on that loop.
    @inline(__always)
    func readings(_ call: Call) -> UnsafeMutablePointer<LoopReadings> { readingsByLoop[call.loop.index] }
    private let serverLoops: [ServerLoop]

    init(
        configuration: Configuration, clusterID: ClusterID, memberID: MemberID, keySpace: KeySpace,
        ids: RequestIDGenerator, tokens: AuthTokens, metrics: NodeMetrics, log: Log, audit: AuditLog? = nil, loops: [LoopContext],
        serverLoops: [ServerLoop]
    ) {
        precondition(loops.count == serverLoops.count)
        self.serverLoops = serverLoops
        self.configuration = configuration
        self.clusterID = clusterID
        self.memberID = memberID
        self.keySpace = keySpace
        let view = keySpace.cluster.current
        space = SpaceQuota(isRaised: view.alarms.contains(AlarmMember(member: memberID, alarm: .noSpace)))
        storageVersion = StorageVersion(view.version)
        self.ids = ids
        self.tokens = tokens
        self.metrics = metrics
        self.log = log
        self.audit = audit
        requests = RequestLog(
            configuration, log: log, loops: serverLoops,
            exporter: configuration.tracing.isEnabled ? SpanExporter(configuration.tracing, log: log) : nil)
        self.loops = loops
        let readings = UnsafeMutablePointer<UnsafeMutablePointer<LoopReadings>>.allocate(capacity: loops.count)
        for (index, loop) in loops.enumerated() { (readings + index).initialize(to: loop.readings) }
        readingsByLoop = UnsafePointer(readings)
        let perSecond = requests.lookedAtPerSecond
        for loop in loops {
            loop.slowRequests = SlowRequestBudget(perSecond: perSecond)
            loop.slowReads = SlowRequestBudget(perSecond: perSecond)
        }
        resources = ResourceStatistics(
            keySpace.store, traffic: loops.map(\.traffic), seriesMax: configuration.monitoring.resourceSeriesMax)
        clients = ClientStatistics(loopCount: loops.count, seriesMax: configuration.monitoring.clientSeriesMax)
    }

    func serverLoop(_ index: Int) -> ServerLoop { serverLoops[index] }
    var store: MVCCStore { keySpace.store }
    var headers: ResponseHeaderEncoder { keySpace.headers }

    /// How long a proposal or a linearizable read may take: 5 s and two election time-outs.
    var requestTimeoutNanoseconds: UInt64 {
        5_000_000_000 + 2 * UInt64(configuration.raft.electionMilliseconds) * 1_000_000
    }

    /// Appends a header with the revision of this moment.
    @inline(__always)
    func appendHeader(to sink: ByteSink) {
        headers.append(to: sink, revision: store.currentRevision, term: consensus.term)
    }

    // MARK: Admission

    /// What etcd checks before every call, in its order; ends the call and answers false if it must not go on.
    @inline(__always)
    func admit(_ call: Call, isStream: Bool, allowsLearner: Bool = false) -> Bool {
        if consensus.isLearner, !allowsLearner {
            call.fail(.notSupportedForLearner)
            return false
        }
        guard loops[call.loop.index].countClient(call, isStream: isStream) else {
            call.fail(.invalidClientAPIVersion)
            return false
        }
        if consensus.leader == .none, call.metadata(.hasLeader, is: "true") {
            call.fail(.noLeader)
            return false
        }
        return true
    }

    // MARK: Writing

    /// Wraps a client's request and sends it through consensus; the answer goes out on the call.
    func propose(_ kind: InternalRequestKind, _ body: UnsafeRawBufferPointer, for call: Call, privileged: Bool = false) {
        let id = ids.next()
        let data: [UInt8]
        do throws(CallError) { data = try encode(kind, body, id: id, for: call) } catch { return call.fail(error) }
        guard data.count <= configuration.limits.requestBytesMaximum else { return call.fail(.requestTooLarge) }
        // A member that falls behind with applying takes no more until it has caught up.
        guard privileged || consensus.committed <= consensus.applied + ServerLimits.unappliedEntriesMax else {
            return call.fail(.tooManyRequests)
        }
        let now = monotonicNow()
        writeBegan(kind, body, call, at: now)
        loops[call.loop.index].add(
            Proposal(id: id, data: data, target: .call(call), start: now, isPrivileged: privileged), node: self)
    }

    /// A proposal's bytes with the name of who asks.
    func encode(
        _ kind: InternalRequestKind, _ body: UnsafeRawBufferPointer, id: UInt64, for call: Call
    ) throws(CallError) -> [UInt8] {
        if let who = try credentials(call), who.revision != 0 {
            return InternalRequest.encode(
                kind: kind, body: body, id: id, username: who.username, authRevision: who.revision)
        }
        return InternalRequest.encode(kind: kind, body: body, id: id)
    }

    /// Proposes a request of the server's own. `completion` runs on the consensus thread, or on this one if
    /// the request is refused at once.
    func propose(
        _ kind: InternalRequestKind, _ body: UnsafeRawBufferPointer, privileged: Bool = true,
        completion: @escaping @Sendable (CallError?) -> Void
    ) {
        let id = ids.next()
        // The server acts as root, whatever the rules are.
        let data =
            keySpace.auth.isEnabled
            ? InternalRequest.encode(
                kind: kind, body: body, id: id, username: AuthUser.root, authRevision: keySpace.auth.revision)
            : InternalRequest.encode(kind: kind, body: body, id: id)
        metrics.server.proposalsPending.increment()
        let refused = inbox.submit([
            Proposal(id: id, data: data, target: .server(completion), start: monotonicNow(), isPrivileged: privileged)
        ])
        guard !refused.isEmpty else { return }
        metrics.server.proposalsPending.decrement()
        completion(consensus.isStopping ? .stopped : .tooManyRequests)
    }

    // MARK: Reading

    /// Serves the request when everything acknowledged before is visible here.
    @inline(__always)
    func linearize(_ call: Call, _ request: UnsafeRawBufferPointer, _ handler: any LinearizableHandler) {
        if consensus.servesLocally { return handler.serve(call, request) }
        let now = monotonicNow()
        call.withRecord { $0.span.mark(.queued, at: now) }
        loops[call.loop.index].add(PendingRead(call: call, request: [UInt8](request), handler: handler, start: now), node: self)
    }
}
