// The export of requests' spans, and what the log says of it.

import DatastoreTracing
import SpanExport
import Synchronization
import Wire

typealias SpanExporter = TraceExporter<TracedWork>

/// What spans are made of.
enum TracedWork: Sendable {
    case request(RequestRecord)
    /// One of the requests of a stream that goes on.
    case operation(TracedOperation)
}

struct TracedOperation: Sendable {
    /// Of the stream.
    let trace: TraceContext
    let name: String
    let attributes: [SpanAttribute]
    /// Nanoseconds since 1970.
    let start: UInt64
    let end: UInt64
}

extension TraceExporter<TracedWork> {
    convenience init(_ settings: TraceExport, log: Log) {
        let generator = Mutex(SystemRandomNumberGenerator())
        let encoder = SpanEncoder(
            serviceName: settings.serviceName, instanceID: settings.instanceID, random: { generator.withLock { $0.next() } })
        let address = settings.address
        self.init(
            address: address, userAgent: "OTel-OTLP-Exporter-martlet/" + Version.server,
            tell: { news in
                switch news {
                case .failing(let reason):
                    log.warn("failed to export traces; tried again until they are too old", .string("address", address), .error(reason))
                case .working: log.info("traces are exported again", .string("address", address))
                case .lost(let requests): log.warn("traces were not exported before the end", .int("requests", requests))
                }
            }, encode: { encoder.encode($0, to: $1) })
        log.info("distributed tracing setup enabled")
        log.debug(
            "distributed tracing enabled",
            [
                .string("address", settings.address), .string("service-name", settings.serviceName),
                .string("service-instance-id", settings.instanceID), .int("sampling-rate", settings.samplesPerMillion),
            ])
    }
}
