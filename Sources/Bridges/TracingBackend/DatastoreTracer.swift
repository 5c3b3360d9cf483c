// swift-distributed-tracing on our exporter: spans go to an OpenTelemetry collector over OTLP.
//
//     let tracer = DatastoreTracer(TracerSettings(service: "controller"))
//     InstrumentationSystem.bootstrap(tracer)

import SpanExport
import Synchronization
import Tracing
import Wire

public struct TracerSettings: Sendable {
    /// The resource's `service.name`.
    public var service: String
    public var instance = ""
    public var version = ""
    /// An OTLP collector over gRPC without TLS: `host:port`.
    public var collector = "localhost:4317"
    /// How many of a million traces that begin here are recorded; of others their caller decides.
    public var samplesPerMillion: Int64 = 1_000_000
    /// Is told what goes wrong with the collector, on the exporter's thread.
    public var onNews: (@Sendable (TraceExportNews) -> Void)?

    public init(service: String) { self.service = service }
}

/// Makes spans and sends them. Safe to use from any thread.
///
/// A span that is not sampled costs an object and no more. Spans that the collector does not take in time are dropped and counted (`exporter.wire`
/// shows the numbers in a registry): tracing never slows what is traced.
public final class DatastoreTracer: Tracer {
    public let exporter: TraceExporter<FinishedSpan>
    private let sampler: TraceSampler
    private let propagation = W3CTraceContext()

    public init(_ settings: TracerSettings) {
        sampler = TraceSampler(perMillion: settings.samplesPerMillion)
        exporter = TraceExporter(
            address: settings.collector, userAgent: "OTel-OTLP-Exporter-martlet", tell: { settings.onNews?($0) },
            encode: { spans, sink in
                sink.resourceSpans(
                    service: settings.service, instance: settings.instance, version: settings.version, sdk: "martlet",
                    scope: ("swift-distributed-tracing", "")
                ) { scope in
                    for span in spans { scope.message(2) { span.encode(to: $0) } }
                }
                return spans.count
            })
    }

    /// Sends what is left and ends the exporter's thread. Spans that end later are lost.
    public func close() { exporter.close() }

    public func startSpan<Instant: TracerInstant>(
        _ operationName: String, context: @autoclosure () -> ServiceContext, ofKind kind: SpanKind, at instant: @autoclosure () -> Instant,
        function: String, file fileID: String, line: UInt
    ) -> DatastoreSpan {
        var context = context()
        let caller = context.traceIdentity
        let parent = caller.map { TraceParent(traceHigh: $0.traceHigh, traceLow: $0.traceLow, span: $0.span, isSampled: $0.isSampled) }
        let random = { UInt64.random(in: 1 ... .max) }
        var trace = sampler.sample(parent: parent, random: random)
        trace?.state = caller?.state ?? ""
        // One that is not sampled has its numbers all the same, so that those whom it calls decide alike.
        context.traceIdentity = TraceIdentity(
            traceHigh: trace?.traceHigh ?? caller?.traceHigh ?? random(), traceLow: trace?.traceLow ?? caller?.traceLow ?? random(),
            span: trace?.span ?? random(), isSampled: trace != nil, state: caller?.state ?? "")
        return DatastoreSpan(
            operationName, context: context, trace: trace, kind: kind, start: instant().nanosecondsSinceEpoch, exporter: exporter)
    }

    public func forceFlush() { exporter.flush() }

    public func extract<Carrier, Extract: Extractor>(
        _ carrier: Carrier, into context: inout ServiceContext, using extractor: Extract
    ) where Extract.Carrier == Carrier {
        propagation.extract(carrier, into: &context, using: extractor)
    }

    public func inject<Carrier, Inject: Injector>(
        _ context: ServiceContext, into carrier: inout Carrier, using injector: Inject
    ) where Inject.Carrier == Carrier {
        propagation.inject(context, into: &carrier, using: injector)
    }
}
