// OTLP: the few messages of opentelemetry.proto.collector.trace.v1 that a server of spans needs, written with our own protobuf writer.

import DatastoreTracing
import Wire

/// Encodes records as `ExportTraceServiceRequest`: for each call a server span, below it the operation as etcd names it, below that
/// the request's steps.
struct SpanEncoder {
    let serviceName: String
    let instanceID: String
    /// Where span identifiers come from.
    var random: () -> UInt64

    private enum Kind: UInt64 { case `internal` = 1, server = 2 }

    /// Writes one request; returns how many spans it has.
    func encode(_ records: [RequestRecord], to sink: ByteSink) -> Int {
        var spans = 0
        sink.message(1) { sink in
            sink.message(1) { resource in
                attribute(SpanAttribute("service.name", serviceName), 1, resource)
                if !instanceID.isEmpty { attribute(SpanAttribute("service.instance.id", instanceID), 1, resource) }
                attribute(SpanAttribute("service.version", Version.server), 1, resource)
                attribute(SpanAttribute("telemetry.sdk.language", "swift"), 1, resource)
                attribute(SpanAttribute("telemetry.sdk.name", "martlet"), 1, resource)
            }
            sink.message(2) { scope in
                scope.message(1) {
                    $0.field(1, "go.etcd.io/etcd")
                    $0.field(2, Version.server)
                }
                for record in records { spans += encode(record, to: scope) }
            }
        }
        return spans
    }

    private func encode(_ record: RequestRecord, to scope: ByteSink) -> Int {
        guard let trace = record.trace else { return 0 }
        let start = UInt64(clamping: record.start)
        let end = start &+ record.nanoseconds
        var count = 1
        scope.message(2) { span in
            head(trace, trace.span, parent: trace.parent, "\(record.service)/\(record.name)", .server, start, end, span)
            attribute(SpanAttribute("rpc.system", "grpc"), 9, span)
            attribute(SpanAttribute("rpc.service", record.service), 9, span)
            attribute(SpanAttribute("rpc.method", record.name), 9, span)
            attribute(SpanAttribute("rpc.grpc.status_code", Int64(record.code.rawValue)), 9, span)
            if let remote = record.remote, let colon = remote.lastIndex(of: ":") {
                attribute(SpanAttribute("network.peer.address", String(remote[..<colon])), 9, span)
                if let port = Int64(remote[remote.index(after: colon)...]) { attribute(SpanAttribute("network.peer.port", port), 9, span) }
            }
            for (name, text) in [
                ("user_agent.original", record.userAgent), ("enduser.id", record.user), ("tls.client.subject", record.commonName),
                ("k8s.resource", record.resource),
            ] where !text.isEmpty {
                attribute(SpanAttribute(name, text), 9, span)
            }
            if record.revision > 0 { attribute(SpanAttribute("etcd.revision", record.revision), 9, span) }
            attribute(SpanAttribute("rpc.request.size", Int64(record.requestBytes)), 9, span)
            attribute(SpanAttribute("rpc.response.size", Int64(record.answerBytes)), 9, span)
            status(record, span)
        }
        var parent = trace.span
        if let operation = record.description?.operation {
            parent = random() | 1
            count += 1
            let offset = record.span.elapsed(.encoded) ?? record.nanoseconds
            scope.message(2) { span in
                head(trace, parent, parent: trace.span, operation.span, .internal, start, start &+ offset, span)
                for each in record.description!.attributes { attribute(each, 9, span) }
            }
        }
        var last: UInt64 = 0
        for step in RequestStep.allCases {
            guard let reached = record.span.elapsed(step) else { continue }
            let until = max(last, reached)
            let isAfter = step == .flowControlWait || step == .flushed
            count += 1
            scope.message(2) { span in
                head(trace, random() | 1, parent: isAfter ? trace.span : parent, step.name, .internal, start &+ last, start &+ until, span)
            }
            last = until
        }
        return count
    }

    private func head(
        _ trace: TraceContext, _ id: UInt64, parent: UInt64, _ name: String, _ kind: Kind, _ start: UInt64, _ end: UInt64, _ span: ByteSink
    ) {
        span.tag(1, .bytes)
        span.varint(16)
        bigEndian(trace.traceHigh, span)
        bigEndian(trace.traceLow, span)
        span.tag(2, .bytes)
        span.varint(8)
        bigEndian(id, span)
        span.field(3, trace.state)
        if parent != 0 {
            span.tag(4, .bytes)
            span.varint(8)
            bigEndian(parent, span)
        }
        span.field(5, name)
        span.field(6, kind.rawValue)
        fixed(7, start, span)
        fixed(8, end, span)
    }

    private func bigEndian(_ value: UInt64, _ sink: ByteSink) {
        withUnsafeBytes(of: value.bigEndian) { sink.append($0) }
    }

    private func fixed(_ field: Int, _ value: UInt64, _ sink: ByteSink) {
        sink.tag(field, .fixed64)
        withUnsafeBytes(of: value.littleEndian) { sink.append($0) }
    }

    private func attribute(_ attribute: SpanAttribute, _ field: Int, _ sink: ByteSink) {
        sink.message(field) { pair in
            pair.field(1, attribute.name)
            pair.message(2) { value in
                // A value of zero is written too: it says which kind of value it is.
                switch attribute.value {
                case .text(let text): value.always(1, text)
                case .boolean(let flag): value.always(2, flag ? 1 : 0)
                case .number(let number): value.always(3, UInt64(bitPattern: number))
                }
            }
        }
    }

    /// What a server is to blame for is an error of its span.
    private func status(_ record: RequestRecord, _ span: ByteSink) {
        switch record.code {
        case .unknown, .deadlineExceeded, .unimplemented, .internal, .unavailable, .dataLoss:
            span.message(15) {
                $0.field(2, record.message)
                $0.field(3, 2 as UInt64)
            }
        default: break
        }
    }
}
