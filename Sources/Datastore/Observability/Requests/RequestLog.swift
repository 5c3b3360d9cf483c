// Where requests go that were slow, sampled or asked for: a bounded queue and a thread that writes their lines, keeps the last and
// slowest and hands spans to the exporter. Event loops only leave records here; a queue that is full drops them and counts.

import CShims
import DatastoreMetrics
import DatastoreTracing
import Glibc
import SpanExport
import Synchronization
import Transport
import Wire

/// One for the whole server.
final class RequestLog: @unchecked Sendable {
    // Unchecked: `thread` is set by start and read by close, both of the server's lifecycle.
    private struct Queue {
        var records: [RequestRecord] = []
        var isClosing = false
    }

    private let log: Log
    private let signal = WorkSignal(Queue())
    private var thread: pthread_t?
    private let waiting = Atomic<Int>(0)
    private let dropped = Atomic<UInt64>(0)
    private let linesDropped = Atomic<UInt64>(0)
    /// Every call is looked at: requests are traced, or the level is debug.
    private let looksAtAll = Atomic<Bool>(false)

    let journal = RequestJournal()
    let exporter: SpanExporter?
    let sampler: TraceSampler?
    /// Shortest of the thresholds: what took no longer needs no second look.
    let shortestNanoseconds: UInt64
    let slowApplyNanoseconds: UInt64
    /// False: calls leave no record of their steps.
    let isObserving: Bool
    private let slowCallNanoseconds: UInt64
    private let linesPerSecond: Int
    /// Of these a second, and thread, there are words and records; of others there is a count.
    let lookedAtPerSecond: Int
    private let loops: [ServerLoop]

    init(_ configuration: Configuration, log: Log, loops: [ServerLoop], exporter: SpanExporter?) {
        self.log = log
        self.loops = loops
        self.exporter = exporter
        sampler = configuration.tracing.isEnabled ? TraceSampler(perMillion: configuration.tracing.samplesPerMillion) : nil
        isObserving = configuration.monitoring.observesRequests
        slowApplyNanoseconds = UInt64(max(0, configuration.warningApplyDuration.count))
        slowCallNanoseconds = UInt64(max(0, configuration.warningUnaryRequestDuration.count))
        shortestNanoseconds = min(slowApplyNanoseconds, slowCallNanoseconds, TraceLine.thresholdNanoseconds)
        linesPerSecond = Int(clamping: configuration.slowRequestLinesPerSecond)
        lookedAtPerSecond = linesPerSecond > 0 ? linesPerSecond : ServerLimits.slowRequestsLookedAtPerSecond
        levelChanged()
    }

    /// To be called when the level of the log has changed.
    func levelChanged() {
        looksAtAll.store(exporter != nil || log.isEnabled(.debug), ordering: .relaxed)
        let longest = min(slowCallNanoseconds, TraceLine.thresholdNanoseconds)
        for loop in loops { loop.longCallNanoseconds.store(longest, ordering: .relaxed) }
    }

    func wire(_ registry: Registry) {
        registry.callback(
            "martlet_slow_requests_queued", help: "Requests whose lines and spans are not written yet.", kind: .gauge
        ) { [self] in Double(waiting.load(ordering: .relaxed)) }
        registry.callback(
            "martlet_slow_requests_dropped_total",
            help: "Slow requests that were not recorded because there were too many.", kind: .counter
        ) { [self] in Double(dropped.load(ordering: .relaxed)) }
        registry.callback(
            "martlet_slow_request_lines_dropped_total",
            help: "Lines about slow requests that were not written because there were too many.", kind: .counter
        ) { [self] in Double(linesDropped.load(ordering: .relaxed)) }
    }

    // MARK: On event loops

    /// Whether a call that begins now will be looked at more closely: `takeNotes` is to be called then.
    ///
    /// - Parameter nextShown: of the context of its loop.
    @inline(__always)
    func isWanted(at now: UInt64, _ nextShown: UnsafeMutablePointer<UInt64>) -> Bool {
        looksAtAll.load(ordering: .relaxed) || now >= nextShown.pointee
    }

    @inline(never)
    func takeNotes(_ call: Call, _ context: LoopContext) {
        var notes: RequestNotes?
        func make() -> RequestNotes {
            if let notes { return notes }
            notes = RequestNotes()
            return notes!
        }
        if exporter != nil, let trace = sampled(call, context) { make().trace = trace }
        if log.isEnabled(.debug) { make().isVerbose = true }
        if call.loop.now >= context.nextShownRequest.pointee {
            context.nextShownRequest.pointee = call.loop.now + ServerLimits.shownRequestIntervalNanoseconds
            make().isShown = true
        }
        if let notes { call.withRecord { $0.notes = notes } }
    }

    /// A line about an apply that took too long is not even begun: there are too many.
    func gaveUpLine() { linesDropped.wrappingAdd(1, ordering: .relaxed) }

    /// A stream of many requests has begun. It is traced if its caller is, or by its own lot; what is asked on it then has spans, and
    /// so has it when it ends.
    func streamBegan(_ call: Call, _ context: LoopContext) {
        guard exporter != nil, let trace = sampled(call, context) else { return }
        RequestNotes.make(call)?.trace = trace
    }

    /// Something that was asked for on a stream has been done since `began`.
    @inline(__always)
    func did(_ name: String, on call: Call, since began: UInt64, _ attributes: () -> [SpanAttribute]) {
        if let exporter { trace(name, call, began, attributes, exporter) }
    }

    @inline(never)
    private func trace(_ name: String, _ call: Call, _ began: UInt64, _ attributes: () -> [SpanAttribute], _ exporter: SpanExporter) {
        guard let trace = RequestNotes.of(call)?.trace else { return }
        let end = UInt64(clamping: WallClock.nanoseconds())
        exporter.add(
            .operation(
                TracedOperation(trace: trace, name: name, attributes: attributes(), start: end &- (monotonicNow() &- began), end: end)))
    }

    private func sampled(_ call: Call, _ context: LoopContext) -> TraceContext? {
        guard let sampler else { return nil }
        let parent = call.withMetadata(.traceparent) { $0.flatMap { TraceParent($0) } }
        guard var trace = sampler.sample(parent: parent, random: context.random) else { return nil }
        if parent != nil { trace.state = call.metadata(.registered(ServerLimits.traceStateMetadata)) ?? "" }
        return trace
    }

    /// A call has ended that was long or has notes.
    func ended(_ call: Call, _ ending: CallEnding, _ form: CallForm, _ method: MethodName, _ node: Node) {
        let notes = ending.record.notes.map { unsafeDowncast($0, to: RequestNotes.self) }
        let isLong = form != .stream && ending.nanoseconds > min(slowCallNanoseconds, TraceLine.thresholdNanoseconds)
        guard isLong || notes?.isWorthRecording == true else { return }
        guard waiting.load(ordering: .relaxed) < ServerLimits.slowRequestsQueuedMax,
            notes?.isAskedFor == true || node.loops[call.loop.index].slowRequests.admits(at: ending.endedAt)
        else {
            dropped.wrappingAdd(1, ordering: .relaxed)
            return
        }
        let record = RequestRecord(
            form: form, method: method,
            start: Int64(WallClock.nanoseconds()) - Int64(monotonicNow() &- ending.record.span.start), nanoseconds: ending.nanoseconds,
            span: ending.record.span, code: ending.code, message: ending.message, remote: call.remoteAddress,
            user: node.userName(call), commonName: call.peerCommonName ?? "", userAgent: call.metadata(.userAgent) ?? "",
            key: ending.record.key.bytes, revision: ending.record.revision, requestBytes: ending.record.requestBytes,
            answerBytes: ending.record.answerBytes, description: notes?.description, answer: notes?.answer, apply: notes?.apply,
            trace: notes?.trace, isShown: notes?.isShown ?? false, isVerbose: notes?.isVerbose ?? false)
        waiting.wrappingAdd(1, ordering: .relaxed)
        signal.signal { queue in
            queue.records.append(record)
            return queue.records.count == 1
        }
    }

    // MARK: The thread

    func start() {
        let context = Unmanaged.passRetained(self).toOpaque()
        var thread = pthread_t()
        let status = pthread_create(&thread, nil, { context in
            martlet_name_thread("request-log")
            Unmanaged<RequestLog>.fromOpaque(context!).takeRetainedValue().run()
            return nil
        }, context)
        precondition(status == 0, "the request log's thread could not be started: errno \(status)")
        self.thread = thread
    }

    /// Writes what waits and ends the thread.
    func close() {
        signal.signal { queue in
            queue.isClosing = true
            return true
        }
        if let thread { pthread_join(thread, nil) }
        thread = nil
        exporter?.close()
    }

    private func run() {
        var told = (requests: UInt64(0), lines: UInt64(0))
        var random = SystemRandomNumberGenerator()
        var window = (began: UInt64(0), lines: 0)
        var isOpen = true
        while isOpen {
            let records = signal.wait(until: monotonicNow() + 1_000_000_000, isReady: { !$0.records.isEmpty || $0.isClosing }) { queue in
                let records = queue.records
                queue.records = []
                if queue.isClosing { isOpen = false }
                return records
            }
            for record in records {
                write(record, &window, &random)
                if record.form != .stream { journal.add(record) }
                if record.trace != nil { exporter?.add(.request(record)) }
                waiting.wrappingSubtract(1, ordering: .relaxed)
            }
            let lost = (requests: dropped.load(ordering: .relaxed), lines: linesDropped.load(ordering: .relaxed))
            if lost != told {
                log.warn(
                    "slow requests were not logged", .uint64("requests", lost.requests - told.requests),
                    .uint64("lines", lost.lines - told.lines))
                told = lost
            }
        }
    }

    private func write(_ record: RequestRecord, _ window: inout (began: UInt64, lines: Int), _ random: inout SystemRandomNumberGenerator) {
        guard record.form != .stream else { return }
        let fields = record.fields
        if let apply = record.apply {
            let remote: [LogField] = record.remote.map { [.string("remote", $0)] } ?? []
            line(.warn, SlowApply.message, apply.fields + remote + fields, &window)
        }
        if let trace = TraceLine.fields(record, id: { Int64(Int32.random(in: 0 ... .max, using: &random)) }) {
            line(.info, TraceLine.message, trace + fields, &window)
        }
        let isDebug = log.isEnabled(.debug)
        guard isDebug ? record.isVerbose || record.nanoseconds > slowCallNanoseconds : record.nanoseconds > slowCallNanoseconds
        else { return }
        let content = record.description?.content(record.answer, answerBytes: record.answerBytes) ?? .unknown
        let statistics = RequestStatistics(
            startUnixNanoseconds: record.start, nanoseconds: record.nanoseconds, remote: record.remote, method: record.method.path,
            content: content)
        // Of streams etcd says nothing; they last as long as their clients read, which is no reason to warn.
        let isStream = record.form == .answerStream
        line(
            isDebug ? .debug : isStream ? .info : .warn, isStream ? RequestStatistics.streamMessage : RequestStatistics.message,
            statistics.fields + fields, &window)
    }

    /// Without a rate, lines are sampled as all others are.
    private func line(_ level: LogLevel, _ message: String, _ fields: [LogField], _ window: inout (began: UInt64, lines: Int)) {
        guard linesPerSecond > 0 else { return log.log(level, message, fields) }
        let now = monotonicNow()
        if now &- window.began >= 1_000_000_000 { window = (now, 0) }
        guard window.lines < linesPerSecond else {
            linesDropped.wrappingAdd(1, ordering: .relaxed)
            return
        }
        window.lines += 1
        log.logUnsampled(level, message, fields)
    }
}

extension RequestNotes {
    /// Whether there is more to tell than what the audit log tells.
    fileprivate var isWorthRecording: Bool { isAskedFor || apply != nil }
    /// Whether it is told however many others are.
    fileprivate var isAskedFor: Bool { isShown || isVerbose || isKept || trace != nil }
}

extension Node {
    /// Who a call comes from; empty while authentication is off, and for nobody.
    func userName(_ call: Call) -> String {
        guard keySpace.auth.isEnabled else { return "" }
        return (try? credentials(call))?.username ?? ""
    }
}
