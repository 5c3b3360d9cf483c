// etcdserverpb.Watch: the hub of an event loop and its gRPC streams.

import KeySpace
import Transport
import Wire

/// The watches of one event loop; confined to it.
final class WatchLoop {
    private let node: Node
    private let loop: ServerLoop
    let hub: WatchHub
    /// What is behind, for any thread.
    let lag = WatchLag()
    private var isSliceScheduled = false
    /// Streams that want to end when there is no leader.
    private var leaderBound: [ObjectIdentifier: any LeaderBoundCall] = [:]
    /// The same of streams that need no more than to be ended; those that have ended are swept out.
    private var leaderBoundCalls: Set<Call> = []
    private var nextSweep: UInt64 = 0
    private static let sweepNanoseconds: UInt64 = 10_000_000_000
    private var leaderlessSince: UInt64?

    init(node: Node, loop: ServerLoop) {
        self.node = node
        self.loop = loop
        var configuration = WatchConfiguration()
        let interval = node.configuration.maintenance.watchProgressNotifyInterval
        if interval > .zero { configuration.progressIntervalNanoseconds = UInt64(interval.count) }
        configuration.fragmentBytes = Int(node.configuration.limits.receiveBytesMaximum)
        let consensus = node.consensus
        hub = WatchHub(
            source: node.store, headers: node.headers, configuration: configuration,
            traffic: node.loops[loop.index].traffic, resourceNames: node.store.resourceNames
        ) { consensus.term }
        let log = node.log
        hub.onReadFailure = { log.warn("failed to read a stored record for a watch", .error("\($0)")) }
    }

    /// The store shows everything up to `revision`.
    func published(through revision: Int64) {
        timed { hub.published(through: revision) }
        pump()
    }

    /// Some ten times a second.
    func tick(now: UInt64) {
        let progressed = hub.responsesSent
        hub.tick(now: now)
        if hub.responsesSent != progressed { node.metrics.watch.progressDuration.observe(nanoseconds: monotonicNow() &- now) }
        lookForBacklogs(now)
        watchLeader(now)
        pump()
        publishLevels()
    }

    func open(_ call: WatchCall, needsLeader: Bool) {
        call.stream = hub.openStream(call, now: monotonicNow())
        if needsLeader { bind(call) }
    }

    func bind(_ call: Call) { leaderBoundCalls.insert(call) }

    /// Ends the call when there is no leader for some time, until it is unbound.
    func bind(_ call: any LeaderBoundCall) { leaderBound[ObjectIdentifier(call)] = call }
    func unbind(_ call: any LeaderBoundCall) { leaderBound[ObjectIdentifier(call)] = nil }

    func close(_ call: WatchCall) {
        unbind(call)
        if let stream = call.stream { hub.closeStream(stream) }
        call.stream = nil
        publishLevels()
    }

    /// Work of the hub goes on in turns of its own, between which the loop serves others.
    func pump() {
        guard hub.hasWork, !isSliceScheduled else { return }
        isSliceScheduled = true
        loop.later { [self] in
            isSliceScheduled = false
            timed { hub.runSlice() }
            pump()
        }
    }

    /// Three election time-outs without a leader end the streams that asked for one.
    private func watchLeader(_ now: UInt64) {
        if now >= nextSweep {
            nextSweep = now + Self.sweepNanoseconds
            leaderBoundCalls = leaderBoundCalls.filter(\.isAlive)
        }
        guard node.consensus.leader == .none else {
            leaderlessSince = nil
            return
        }
        let since = leaderlessSince ?? now
        leaderlessSince = since
        guard now - since >= 3 * UInt64(node.configuration.raft.electionMilliseconds) * 1_000_000 else { return }
        for call in Array(leaderBound.values) { call.fail(.noLeader) }
        for call in leaderBoundCalls { call.fail(.noLeader) }
        leaderBoundCalls = []
    }

    // MARK: Times and backlogs

    /// Runs a piece of delivery; each response of it counts as having taken the same share.
    private func timed(_ body: () -> Void) {
        guard hub.hasWatchers else { return body() }
        let responses = hub.responsesSent
        let events = hub.eventsSent
        let began = monotonicNow()
        body()
        let sent = hub.responsesSent &- responses
        guard sent > 0 else { return }
        let took = monotonicNow() &- began
        node.metrics.watch.sendDuration.observe(nanoseconds: took, over: sent)
        node.metrics.watch.sendDurationPerEvent.observe(
            nanoseconds: took &* sent / max(1, hub.eventsSent &- events), over: sent)
    }

    private var revisions = RevisionClock()
    private var nextLook: UInt64 = 0
    private static let lookNanoseconds: UInt64 = 1_000_000_000

    private func lookForBacklogs(_ now: UInt64) {
        guard now >= nextLook else { return }
        nextLook = now + Self.lookNanoseconds
        let published = node.store.currentRevision
        revisions.note(published, at: now)
        let (behind, slowest) = hub.backlogs(most: ServerLimits.slowStreamsMax)
        var levels = WatchLag.Levels()
        levels.streams = hub.statistics.streams
        levels.behind = behind
        levels.slowest = slowest.map { backlog in
            let call = (backlog.output as? WatchCall)?.call
            let missing = max(0, published - backlog.next + 1)
            return SlowStream(
                address: call?.remoteAddress ?? "", agent: call?.metadata(.userAgent) ?? "", watchers: backlog.watchers,
                watchersBehind: backlog.watchersBehind, revisions: missing,
                seconds: missing == 0 ? 0 : Double(now - revisions.time(of: backlog.next, now: now)) / 1e9,
                queuedBytes: backlog.queuedBytes)
        }
        levels.revisions = levels.slowest.map(\.revisions).max() ?? 0
        levels.seconds = levels.slowest.map(\.seconds).max() ?? 0
        lag.publish(levels)
    }

    private var told = WatchStatistics()

    /// Moves the gauges by what has changed here since; other loops move them too.
    func publishLevels() {
        let levels = hub.statistics
        guard levels != told else { return }
        let metrics = node.metrics.watch
        metrics.events.add(levels.eventsSent - told.eventsSent)
        metrics.streams.add(levels.streams - told.streams)
        metrics.watchers.add(levels.watchers - told.watchers)
        metrics.slowWatchers.add(levels.slowWatchers - told.slowWatchers)
        metrics.pendingEvents.add(levels.pendingRevisions - told.pendingRevisions)
        told = levels
    }
}

/// A stream that was opened with `hasleader`.
protocol LeaderBoundCall: AnyObject {
    func fail(_ error: CallError)
}

/// One Watch call as the hub sees it.
final class WatchCall: WatchOutput, LeaderBoundCall {
    fileprivate let call: Call
    private let loop: WatchLoop
    fileprivate(set) var stream: WatchStream?

    init(_ call: Call, _ loop: WatchLoop) {
        self.call = call
        self.loop = loop
    }

    var queuedBytes: Int { call.queuedBytes }
    func send(_ write: (ByteSink) -> Void) { call.send(write) }
    func send(head: UnsafeRawBufferPointer, shared: SharedBytes) { call.send(head: head, shared: shared) }

    func fail(_ error: CallError) {
        call.fail(error)
        loop.close(self)
    }
}

/// Watch/Watch
final class WatchMethod: MethodHandler {
    private let node: Node
    init(_ node: Node) { self.node = node }

    func opened(_ call: Call) {
        guard node.admit(call, isStream: true) else { return }
        let watches = node.loops[call.loop.index].watches!
        let output = WatchCall(call, watches)
        call.userData = output
        watches.open(output, needsLeader: call.metadata(.hasLeader, is: "true"))
    }

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        guard let output = call.userData as? WatchCall, let stream = output.stream else { return }
        let watches = node.loops[call.loop.index].watches!
        do {
            let began = monotonicNow()
            let responses = watches.hub.responsesSent
            defer {
                let sent = watches.hub.responsesSent &- responses
                if sent > 0 { node.metrics.watch.controlDuration.observe(nanoseconds: monotonicNow() &- began, over: sent) }
            }
            switch try WatchRequest(decoding: bytes) {
            case .create(let request):
                if let reason = node.watchRefusal(call, request) {
                    watches.hub.refuse(stream, reason: reason)
                } else {
                    watches.hub.create(stream, request)
                    node.requests.did("watch", on: call, since: began) { SpanAttribute.list(of: request) }
                }
            case .cancel(let id): watches.hub.cancel(stream, id: id)
            case .progress: watches.hub.progress(stream)
            case .none: break
            }
            watches.publishLevels()
            watches.pump()
        } catch {
            output.fail(error.callError)
        }
    }

    func writable(_ call: Call) {
        guard let output = call.userData as? WatchCall, let stream = output.stream else { return }
        let watches = node.loops[call.loop.index].watches!
        watches.hub.writable(stream)
        watches.pump()
    }

    func cancelled(_ call: Call, _ reason: CancelReason) {
        guard let output = call.userData as? WatchCall else { return }
        node.loops[call.loop.index].watches!.close(output)
    }
}
