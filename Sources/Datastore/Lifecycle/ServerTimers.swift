// What happens by the clock outside consensus: progress notifications and catch-up of watches, automatic
// compaction, renewal of certificates.

import Dispatch
import KeySpace
import Wire

/// One timer of the server, off the event loops.
final class ServerTimers: @unchecked Sendable {
    // Unchecked: the compactor is touched on `queue` only, `isStarted` by the server's lifecycle only.
    private let node: Node
    private let queue = DispatchQueue(label: "timers")
    private let timer: any DispatchSourceTimer
    private var compactor: AutoCompactor?
    private var nextCheckpoint: UInt64
    private var isStarted = false
    /// Of a tenth of a second each; on `queue` only.
    private var ticks: UInt = 0
    /// Every four seconds.
    private static let versionReviewTicks: UInt = 40
    /// Every hour.
    private static let certificateReviewTicks: UInt = 36_000
    private let certificates: [AutomaticCertificate]
    private let maintenance: StoreMaintenance

    init(_ node: Node, _ maintenance: StoreMaintenance, _ certificates: [AutomaticCertificate]) {
        self.certificates = certificates
        self.node = node
        self.maintenance = maintenance
        compactor = AutoCompactor(node.configuration.compaction.policy)
        nextCheckpoint = monotonicNow() + Self.checkpointNanoseconds
        timer = DispatchSource.makeTimerSource(queue: queue)
        timer.setEventHandler { [weak self] in self?.tick() }
    }

    func start() {
        timer.schedule(deadline: .now() + .milliseconds(100), repeating: .milliseconds(100), leeway: .milliseconds(10))
        timer.resume()
        isStarted = true
    }

    func stop() {
        // A source must not be dropped before it was resumed once.
        if !isStarted { timer.resume() }
        timer.cancel()
    }

    private func tick() {
        for (index, loop) in node.loops.enumerated() {
            let serverLoop = node.serverLoop(index)
            serverLoop.execute {
                loop.watches.tick(now: monotonicNow())
                serverLoop.cutStalledAnswers()
            }
        }
        compact()
        checkpointLeases()
        ticks &+= 1
        if ticks % 10 == 0 {
            node.tokens.sweep()
            node.space.tick(node, maintenance, now: monotonicNow())
        }
        if ticks % Self.versionReviewTicks == 0 { node.reviewVersions() }
        if ticks % Self.certificateReviewTicks == 0 {
            for certificate in certificates { certificate.renewIfDue(log: node.log) }
        }
    }

    private static let checkpointNanoseconds = UInt64(ServerLimits.leaseCheckpointSeconds) * 1_000_000_000

    /// With the gate LeaseCheckpoint: what is left of long leases, so that they do not begin anew with the next leader.
    private func checkpointLeases() {
        let now = monotonicNow()
        guard now >= nextCheckpoint else { return }
        nextCheckpoint = now + Self.checkpointNanoseconds
        guard node.configuration.features.isOn(.leaseCheckpoint) else { return }
        for batch in node.keySpace.leases.checkpoints(now: now, interval: ServerLimits.leaseCheckpointSeconds) {
            let sink = ByteSink(capacity: 24 * batch.count)
            LeaseCheckpointRequest(checkpoints: batch.map { LeaseCheckpoint(id: $0.id, remainingTTL: $0.remaining) }).encode(to: sink)
            node.propose(.leaseCheckpoint, sink.bytes) { [log = node.log] error in
                if let error { log.warn("failed to checkpoint leases", .error(error.message)) }
            }
        }
    }

    private func compact() {
        guard compactor != nil else { return }
        guard node.consensus.leader == node.memberID else {
            compactor!.pause()
            return
        }
        let began = monotonicNow()
        guard let target = compactor!.tick(now: began, revision: node.store.currentRevision) else { return }
        let node = node
        node.log.info(
            "starting auto compaction", .int("revision", target),
            .string("mode", node.configuration.compaction.mode.rawValue))
        let sink = ByteSink(capacity: 16)
        sink.field(1, target)
        node.propose(.compaction, sink.bytes) { [self] error in
            node.audit?.write(AuditEntry(compaction: target), .autoCompaction, error: error)
            if let error, error != .compacted {
                node.log.warn("failed auto compaction", .int("revision", target), .error(error.message))
                queue.async { self.compactor?.failed() }
            } else {
                node.log.info(
                    "completed auto compaction", .int("revision", target), .duration("took", monotonicNow() - began))
            }
        }
    }
}
