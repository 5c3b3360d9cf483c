// A plain HTTP request on an HTTP/2 stream, and requests whose refusal needs their text. Cold: a heap object.

import CNGHTTP2
import Wire

final class HTTP2Exchange {
    var contentType = ""
    var encoding = ""
    var headers: [(String, String)] = []
    var body: [UInt8] = []
    /// The connection lets go of it when the request is handed over; the handler then keeps it alive.
    weak var responder: HTTPResponder?
    /// Body bytes that are in the account of the connection.
    var countedBytes = 0
    /// Set where the body is handed over as it comes.
    var stream: HTTPBodyStream?
    /// Keeps what `stream` refers to weakly.
    var source: HTTP2BodySource?
}

/// The body of a request on the stream of a call.
final class HTTP2BodySource: HTTPBodySource {
    private let call: Call

    init(_ call: Call) { self.call = call }

    private func withConnection(_ body: (ServerConnection, UnsafeMutablePointer<CallSlot>) -> Void) {
        let loop = call.loop
        guard let slot = loop.calls.find(call.index, call.generation), slot.pointee.exchange != nil else { return }
        slot.pointee.connection?._withUnsafeGuaranteedRef { body($0, slot) }
    }

    func setBodyPaused(_ isPaused: Bool) {
        withConnection { connection, slot in
            if isPaused {
                slot.pointee.flags.insert(.paused)
            } else {
                slot.pointee.flags.remove(.paused)
                connection.giveBackWindow(slot)
            }
        }
    }

    func accountBody(_ change: Int) {
        withConnection { connection, slot in
            connection.accountInput(change)
            slot.pointee.exchange?.countedBytes += change
            if change > 0 { connection.limitBody(slot) }
        }
    }

    /// Streams of HTTP/2 hold no connection, so nothing limits their time but the client's own keepalive.
    func allowEndlessBody() {}
}

/// Puts the answer onto the stream of a call.
private final class HTTP2ResponseSink: HTTPResponseSink {
    let call: Call
    let isHead: Bool
    private var isBodyless = false

    init(_ call: Call, isHead: Bool) {
        self.call = call
        self.isHead = isHead
    }

    private func withConnection(_ body: (ServerConnection, UnsafeMutablePointer<CallSlot>) -> Void) {
        let loop = call.loop
        guard let slot = loop.calls.find(call.index, call.generation), slot.pointee.flags.contains(.alive) else { return }
        slot.pointee.connection?._withUnsafeGuaranteedRef { body($0, slot) }
    }

    func start(_ status: Int, _ headers: HTTPFields, length: Int?) {
        isBodyless = isHead || length == 0
        withConnection { $0.httpStart(call.index, $1, status, headers, length: length, isBodyless: isBodyless) }
    }

    func write(_ bytes: UnsafeRawBufferPointer) {
        guard !isBodyless else { return }
        withConnection { $0.httpWrite(call.index, $1, bytes) }
    }

    func respond(_ status: Int, _ headers: HTTPFields, body: [UInt8]) {
        start(status, headers, length: body.count)
        if !body.isEmpty { body.withUnsafeBytes(write) }
        end()
    }

    func abort() {
        withConnection { connection, slot in
            nghttp2_submit_rst_stream(
                connection.session, UInt8(NGHTTP2_FLAG_NONE.rawValue), slot.pointee.streamID, NGHTTP2_INTERNAL_ERROR.rawValue)
            connection.loop.markDirty(connection)
        }
    }

    func end() { withConnection { $0.httpEnd(call.index, $1, isBodyless: isBodyless) } }

    var queuedBytes: Int { call.queuedBytes }
}

extension ServerConnection {
    func httpBody(_ index: UInt32, _ slot: UnsafeMutablePointer<CallSlot>, _ bytes: UnsafeRawBufferPointer) {
        guard let exchange = slot.pointee.exchange else { return }
        if let stream = exchange.stream { return stream.deliver(bytes) }
        guard exchange.body.count + bytes.count <= endpoint.configuration.httpBodyBytesMax else {
            let call = Call(loop, index, slot.pointee.generation)
            HTTPResponder(loop: loop, sink: HTTP2ResponseSink(call, isHead: false), isHead: false)
                .respond(.error(413, "http: request body too large"))
            return
        }
        exchange.body.append(contentsOf: bytes)
        accountInput(bytes.count)
        exchange.countedBytes += bytes.count
        limitBody(slot)
    }

    func limitBody(_ slot: UnsafeMutablePointer<CallSlot>) {
        guard partialBytes > TransportLimits.receivedPartialBytesMax else { return }
        loop.counters.connectionsRejected.add(1)
        nghttp2_submit_rst_stream(
            session, UInt8(NGHTTP2_FLAG_NONE.rawValue), slot.pointee.streamID, NGHTTP2_ENHANCE_YOUR_CALM.rawValue)
        loop.markDirty(self)
    }

    /// A paused body goes on: the client may send as much as was kept from it.
    func giveBackWindow(_ slot: UnsafeMutablePointer<CallSlot>) {
        guard slot.pointee.unconsumed > 0 else { return }
        nghttp2_session_consume_stream(session, slot.pointee.streamID, slot.pointee.unconsumed)
        slot.pointee.unconsumed = 0
        loop.markDirty(self)
    }

    /// The head is complete: a request whose body is handed over as it comes is handled now.
    func httpHeadComplete(_ index: UInt32, _ slot: UnsafeMutablePointer<CallSlot>) {
        let target = slot.pointee.path.map(headerText) ?? "/"
        guard let exchange = slot.pointee.exchange, endpoint.streamsBody(target) else { return }
        let source = HTTP2BodySource(Call(loop, index, slot.pointee.generation))
        exchange.source = source
        exchange.stream = HTTPBodyStream(source)
        httpHandle(index, slot)
    }

    func httpRequestComplete(_ index: UInt32, _ slot: UnsafeMutablePointer<CallSlot>) {
        if let stream = slot.pointee.exchange?.stream { stream.end() } else { httpHandle(index, slot) }
    }

    private func httpHandle(_ index: UInt32, _ slot: UnsafeMutablePointer<CallSlot>) {
        guard let exchange = slot.pointee.exchange, let http = endpoint.http else { return }
        let target = slot.pointee.path.map(headerText) ?? "/"
        let method = slot.pointee.flags.contains(.isPOST) ? "POST" : slot.pointee.statusText
        let (path, query) = splitTarget(target)
        var headers = HTTPFields()
        for (name, value) in exchange.headers { headers.add(name, value) }
        let call = Call(loop, index, slot.pointee.generation)
        let isHead = method == "HEAD"
        let responder = HTTPResponder(loop: loop, sink: HTTP2ResponseSink(call, isHead: isHead), isHead: isHead)
        exchange.responder = responder
        let request = HTTPRequest(
            method: method, path: path, query: query, authority: slot.pointee.authority.map(headerText) ?? "", headers: headers, body: exchange.body,
            bodyStream: exchange.stream, version: .http2, remoteAddress: remoteAddress, peer: peer)
        exchange.body = []
        exchange.headers = []
        accountInput(-exchange.countedBytes)
        exchange.countedBytes = 0
        http.handle(request, responder)
    }

    func httpStart(
        _ index: UInt32, _ slot: UnsafeMutablePointer<CallSlot>, _ status: Int, _ headers: HTTPFields, length: Int?,
        isBodyless: Bool
    ) {
        guard !slot.pointee.flags.contains(.responding) else { return }
        slot.pointee.flags.insert(.responding)
        var fields: [(String, String)] = [(":status", "\(status)")]
        for field in headers.fields {
            let name = field.name.lowercased()
            // HTTP/2 has no connection-specific fields.
            if name == "connection" || name == "transfer-encoding" || name == "content-length" { continue }
            fields.append((name, field.value))
        }
        if let length { fields.append(("content-length", "\(length)")) }
        if headers["date"] == nil { fields.append(("date", HTTPDate.now())) }
        HeaderFields.with(fields) { list, count in
            if isBodyless {
                nghttp2_submit_response(session, slot.pointee.streamID, list, count, nil)
            } else {
                var provider = dataProvider(index)
                nghttp2_submit_response(session, slot.pointee.streamID, list, count, &provider)
            }
        }
        loop.markDirty(self)
    }

    func httpWrite(_ index: UInt32, _ slot: UnsafeMutablePointer<CallSlot>, _ bytes: UnsafeRawBufferPointer) {
        guard slot.pointee.flags.contains(.responding) else { return }
        if slot.pointee.output.heldBytes + bytes.count > max(TransportLimits.httpQueuedBytesMax, bytes.count) {
            // A reader too slow for an answer in pieces.
            nghttp2_submit_rst_stream(
                session, UInt8(NGHTTP2_FLAG_NONE.rawValue), slot.pointee.streamID, NGHTTP2_ENHANCE_YOUR_CALM.rawValue)
            loop.markDirty(self)
            return
        }
        let range = loop.writeBytes { $0.append(bytes) }
        slot.pointee.output.appendArena(range)
        loop.noteArena(index, slot)
        queued(slot, range.count)
        resumeOutput(slot)
    }

    func httpEnd(_ index: UInt32, _ slot: UnsafeMutablePointer<CallSlot>, isBodyless: Bool) {
        guard slot.pointee.flags.contains(.responding) else { return }
        slot.pointee.flags.remove(.alive)
        slot.pointee.flags.insert(.finished)
        slot.pointee.exchange?.stream?.detach()
        giveBackWindow(slot)
        if isBodyless {
            resetUnlessRemoteClosed(slot)
            loop.markDirty(self)
        } else {
            resumeOutput(slot)
        }
    }
}

/// A request target without scheme and host, cut at the question mark.
func splitTarget(_ target: String) -> (path: String, query: String?) {
    guard let mark = target.utf8.firstIndex(of: UInt8(ascii: "?")) else { return (target, nil) }
    return (String(target[..<mark]), String(target[target.utf8.index(after: mark)...]))
}
