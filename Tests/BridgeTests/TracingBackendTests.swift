// swift-distributed-tracing: W3C's headers, spans at a collector, calls of our client in their caller's trace.

import Client
import SpanExport
import Synchronization
import Testing
import Tracing
import Transport
import Wire

@testable import TracingBackend

private struct Headers: Injector, Extractor {
    func inject(_ value: String, forKey key: String, into carrier: inout [String: String]) { carrier[key] = value }
    func extract(key: String, from carrier: [String: String]) -> String? { carrier[key] }
}

/// A server with the two methods that these tests call; it keeps what they bring.
private final class Collector: Sendable {
    let server: Server
    let port: Int
    private let kept: Kept

    private final class Kept: Sendable {
        let exports = Mutex<[[UInt8]]>([])
        let parents = Mutex<[String]>([])
    }

    init() async throws {
        let kept = Kept()
        self.kept = kept
        var table = MethodTable()
        table.add(
            service: "opentelemetry.proto.collector.trace.v1.TraceService", method: "Export", kind: .unary,
            UnaryMethod { call, bytes in
                kept.exports.withLock { $0.append([UInt8](bytes)) }
                call.reply { _ in }
            })
        table.add(
            service: "etcdserverpb.KV", method: "Put", kind: .unary,
            UnaryMethod { call, _ in
                kept.parents.withLock { $0.append(call.metadata(.traceparent) ?? "") }
                call.reply { _ in }
            })
        server = Server()
        port = try await server.listen(on: .host("127.0.0.1", port: 0), Services(methods: table)).port
    }

    var traceparents: [String] { kept.parents.withLock { $0 } }
    var spans: [Received] { kept.exports.withLock { $0 }.flatMap { Received.all(in: $0) } }

    /// Bounded, so that a wrong exporter fails the test.
    func waitForSpans(_ count: Int) async throws -> [Received] {
        for _ in 0..<4_000 where spans.count < count { try await Task.sleep(for: .milliseconds(5)) }
        return spans
    }
}

/// The fields of a span that these tests look at.
private struct Received: Equatable {
    var trace = ""
    var id = ""
    var parent = ""
    var state = ""
    var name = ""
    var kind: UInt64 = 0
    var isOrdered = false
    var attributes: [String: String] = [:]
    var events: [String] = []
    var links: [String] = []
    var status: UInt64 = 0

    static func all(in request: [UInt8]) -> [Received] {
        var found: [Received] = []
        request.withUnsafeBytes { bytes in
            fields(bytes) { field, resource in
                guard field == 1 else { return }
                fields(resource) { field, scope in
                    guard field == 2 else { return }
                    fields(scope) { field, span in
                        if field == 2 { found.append(Received(span)) }
                    }
                }
            }
        }
        return found
    }

    private static func fields(_ bytes: UnsafeRawBufferPointer, _ body: (Int, UnsafeRawBufferPointer) -> Void) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = (try? reader.next()) ?? nil {
            if type == .bytes, let part = try? reader.bytes() { body(field, part) } else { guard (try? reader.skip(type, field: field)) != nil else { return } }
        }
    }

    private static func hexadecimal(_ bytes: UnsafeRawBufferPointer) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    private static func pair(_ bytes: UnsafeRawBufferPointer) -> (String, String) {
        var result = ("", "")
        fields(bytes) { field, part in
            if field == 1 { result.0 = String(decoding: part, as: UTF8.self) } else { result.1 = hexadecimal(part) }
        }
        return result
    }

    init(_ span: UnsafeRawBufferPointer) {
        var reader = ProtobufReader(span)
        var times: [UInt64] = []
        while let (field, type) = (try? reader.next()) ?? nil {
            switch (field, type) {
            case (_, .bytes):
                guard let part = try? reader.bytes() else { return }
                let text = String(decoding: part, as: UTF8.self)
                switch field {
                case 1: trace = Self.hexadecimal(part)
                case 2: id = Self.hexadecimal(part)
                case 3: state = text
                case 4: parent = Self.hexadecimal(part)
                case 5: name = text
                case 9:
                    let (name, value) = Self.pair(part)
                    attributes[name] = value
                case 11: Self.fields(part) { if $0 == 2 { events.append(String(decoding: $1, as: UTF8.self)) } }
                case 13: Self.fields(part) { if $0 == 2 { links.append(Self.hexadecimal($1)) } }
                case 15:
                    var inner = ProtobufReader(part)
                    while let (field, type) = (try? inner.next()) ?? nil {
                        if field == 3, let value = try? inner.uint64(type) { status = value } else { guard (try? inner.skip(type, field: field)) != nil else { return } }
                    }
                default: break
                }
            case (6, .varint): kind = (try? reader.uint64(type)) ?? 0
            case (_, .fixed64):
                times.append((try? reader.fixed64()) ?? 0)
            default: guard (try? reader.skip(type, field: field)) != nil else { return }
            }
        }
        isOrdered = times.count == 2 && times[0] <= times[1] && times[0] > 0
    }
}

@Suite struct TracingBackendTests {
    @Test func theHeadersGoThroughUnchanged() {
        let instrument = W3CTraceContext()
        for flags in ["00", "01"] {
            let headers = ["traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-\(flags)", "tracestate": "a=1,b=2"]
            var context = ServiceContext.topLevel
            instrument.extract(headers, into: &context, using: Headers())
            #expect(context.traceIdentity?.traceID == "0af7651916cd43dd8448eb211c80319c")
            #expect(context.traceIdentity?.isSampled == (flags == "01"))
            var again: [String: String] = [:]
            instrument.inject(context, into: &again, using: Headers())
            #expect(again == headers)
        }
        // What is no header begins no trace, and outside of a trace nothing is said.
        for bad in ["", "00-xyz", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"] {
            var context = ServiceContext.topLevel
            instrument.extract(["traceparent": bad], into: &context, using: Headers())
            var again: [String: String] = [:]
            instrument.inject(context, into: &again, using: Headers())
            #expect(context.traceIdentity == nil && again.isEmpty, "\(bad)")
        }
    }

    @Test func spansReachTheCollector() async throws {
        let collector = try await Collector()
        var settings = TracerSettings(service: "controller")
        settings.collector = "127.0.0.1:\(collector.port)"
        let tracer = DatastoreTracer(settings)
        var options = ClientOptions(endpoints: ["127.0.0.1:\(collector.port)"])
        options.propagate(tracer)
        let client = try Client(options)

        var caller = ServiceContext.topLevel
        tracer.extract(
            ["traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "vendor=x"], into: &caller,
            using: Headers())
        struct Broken: Error {}
        try await tracer.withSpan("reconcile", context: caller, ofKind: .server) { outer in
            outer.attributes["pods"] = 3
            outer.addEvent(SpanEvent(name: "queued"))
            try await tracer.withSpan("write") { inner in
                inner.addLink(outer)
                _ = try await client.put("a", "b")
            }
            _ = try? tracer.withSpan("fails") { _ in throw Broken() }
        }
        _ = try await client.put("outside", "of a trace")
        tracer.forceFlush()

        let spans = try await collector.waitForSpans(3)
        #expect(spans.map(\.name) == ["write", "fails", "reconcile"])
        let (write, fails, outer) = (spans[0], spans[1], spans[2])
        #expect(spans.allSatisfy { $0.trace == "0af7651916cd43dd8448eb211c80319c" && $0.state == "vendor=x" && $0.isOrdered })
        #expect(outer.parent == "b7ad6b7169203331" && write.parent == outer.id && fails.parent == outer.id)
        #expect(Set(spans.map(\.id)).count == 3)
        #expect(outer.kind == 2 && write.kind == 1)
        // Field 3 of a value, a whole number, is 3.
        #expect(outer.attributes == ["pods": "1803"])
        #expect(outer.events == ["queued"] && write.links == [outer.id])
        #expect(fails.status == 2 && fails.events == ["exception"] && outer.status == 0)
        // The client's call belongs to the span that it was made in; one outside of a trace to none.
        #expect(collector.traceparents == ["00-0af7651916cd43dd8448eb211c80319c-\(write.id)-01", ""])

        client.close()
        tracer.close()
        await collector.server.shutdown(grace: .zero)
    }

    @Test func whatIsNotSampledIsHandedOnAndNotSent() async throws {
        let collector = try await Collector()
        var settings = TracerSettings(service: "controller")
        settings.collector = "127.0.0.1:\(collector.port)"
        settings.samplesPerMillion = 0
        let tracer = DatastoreTracer(settings)
        tracer.withSpan("root") { span in
            #expect(!span.isRecording && span.context.traceIdentity?.isSampled == false)
            span.attributes["ignored"] = 1
            tracer.withSpan("child") { child in
                // The same trace, so that all of it is left out together.
                #expect(child.context.traceIdentity?.traceID == span.context.traceIdentity?.traceID)
                var headers: [String: String] = [:]
                tracer.inject(child.context, into: &headers, using: Headers())
                #expect(headers["traceparent"]?.hasSuffix("-00") == true)
            }
        }
        var caller = ServiceContext.topLevel
        tracer.extract(["traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"], into: &caller, using: Headers())
        tracer.withSpan("sampled by its caller", context: caller) { _ in }
        // Sends what is left.
        tracer.close()
        #expect(try await collector.waitForSpans(1).map(\.name) == ["sampled by its caller"])
        await collector.server.shutdown(grace: .zero)
    }
}
