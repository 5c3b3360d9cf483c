// The spans of requests as OTLP has them.

import DatastoreTracing
import SpanExport
import Wire

/// Encodes records as `ExportTraceServiceRequest`: for each call a server span, below it the operation as etcd names it, below that
/// the request's steps.
struct SpanEncoder: Sendable {
    let serviceName: String
    let instanceID: String
    /// Where span identifiers come from.
    let random: @Sendable () -> UInt64

    /// Writes one request; returns how many spans it has.
    func encode(_ work: [TracedWork], to sink: ByteSink) -> Int {
        var spans = 0
        sink.resourceSpans(
            service: serviceName, instance: instanceID, version: Version.server, sdk: "martlet", scope: ("go.etcd.io/etcd", Version.server)
        ) { scope in
            for one in work {
                switch one {
                case .request(let record): spans += encode(record, to: scope)
                case .operation(let operation):
                    spans += 1
                    encode(operation, to: scope)
                }
            }
        }
        return spans
    }

    private func encode(_ operation: TracedOperation, to scope: ByteSink) {
        scope.message(2) { span in
            span.spanHead(
                operation.trace, id: random() | 1, parent: operation.trace.span, name: operation.name, .internal, start: operation.start,
                end: operation.end)
            for each in operation.attributes { attribute(each, 9, span) }
        }
    }

    private func encode(_ record: RequestRecord, to scope: ByteSink) -> Int {
        guard let trace = record.trace else { return 0 }
        let start = UInt64(clamping: record.start)
        let end = start &+ record.nanoseconds
        var count = 1
        scope.message(2) { span in
            span.spanHead(
                trace, id: trace.span, parent: trace.parent, name: "\(record.method.service)/\(record.method.name)", .server, start: start, end: end)
            attribute(SpanAttribute("rpc.system", "grpc"), 9, span)
            attribute(SpanAttribute("rpc.service", record.method.service), 9, span)
            attribute(SpanAttribute("rpc.method", record.method.name), 9, span)
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
                span.spanHead(trace, id: parent, parent: trace.span, name: operation.span, .internal, start: start, end: start &+ offset)
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
                span.spanHead(
                    trace, id: random() | 1, parent: isAfter ? trace.span : parent, name: step.name, .internal, start: start &+ last,
                    end: start &+ until)
            }
            last = until
        }
        return count
    }

    private func attribute(_ attribute: SpanAttribute, _ field: Int, _ sink: ByteSink) {
        switch attribute.value {
        case .text(let text): sink.attribute(field, attribute.name, text)
        case .boolean(let flag): sink.attribute(field, attribute.name, flag)
        case .number(let number): sink.attribute(field, attribute.name, number)
        }
    }

    /// What a server is to blame for is an error of its span.
    private func status(_ record: RequestRecord, _ span: ByteSink) {
        switch record.code {
        case .unknown, .deadlineExceeded, .unimplemented, .internal, .unavailable, .dataLoss:
            span.spanStatus(isError: true, record.message)
        default: break
        }
    }
}
