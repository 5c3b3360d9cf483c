// Sends spans to an OpenTelemetry collector over gRPC: in batches, one at a time, through a bounded queue. A collector that is away,
// slow or refusing costs spans, which are counted, and nothing else.

import DatastoreMetrics
import Dispatch
import NIOCore
import NIOPosix
import Synchronization
import Transport
import Wire

#if canImport(Glibc)
import Glibc
#endif

/// What an exporter has to say of its collector.
public enum TraceExportNews: Sendable {
    /// Said once, until it works again.
    case failing(reason: String)
    case working
    /// Items that were still waiting at the end.
    case lost(Int)
}

/// Items are what spans are made of: encoded just before they are sent.
public final class TraceExporter<Item: Sendable>: ClientObserver, @unchecked Sendable {
    // Unchecked: `queue` is a mutex; all other variables are used on `loop` only.
    private let queue = Mutex<[Item]>([])
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let loop: any EventLoop
    private let address: ListenAddress
    private let tell: @Sendable (TraceExportNews) -> Void
    private let encode: @Sendable ([Item], ByteSink) -> Int
    private let method: ClientMethod

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

    /// Connects when there is something to send.
    ///
    /// - Parameters:
    ///   - address: `host:port`, with or without a scheme.
    ///   - tell: called on the exporter's own thread, and by `close`.
    ///   - encode: writes the fields of an `ExportTraceServiceRequest` and returns how many spans it has; on the exporter's own thread.
    public init(
        address: String, userAgent: String, tell: @escaping @Sendable (TraceExportNews) -> Void,
        encode: @escaping @Sendable (_ items: [Item], _ sink: ByteSink) -> Int
    ) {
        loop = group.next()
        self.tell = tell
        self.encode = encode
        self.address = Self.address(address)
        method = ClientMethod(
            path: "/opentelemetry.proto.collector.trace.v1.TraceService/Export", authority: address, userAgent: userAgent)
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

    /// Shows in a registry what is exported, given up and waiting.
    public func wire(_ registry: Registry) {
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

    /// Leaves an item here to be sent within a second or so; dropped and counted when too many wait.
    public func add(_ item: Item) {
        let count = queue.withLock { queue in
            guard queue.count < TraceExportLimits.queuedMax else { return -1 }
            queue.append(item)
            return queue.count
        }
        if count < 0 { dropped.wrappingAdd(1, ordering: .relaxed) }
        if count >= TraceExportLimits.perExportMax {
            guard !isDue.exchange(true, ordering: .relaxed) else { return }
            loop.execute { self.export() }
        } else if count == 1 {
            loop.scheduleTask(in: .milliseconds(TraceExportLimits.delayMilliseconds)) { self.export() }
        }
    }

    /// Sends now what waits.
    public func flush() { loop.execute { self.export() } }

    /// Sends what is left, unless that takes too long. Called once, last.
    public func close() {
        loop.execute {
            self.isClosing = true
            self.export()
        }
        _ = isClosed.wait(timeout: .now() + .milliseconds(TraceExportLimits.closeMilliseconds))
        let left = queue.withLock { $0.count }
        if left > 0 { tell(.lost(left)) }
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
            let call = connection.call(method, timeoutNanoseconds: TraceExportLimits.exportNanoseconds) { $0.append(bytes) }
            if call == nil {
                isCalling = false
                self.connection = nil
            }
        }
        if !isCalling { failed("the connection takes no call") }
    }

    private func fillBatch() {
        let items = queue.withLock { queue in
            let count = min(queue.count, TraceExportLimits.perExportMax)
            let items = Array(queue.prefix(count))
            queue.removeFirst(count)
            return items
        }
        guard !items.isEmpty else { return }
        let sink = ByteSink(capacity: 64 << 10)
        let spans = encode(items, sink)
        batch = (sink.array(), items.count, spans, Self.now)
    }

    private static var now: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
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
            tell(.failing(reason: reason))
        }
        if let batch, isFinal || Self.now &- batch.since > TraceExportLimits.retryNanoseconds {
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

    public func received(_ call: ClientCall, tag: UInt64, _ message: UnsafeRawBufferPointer) {}

    public func finished(_ call: ClientCall, tag: UInt64, status: StatusCode, message: String) {
        isCalling = false
        guard status != .ok else {
            if let batch { exported.wrappingAdd(UInt64(batch.spans), ordering: .relaxed) }
            batch = nil
            retryNanoseconds = 0
            if hasSaidFailure { tell(.working) }
            hasSaidFailure = false
            let waiting = queue.withLock { $0.count }
            if waiting >= TraceExportLimits.perExportMax || isClosing {
                loop.execute { self.export() }
            } else if waiting > 0 {
                loop.scheduleTask(in: .milliseconds(TraceExportLimits.delayMilliseconds)) { self.export() }
            }
            return
        }
        switch status {
        case .cancelled, .deadlineExceeded, .resourceExhausted, .aborted, .outOfRange, .unavailable, .dataLoss:
            failed("\(status.name): \(message)")
        default: failed("\(status.name): \(message)", isFinal: true)
        }
    }

    public func closed() { connection = nil }
}
