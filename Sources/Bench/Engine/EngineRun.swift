// One run of a workload: who begins a call when, and how it all ends.

import CShims
import NIOCore
import Transport
import Wire

/// Confined to the engine's loop.
final class EngineRun: @unchecked Sendable {
    private struct Client {
        var intended: UInt64 = 0
        var started: UInt64 = 0
        var step = Step(operation: 0, method: 0)
        var isBusy = false
    }

    @exclusivity(unchecked) let workload: Workload
    let promise: EventLoopPromise<RunOutcome>
    private unowned let engine: Engine
    private let settings: RunSettings
    private let progress: Progress?
    @exclusivity(unchecked) private var clients: [Client]
    /// Those without a call, the last used first.
    @exclusivity(unchecked) private var idle: [Int] = []
    @exclusivity(unchecked) private var pacer: Pacer
    @exclusivity(unchecked) private var recorders: [OperationRecorder] = []
    @exclusivity(unchecked) private var begun = 0
    @exclusivity(unchecked) private var ended = 0
    @exclusivity(unchecked) private var isOver = false
    /// Clients whose calls wait for a connection.
    private var parked: [Int] = []
    /// What the tags of this run's calls have besides the client: answers to those of an earlier one are not taken for its own.
    @exclusivity(unchecked) let tag: UInt64
    private let start: UInt64
    private let processorStart: Double
    private var endsAt: UInt64?
    private var stopsAt: UInt64?
    private var lastEnd: UInt64
    /// Since when no connection is open.
    private var outageSince: UInt64?
    private var wasInterrupted = false
    private var failure: String?
    private var pacerTimer: Scheduled<Void>?
    private var timerDue: UInt64 = .max
    private var ticks: RepeatedTask?
    private var isBeginning = false

    init(_ engine: Engine, _ workload: Workload, _ settings: RunSettings, _ promise: EventLoopPromise<RunOutcome>, _ progress: Progress?) {
        self.engine = engine
        self.workload = workload
        self.settings = settings
        self.promise = promise
        self.progress = progress
        engine.runs += 1
        tag = UInt64(engine.runs & 0x3fff_ffff) << 33
        clients = Array(repeating: Client(), count: settings.clients)
        start = martlet_monotonic_ns()
        lastEnd = start
        processorStart = Processor.seconds()
        pacer = Pacer(start: start, rate: settings.rate, arrivals: settings.arrivals, seed: settings.seed)
        if settings.duration > .zero { endsAt = start + UInt64(settings.duration / .nanoseconds(1)) }
        let wall = Processor.wallNanoseconds()
        recorders = workload.operations.map { OperationRecorder($0, start: start, wallStart: wall, isPaced: settings.rate > 0) }
    }

    // MARK: Beginning

    func begin() {
        workload.prepare(clients: clients.count)
        for link in engine.links {
            link.runMethods = workload.methods.map(link.method)
        }
        idle = Array((0..<clients.count).reversed())
        ticks = engine.loop.scheduleRepeatedTask(initialDelay: .zero, delay: .milliseconds(BenchLimits.tickMilliseconds)) { _ in self.tick() }
        beginDue()
    }

    /// Begins what is due with the clients that are idle, for all connections in one go.
    private func beginDue() {
        guard !isBeginning else { return }
        isBeginning = true
        batch(engine.links[...]) {
            while let client = self.idle.last, self.mayBegin {
                let now = martlet_monotonic_ns()
                guard let intended = self.pacer.take(now) else { return self.wakeUp(now) }
                self.idle.removeLast()
                self.begun += 1
                self.clients[client].intended = intended
                self.start(client, now)
            }
        }
        isBeginning = false
        endIfDone()
    }

    /// Nothing is sent before the end of `body`. Few connections are batched; with many, each sends by itself on the next turn.
    private func batch(_ links: ArraySlice<EngineLink>, _ body: () -> Void) {
        guard let link = links.first, links.count <= 64 else { return body() }
        guard let connection = link.connection else { return batch(links.dropFirst(), body) }
        connection.batch { batch(links.dropFirst(), body) }
    }

    private var mayBegin: Bool {
        if isOver { return false }
        if let total = settings.total, begun >= total { return false }
        // A paced call that was due before the end is made, however late.
        if let endsAt { return (pacer.due ?? martlet_monotonic_ns()) < endsAt }
        return true
    }

    /// Comes back when the next call is due.
    private func wakeUp(_ now: UInt64) {
        guard let due = pacer.due, timerDue > due else { return }
        pacerTimer?.cancel()
        timerDue = due
        pacerTimer = engine.loop.scheduleTask(in: .nanoseconds(Int64(due > now ? due - now : 0))) {
            self.timerDue = .max
            self.pacerTimer = nil
            self.beginDue()
        }
    }

    /// Makes the client's next call, of a new operation or of one that goes on.
    @inline(__always)
    private func start(_ client: Int, _ now: UInt64) {
        clients[client].started = now
        clients[client].isBusy = true
        clients[client].step = workload.choose(client)
        call(client)
    }

    @inline(__always)
    private func call(_ client: Int) {
        let count = engine.links.count
        var index = (client + settings.firstLink) % count
        let workload = workload
        // The client's own connection; while that is gone, the next one that is there.
        for _ in 0..<count {
            let link = engine.links[index]
            if let connection = link.connection, connection.isOpen,
                connection.call(
                    link.runMethods[clients[client].step.method], tag: tag | UInt64(client), { workload.write(client, to: $0) }) != nil
            {
                return
            }
            index = index + 1 == count ? 0 : index + 1
        }
        parked.append(client)
    }

    // MARK: Ending

    func finished(_ client: Int, _ status: StatusCode, _ message: String) {
        guard clients[client].isBusy else { return }
        let now = martlet_monotonic_ns()
        let operation = clients[client].step.operation
        if status == .ok {
            switch workload.ended(client) {
            case .done: recorders[operation].record(intended: clients[client].intended, started: clients[client].started, ended: now)
            case .conflict:
                recorders[operation].record(intended: clients[client].intended, started: clients[client].started, ended: now)
                recorders[operation].conflicts += 1
            case .goesOn:
                if !isOver {
                    let step = workload.choose(client)
                    // An operation counts as what it began as.
                    clients[client].step = Step(operation: step.operation, method: step.method)
                    return call(client)
                }
                // What is half done at the end is no result.
                begun -= 1
                ended -= 1
            case .failed(let text): recorders[operation].record(error: text, at: now)
            }
        } else {
            workload.failed(client)
            recorders[operation].record(error: Self.text(status, message), at: now)
        }
        clients[client].isBusy = false
        ended += 1
        lastEnd = now
        if isBeginning {
            idle.append(client)
        } else if mayBegin, let intended = pacer.take(now) {
            // The usual case: the client goes on at once.
            begun += 1
            clients[client].intended = intended
            start(client, now)
        } else {
            idle.append(client)
            if mayBegin { wakeUp(now) } else { endIfDone() }
        }
    }

    /// As clientv3's errors read: the API's by their text alone.
    private static func text(_ status: StatusCode, _ message: String) -> String {
        message.hasPrefix("etcdserver: ") ? message : "rpc error: code = \(status.name) desc = \(message)"
    }

    private func endIfDone() {
        guard !mayBegin, ended >= begun else { return }
        finish()
    }

    private func finish() {
        guard engine.run === self else { return }
        engine.run = nil
        ticks?.cancel()
        pacerTimer?.cancel()
        for index in recorders.indices { recorders[index].finish() }
        var outcome = RunOutcome()
        outcome.operations = recorders
        outcome.seconds = Double(max(lastEnd, start + 1) - start) / 1e9
        outcome.begun = begun
        outcome.ended = ended
        outcome.wasInterrupted = wasInterrupted
        outcome.failure = failure
        outcome.processorSeconds = Processor.seconds() - processorStart
        progress?.hide()
        promise.succeed(outcome)
    }

    /// No further calls; those in flight may end.
    func stop(_ reason: String? = nil) {
        guard !isOver else { return }
        isOver = true
        failure = reason
        stopsAt = martlet_monotonic_ns() + UInt64(BenchLimits.drainSeconds * 1e9)
        endIfDone()
    }

    // MARK: Ticks

    private func tick() {
        let now = martlet_monotonic_ns()
        if Interrupt.isAsked, !isOver {
            wasInterrupted = true
            stop()
        }
        if let outageSince, now > outageSince + UInt64(BenchLimits.outageSeconds * 1e9) {
            let seconds = NumberFormat.fixed(BenchLimits.outageSeconds, 0)
            giveUp("no connection for \(seconds) s: \(engine.links[0].lastFailure)", now)
        } else if let stopsAt, now > stopsAt {
            giveUp(nil, now)
        } else if let endsAt, now > endsAt {
            // What is late may still be done, for a while.
            if stopsAt == nil { stopsAt = endsAt + UInt64(BenchLimits.drainSeconds * 1e9) }
            endIfDone()
        }
        guard engine.run === self else { return }
        beginDue()
        if engine.run === self { show(now) }
    }

    /// Counts what is still in flight as errors and ends.
    private func giveUp(_ reason: String?, _ now: UInt64) {
        isOver = true
        if let reason, failure == nil { failure = reason }
        for index in clients.indices where clients[index].isBusy {
            clients[index].isBusy = false
            recorders[clients[index].step.operation].record(error: "unfinished when the run ended", at: now)
            ended += 1
        }
        if let endsAt, pacer.isPaced, !wasInterrupted { countMissed(endsAt, now) }
        lastEnd = now
        finish()
    }

    /// Calls that were due in time and never begun, as no client was free.
    private func countMissed(_ endsAt: UInt64, _ now: UInt64) {
        var missed: UInt64 = 0
        while let due = pacer.due, due < endsAt, settings.total.map({ begun + Int(missed) < $0 }) ?? true {
            _ = pacer.take(due)
            missed += 1
        }
        if missed > 0 { recorders[0].record(error: "not begun when the run ended", at: now, count: missed) }
    }

    private func show(_ now: UInt64) {
        guard let progress, progress.isShown else { return }
        var done = 0.0
        if let total = settings.total, total > 0 { done = Double(ended) / Double(total) }
        if let endsAt { done = max(done, Double(now - start) / Double(endsAt - start)) }
        let errors = recorders.reduce(0 as UInt64) { $0 + $1.errorCount }
        progress.show(part: done, count: ended, errors: errors, now: now) { recorders[0].latencies.percentile(99) }
    }

    // MARK: Connections

    func lost(_ link: EngineLink) {
        if engine.links.allSatisfy({ $0.connection == nil }), outageSince == nil { outageSince = martlet_monotonic_ns() }
    }

    func connected(_ link: EngineLink) {
        outageSince = nil
        let waiting = parked
        parked = []
        for client in waiting where clients[client].isBusy { call(client) }
    }
}
