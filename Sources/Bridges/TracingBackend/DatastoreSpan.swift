// One span: what is said of it until it ends, and its form on the wire.

import SpanExport
import Synchronization
import Tracing
import Wire

/// Bounds of what a span keeps; OpenTelemetry's numbers. What is above is counted and not kept.
enum SpanLimits {
    static let attributesMax = 128
    static let eventsMax = 128
    static let linksMax = 128
}

/// A span that is being recorded, or one that only hands its trace on.
public final class DatastoreSpan: Tracing.Span {
    public let context: ServiceContext
    private let exporter: TraceExporter<FinishedSpan>
    /// Nil once it has ended, and for one that is not sampled.
    private let recorded: Mutex<FinishedSpan?>
    private let name: Mutex<String>

    init(
        _ name: String, context: ServiceContext, trace: TraceContext?, kind: SpanKind, start: UInt64, exporter: TraceExporter<FinishedSpan>
    ) {
        self.context = context
        self.exporter = exporter
        self.name = Mutex(name)
        recorded = Mutex(trace.map { FinishedSpan(trace: $0, kind: kind, start: start) })
    }

    public var operationName: String {
        get { name.withLock { $0 } }
        set { name.withLock { $0 = newValue } }
    }

    public var isRecording: Bool { recorded.withLock { $0 != nil } }

    public var attributes: SpanAttributes {
        get { recorded.withLock { $0?.attributes ?? [:] } }
        set { recorded.withLock { $0?.attributes = newValue } }
    }

    public func setStatus(_ status: SpanStatus) { recorded.withLock { $0?.status = status } }

    public func addEvent(_ event: SpanEvent) { recorded.withLock { $0?.add(event) } }

    public func addLink(_ link: SpanLink) { recorded.withLock { $0?.add(link) } }

    /// An event `exception`, as OpenTelemetry has it. It does not change the status.
    public func recordError<Instant: TracerInstant>(
        _ error: any Error, attributes: SpanAttributes, at instant: @autoclosure () -> Instant
    ) {
        guard isRecording else { return }
        var all = attributes
        all["exception.type"] = "\(type(of: error))"
        all["exception.message"] = "\(error)"
        addEvent(SpanEvent(name: "exception", at: instant(), attributes: all))
    }

    /// Hands the span to the exporter. Only the first end counts.
    public func end<Instant: TracerInstant>(at instant: @autoclosure () -> Instant) {
        let ended = recorded.withLock { recorded in
            let ended = recorded
            recorded = nil
            return ended
        }
        guard var ended else { return }
        ended.name = operationName
        ended.end = max(ended.start, instant().nanosecondsSinceEpoch)
        exporter.add(ended)
    }
}

/// A span that waits for its export.
public struct FinishedSpan: Sendable {
    let trace: TraceContext
    let kind: SpanKind
    let start: UInt64
    var end: UInt64
    var name = ""
    var attributes: SpanAttributes = [:]
    var status: SpanStatus?
    private var events: [SpanEvent] = []
    private var links: [SpanLink] = []
    private var lost = (events: 0, links: 0)

    init(trace: TraceContext, kind: SpanKind, start: UInt64) {
        self.trace = trace
        self.kind = kind
        self.start = start
        end = start
    }

    mutating func add(_ event: SpanEvent) {
        if events.count < SpanLimits.eventsMax { events.append(event) } else { lost.events += 1 }
    }

    mutating func add(_ link: SpanLink) {
        guard link.context.traceIdentity != nil else { return }
        if links.count < SpanLimits.linksMax { links.append(link) } else { lost.links += 1 }
    }

    func encode(to span: ByteSink) {
        let kind: ExportedSpanKind =
            switch kind {
            case .server: .server
            case .client: .client
            case .producer: .producer
            case .consumer: .consumer
            case .internal: .internal
            }
        span.spanHead(trace, id: trace.span, parent: trace.parent, name: name, kind, start: start, end: end)
        span.field(10, UInt64(Self.encode(attributes, 9, to: span)))
        for event in events {
            span.message(11) { sink in
                sink.fixed(1, event.nanosecondsSinceEpoch)
                sink.field(2, event.name)
                sink.field(4, UInt64(Self.encode(event.attributes, 3, to: sink)))
            }
        }
        span.field(12, UInt64(lost.events))
        for link in links {
            guard let target = link.context.traceIdentity else { continue }
            span.message(13) { sink in
                sink.traceID(1, target.traceHigh, target.traceLow)
                sink.spanID(2, target.span)
                sink.field(3, target.state)
                sink.field(5, UInt64(Self.encode(link.attributes, 4, to: sink)))
            }
        }
        span.field(14, UInt64(lost.links))
        if let status { span.spanStatus(isError: status.code == .error, status.message ?? "") }
    }

    /// - Returns: how many were too many.
    private static func encode(_ attributes: SpanAttributes, _ field: Int, to sink: ByteSink) -> Int {
        var all: [(String, SpanAttribute)] = []
        attributes.forEach { all.append(($0, $1)) }
        all.sort { $0.0 < $1.0 }
        for (name, value) in all.prefix(SpanLimits.attributesMax) { encode(name, value, field, to: sink) }
        return max(0, all.count - SpanLimits.attributesMax)
    }

    private static func encode(_ name: String, _ value: SpanAttribute, _ field: Int, to sink: ByteSink) {
        switch value {
        case .int32(let number): sink.attribute(field, name, Int64(number))
        case .int64(let number): sink.attribute(field, name, number)
        case .double(let number): sink.attribute(field, name, number)
        case .bool(let flag): sink.attribute(field, name, flag)
        case .string(let text): sink.attribute(field, name, text)
        case .stringConvertible(let thing): sink.attribute(field, name, "\(thing)")
        case .int32Array(let numbers): sink.attribute(field, name, list: numbers) { $0.always(3, UInt64(bitPattern: Int64($1))) }
        case .int64Array(let numbers): sink.attribute(field, name, list: numbers) { $0.always(3, UInt64(bitPattern: $1)) }
        case .doubleArray(let numbers): sink.attribute(field, name, list: numbers) { $0.fixed(4, $1.bitPattern) }
        case .boolArray(let flags): sink.attribute(field, name, list: flags) { $0.always(2, $1 ? 1 : 0) }
        case .stringArray(let texts): sink.attribute(field, name, list: texts) { $0.always(1, $1) }
        case .stringConvertibleArray(let things): sink.attribute(field, name, list: things) { $0.always(1, "\($1)") }
        default: break
        }
    }
}
