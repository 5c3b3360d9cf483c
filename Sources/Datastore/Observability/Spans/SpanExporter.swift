// Sends spans to an OpenTelemetry collector over gRPC: in batches, one at a time, through a bounded queue. A collector that is away,
// slow or refusing costs spans, which are counted, and nothing else.

import DatastoreMetrics
import DatastoreTracing
import Dispatch
import NIOCore
import NIOPosix
import Synchronization
import Transport
import Wire

final class SpanExporter: ClientObserver, @unchecked Sendable {
    // Unchecked: `queue` is a mutex; all other variables are used on `loop` only.
    private let queue = Mutex<[RequestRecord]>([])
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let loop: any EventLoop
    private let log: Log
    private let address: ListenAddress
    private let method: ClientMethod
    private let encoder: SpanEncoder

    private let exported = Atomic<UInt64>(0)
    private let dropped = Atomic<UInt64>(0)
    private let failures = Atomic<UInt64>(0)
    private let isDue = Atomic<Bool>(false)

    private var connection: ClientConnection?
    private var isConnecting = false
    /// The batch on its way: encoded once, sent until it is taken or given up.
    private var batch: (bytes: [UInt8], requests: Int, spans: Int, since: UInt64)?
    private var isCalling = false
    private var retryNanoseconds = Int64(0)
    private var hasSaidFailure = false
    private var isClosing = false
    private let isClosed = DispatchSemaphore(value: 0)

    init(_ settings: TraceExport, log: Log) {
        loop = group.next()
        self.log = log
        address = Self.address(settings.address)
        method = ClientMethod(
            path: "/opentelemetry.proto.collector.trace.v1.TraceService/Export", authority: settings.address, userAgent: "OTel-OTLP-Exporter-martlet/" + Version.server)
        let generator = Mutex(SystemRandomNumberGenerator())
        encoder = SpanEncoder(
            serviceName: settings.serviceName, instanceID: settings.instanceID, random: { generator.withLock { $0.next() } })
        log.info("distributed tracing setup enabled")
        log.debug(
            "distributed tracing enabled",
            [
                .string("address", settings.address), .string("service-name", settings.serviceName),
                .string("service-instance-id", settings.instanceID), .int("sampling-rate", settings.samplesPerMillion),
            ])
    }

    /// `host:port`, with or without a scheme in front.
    private static func address(_ text: String) -> ListenAddress {
        var rest = text[...]
        for scheme in ["http://", "https://", "dns:///", "passthrough:///"] where rest.hasPrefix(scheme) { rest = rest.dropFirst(scheme.count) }
        if rest.hasPrefix("unix:") { return .unix(path: String(rest.dropFirst(5))) }
        guard let colon = rest.lastIndex(of: ":"), let port = Int(rest[rest.index(after: colon)...]), (0...65_535).contains(port) else {
            return .host(String(rest), port: 4317)
        }
        let host = rest[..<colon].filter { $0 != "[" && $0 != "]" }
        return .host(host, port: port)
    }

    func wire(_ registry: Registry) {
        registry.callback("martlet_trace_spans_exported_total", help: "Spans that the collector has taken.", kind: .counter) { [self] in
            Double(exported.load(ordering: .relaxed))
        }
        registry.callback(
            "martlet_trace_requests_dropped_total", help: "Sampled requests whose spans were given up.", kind: .counter
        ) { [self] in Double(dropped.load(ordering: .relaxed)) }
        registry.callback("martlet_trace_export_failures_total", help: "Exports of spans that failed.", kind: .counter) { [self] in
            Double(failures.load(ordering: .relaxed))
        }
        registry.callback("martlet_trace_queue_requests", help: "Sampled requests whose spans wait to be exported.", kind: .gauge) {
            [self] in Double(queue.withLock { $0.count })
        }
    }

    // MARK: Any thread

    func add(_ record: RequestRecord) {
        let count = queue.withLock { queue in
            guard queue.count < ServerLimits.tracedRequestsQueuedMax else { return -1 }
            queue.append(record)
            return queue.count
        }
        if count < 0 { dropped.wrappingAdd(1, ordering: .relaxed) }
        if count >= ServerLimits.tracedRequestsPerExport {
            guard !isDue.exchange(true, ordering: .relaxed) else { return }
            loop.execute { self.export() }
        } else if count == 1 {
            loop.scheduleTask(in: .milliseconds(ServerLimits.traceDelayMilliseconds)) { self.export() }
        }
    }

    /// Sends what is left, unless that takes too long.
    func close() {
        loop.execute {
            self.isClosing = true
            self.export()
        }
        _ = isClosed.wait(timeout: .now() + .milliseconds(ServerLimits.traceCloseMilliseconds))
        let left = queue.withLock { $0.count }
        if left > 0 { log.warn("traces were not exported before the end", .int("requests", left)) }
        loop.execute {
            self.connection?.close()
            self.group.shutdownGracefully(queue: .global()) { _ in }
        }
    }

    // MARK: On the loop

    private func export() {
        isDue.store(false, ordering: .relaxed)
        guard !isCalling else { return }
        if batch == nil { fillBatch() }
        guard batch != nil else {
            if isClosing { isClosed.signal() }
            return
        }
        guard let connection, connection.isOpen, !connection.isGoingAway else { return connect() }
        isCalling = true
        let bytes = batch!.bytes
        connection.batch {
            let call = connection.call(method, timeoutNanoseconds: ServerLimits.traceExportNanoseconds) { $0.append(bytes) }
            if call == nil {
                isCalling = false
                self.connection = nil
            }
        }
        if !isCalling { failed("the connection takes no call") }
    }

    private func fillBatch() {
        let records = queue.withLock { queue in
            let count = min(queue.count, ServerLimits.tracedRequestsPerExport)
            let records = Array(queue.prefix(count))
            queue.removeFirst(count)
            return records
        }
        guard !records.isEmpty else { return }
        let sink = ByteSink(capacity: 64 << 10)
        let spans = encoder.encode(records, to: sink)
        batch = (sink.array(), records.count, spans, monotonicNow())
    }

    private func connect() {
        guard !isConnecting else { return }
        isConnecting = true
        Task {
            do {
                let connection = try await ClientConnection.connect(to: self.address, on: self.loop, observer: self)
                self.loop.execute {
                    self.isConnecting = false
                    self.connection = connection
                    self.export()
                }
            } catch {
                self.loop.execute {
                    self.isConnecting = false
                    self.failed("\(error)")
                }
            }
        }
    }

    /// The batch stays for another try, at growing intervals and not for ever.
    private func failed(_ reason: String, isFinal: Bool = false) {
        failures.wrappingAdd(1, ordering: .relaxed)
        if !hasSaidFailure {
            hasSaidFailure = true
            log.warn("failed to export traces; tried again until they are too old", .string("address", address.description), .error(reason))
        }
        if let batch, isFinal || monotonicNow() &- batch.since > ServerLimits.traceRetryNanoseconds {
            dropped.wrappingAdd(UInt64(batch.requests), ordering: .relaxed)
            self.batch = nil
        }
        guard !isClosing else {
            isClosed.signal()
            return
        }
        retryNanoseconds = min(max(500_000_000, 2 * retryNanoseconds), 10_000_000_000)
        loop.scheduleTask(in: .nanoseconds(retryNanoseconds)) { self.export() }
    }

    // MARK: ClientObserver

    func received(_ call: ClientCall, tag: UInt64, _ message: UnsafeRawBufferPointer) {}

    func finished(_ call: ClientCall, tag: UInt64, status: StatusCode, message: String) {
        isCalling = false
        guard status != .ok else {
            if let batch { exported.wrappingAdd(UInt64(batch.spans), ordering: .relaxed) }
            batch = nil
            retryNanoseconds = 0
            if hasSaidFailure { log.info("traces are exported again", .string("address", address.description)) }
            hasSaidFailure = false
            let waiting = queue.withLock { $0.count }
            if waiting >= ServerLimits.tracedRequestsPerExport || isClosing {
                loop.execute { self.export() }
            } else if waiting > 0 {
                loop.scheduleTask(in: .milliseconds(ServerLimits.traceDelayMilliseconds)) { self.export() }
            }
            return
        }
        switch status {
        case .cancelled, .deadlineExceeded, .resourceExhausted, .aborted, .outOfRange, .unavailable, .dataLoss:
            failed("\(status.name): \(message)")
        default: failed("\(status.name): \(message)", isFinal: true)
        }
    }

    func closed() { connection = nil }
}
