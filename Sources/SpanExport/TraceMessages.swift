// OTLP: the few messages of opentelemetry.proto.collector.trace.v1 that senders of spans need, written with our own protobuf writer.

import Wire

/// The kinds of spans by OpenTelemetry's numbers.
public enum ExportedSpanKind: UInt64, Sendable {
    case `internal` = 1, server, client, producer, consumer
}

extension ByteSink {
    /// One resource's spans: the only content of an `ExportTraceServiceRequest`.
    public func resourceSpans(
        service: String, instance: String, version: String, sdk: String, scope: (name: String, version: String), _ spans: (ByteSink) -> Void
    ) {
        message(1) { sink in
            sink.message(1) { resource in
                resource.attribute(1, "service.name", service)
                if !instance.isEmpty { resource.attribute(1, "service.instance.id", instance) }
                if !version.isEmpty { resource.attribute(1, "service.version", version) }
                resource.attribute(1, "telemetry.sdk.language", "swift")
                resource.attribute(1, "telemetry.sdk.name", sdk)
            }
            sink.message(2) { sink in
                sink.message(1) {
                    $0.field(1, scope.name)
                    $0.field(2, scope.version)
                }
                spans(sink)
            }
        }
    }

    /// What every span begins with.
    ///
    /// - Parameters:
    ///   - trace: the trace that it is in.
    ///   - parent: 0 for none.
    ///   - start: nanoseconds since 1970, as `end`.
    public func spanHead(
        _ trace: TraceContext, id: UInt64, parent: UInt64, name: String, _ kind: ExportedSpanKind, start: UInt64, end: UInt64
    ) {
        traceID(1, trace.traceHigh, trace.traceLow)
        spanID(2, id)
        field(3, trace.state)
        if parent != 0 { spanID(4, parent) }
        field(5, name)
        field(6, kind.rawValue)
        fixed(7, start)
        fixed(8, end)
    }

    /// A span's end in success or error; a text for the latter.
    public func spanStatus(isError: Bool, _ text: String = "") {
        message(15) {
            $0.field(2, text)
            $0.field(3, isError ? 2 : 1 as UInt64)
        }
    }

    public func traceID(_ field: Int, _ high: UInt64, _ low: UInt64) {
        tag(field, .bytes)
        varint(16)
        Swift.withUnsafeBytes(of: high.bigEndian) { append($0) }
        Swift.withUnsafeBytes(of: low.bigEndian) { append($0) }
    }

    public func spanID(_ field: Int, _ id: UInt64) {
        tag(field, .bytes)
        varint(8)
        Swift.withUnsafeBytes(of: id.bigEndian) { append($0) }
    }

    public func fixed(_ field: Int, _ value: UInt64) {
        tag(field, .fixed64)
        Swift.withUnsafeBytes(of: value.littleEndian) { append($0) }
    }

    // MARK: Attributes: pairs of a name and a value. Values of zero are written too: they say which kind of value it is.

    public func attribute(_ field: Int, _ name: String, _ text: String) { pair(field, name) { $0.always(1, text) } }
    public func attribute(_ field: Int, _ name: String, _ flag: Bool) { pair(field, name) { $0.always(2, flag ? 1 : 0) } }
    public func attribute(_ field: Int, _ name: String, _ number: Int64) { pair(field, name) { $0.always(3, UInt64(bitPattern: number)) } }
    public func attribute(_ field: Int, _ name: String, _ number: Double) { pair(field, name) { $0.fixed(4, number.bitPattern) } }

    /// A list of values, each written by `value`.
    public func attribute<Element>(_ field: Int, _ name: String, list elements: [Element], _ value: (ByteSink, Element) -> Void) {
        pair(field, name) { pair in
            pair.message(5) { list in
                for element in elements { list.message(1) { value($0, element) } }
            }
        }
    }

    /// - Parameter value: writes the field of an `AnyValue`.
    private func pair(_ field: Int, _ name: String, _ value: (ByteSink) -> Void) {
        message(field) { pair in
            pair.field(1, name)
            pair.message(2, value)
        }
    }
}
