// HTTP/1.1 on the common port: NIO parses and frames, this collects requests and writes answers.

import NIOCore
import NIOHTTP1

/// One HTTP/1 connection. Requests are handled one after the other (NIO's pipelining handler sees to it).
final class HTTP1Handler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let loop: ServerLoop
    private let endpoint: Endpoint
    private let remoteAddress: String
    private let peer: PeerIdentity?
    private let pipeline: HTTP1Pipeline
    private var headerGuard: HTTP1HeaderGuard { pipeline.headerGuard }

    private var context: ChannelHandlerContext?
    private var head: HTTPRequestHead?
    private var body: [UInt8] = []
    /// Set while the body is handed over as it comes.
    private var bodyStream: HTTPBodyStream?
    /// The request asks to go on as WebSocket.
    private var isUpgrade = false
    private var bodyTimer: Scheduled<Void>?
    private var isRefused = false
    private var isComplete = false
    private var keepsAlive = true
    /// Tells answers to this request from late ones to an earlier.
    private var requestNumber: UInt64 = 0
    private weak var responder: HTTPResponder?
    fileprivate var queuedBytes = 0
    /// Of the request's body, here or with who reads it.
    private var receivedBytes = 0
    private var isCut = false
    private var hasStarted = false

    init(
        loop: ServerLoop, endpoint: Endpoint, remoteAddress: String, peer: PeerIdentity?, pipeline: HTTP1Pipeline
    ) {
        self.loop = loop
        self.endpoint = endpoint
        self.remoteAddress = remoteAddress
        self.peer = peer
        self.pipeline = pipeline
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        loop.register(http1: self)
    }

    func handlerRemoved(context: ChannelHandlerContext) { gone() }

    func channelInactive(context: ChannelHandlerContext) {
        gone()
        context.fireChannelInactive()
    }

    private func gone() {
        guard context != nil else { return }
        context = nil
        loop.batch {
            responder?.peerIsGone()
            responder = nil
            endBody()
        }
        loop.unregister(http1: self)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // Requests that cannot be parsed are answered with 400 by NIO's error handler in front; the rest are
        // socket errors.
        context.close(promise: nil)
    }

    /// Closes at once when idle, after the present answer otherwise.
    func drain() {
        keepsAlive = false
        if head == nil { context?.close(promise: nil) }
    }

    func terminate() { context?.close(promise: nil) }

    // MARK: Requests

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            headerGuard.headArrived()
            requestNumber += 1
            self.head = head
            body = []
            isRefused = false
            isComplete = false
            hasStarted = false
            keepsAlive = keepsAlive && head.isKeepAlive
            // The parser takes everything behind a request with this header for another protocol.
            if head.headers.contains(name: "upgrade") { keepsAlive = false }
            let path = splitTarget(head.uri).path
            isUpgrade = endpoint.streamsBody(path) && WebSocketUpgrade.isAskedFor(head)
            let expectsContinue = head.headers[canonicalForm: "expect"].contains { $0.lowercased() == "100-continue" }
            if let length = head.headers.first(name: "content-length").flatMap({ Int($0) }),
                length > endpoint.configuration.httpBodyBytesMax
            {
                return refuseBody(context)
            }
            if expectsContinue, head.version == .http1_1 {
                let interim = HTTPResponseHead(version: .http1_1, status: .continue)
                context.writeAndFlush(wrapOutboundOut(.head(interim)), promise: nil)
            }
            limitBodyTime(context)
            if endpoint.streamsBody(path), !isUpgrade {
                bodyStream = HTTPBodyStream(self)
                handle(head)
            }
        case .body(let part):
            guard !isRefused else { return }
            if let bodyStream { return loop.batch { part.withUnsafeReadableBytes(bodyStream.deliver) } }
            guard body.count + part.readableBytes <= endpoint.configuration.httpBodyBytesMax else {
                return refuseBody(context)
            }
            body.append(contentsOf: part.readableBytesView)
            accountBody(part.readableBytes)
            loop.checkHeldBytes()
        case .end:
            isComplete = true
            bodyTimer?.cancel()
            bodyTimer = nil
            guard let head, !isRefused else { return }
            if isUpgrade {
                upgrade(head, context)
            } else if let bodyStream {
                loop.batch { bodyStream.end() }
            } else {
                handle(head)
            }
        }
    }

    /// A body that drips in for ever would keep its connection for ever.
    private func limitBodyTime(_ context: ChannelHandlerContext) {
        nonisolated(unsafe) let context = context
        nonisolated(unsafe) weak let this = self
        bodyTimer?.cancel()
        let limit = Int64(clamping: endpoint.configuration.readHeaderTimeout.nanosecondsClamped)
        bodyTimer = context.eventLoop.scheduleTask(in: .nanoseconds(limit)) {
            guard let this, !this.isComplete else { return }
            this.loop.counters.connectionsRejected.add(1)
            context.close(promise: nil)
        }
    }

    private func endBody() {
        bodyTimer?.cancel()
        bodyTimer = nil
        if let stream = bodyStream {
            bodyStream = nil
            stream.paused = false
            stream.detach()
        }
        accountBody(-receivedBytes)
    }

    private func refuseBody(_ context: ChannelHandlerContext) {
        isRefused = true
        keepsAlive = false
        body = []
        accountBody(-receivedBytes)
        respond(.error(413, "http: request body too large"))
    }

    private func handle(_ head: HTTPRequestHead) {
        let isHead = head.method == .HEAD
        let responder = HTTPResponder(
            loop: loop, sink: HTTP1ResponseSink(self, requestNumber, loop: loop), isHead: isHead)
        self.responder = responder
        let request = self.request(head)
        body = []
        loop.batch {
            if let http = endpoint.http { http.handle(request, responder) } else { responder.respond(.notFound) }
        }
    }

    private func request(_ head: HTTPRequestHead) -> HTTPRequest {
        var fields = HTTPFields()
        for (name, value) in head.headers { fields.add(name, value) }
        let (path, query) = splitTarget(head.uri)
        return HTTPRequest(
            method: head.method.rawValue, path: path, query: query, authority: fields["host"] ?? "", headers: fields,
            body: body, bodyStream: bodyStream, version: .http1, remoteAddress: remoteAddress, peer: peer)
    }

    private func respond(_ response: HTTPResponse) {
        respond(response.status, response.headers, body: response.body, request: requestNumber)
    }

    // MARK: WebSocket

    private func upgrade(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        var request = self.request(head)
        do throws(WebSocketUpgrade.Refused) {
            let answer = try WebSocketUpgrade.answer(head)
            WebSocketUpgrade.prepare(&request)
            guard let http = endpoint.http else { return respond(.notFound) }
            self.head = nil
            let socket = WebSocketHandler(loop: loop, endpoint: endpoint, headerGuard: headerGuard)
            // From here on this handler is gone from the pipeline.
            guard pipeline.becomeWebSocket(context, removing: self, answer: answer, socket) else { return }
            socket.serve(request, by: http)
        } catch {
            keepsAlive = false
            respond(error.response)
        }
    }

    // MARK: Answers

    fileprivate func start(_ status: Int, _ headers: HTTPFields, length: Int?, request: UInt64) {
        guard let context, let head, request == requestNumber, !hasStarted else { return }
        hasStarted = true
        var fields = HTTPHeaders()
        for field in headers.fields { fields.add(name: field.name, value: field.value) }
        if let length { fields.replaceOrAdd(name: "Content-Length", value: "\(length)") }
        if fields["date"].isEmpty { fields.add(name: "Date", value: HTTPDate.now()) }
        if length == nil, head.version == .http1_0 { keepsAlive = false }
        if !keepsAlive { fields.replaceOrAdd(name: "Connection", value: "close") }
        let response = HTTPResponseHead(
            version: head.version, status: HTTPResponseStatus(statusCode: status), headers: fields)
        context.write(wrapOutboundOut(.head(response)), promise: nil)
        if length == nil { context.flush() }
    }

    /// A whole answer: one write to the socket.
    fileprivate func respond(_ status: Int, _ headers: HTTPFields, body: [UInt8], request: UInt64) {
        start(status, headers, length: body.count, request: request)
        if !body.isEmpty { body.withUnsafeBytes { write($0, flushes: false, request: request) } }
        end(request: request)
    }

    fileprivate func abort(request: UInt64) {
        guard let context, request == requestNumber else { return }
        context.close(promise: nil)
    }

    fileprivate func write(_ bytes: UnsafeRawBufferPointer, flushes: Bool = true, request: UInt64) {
        guard let context, request == requestNumber, hasStarted, head?.method != .HEAD, bytes.count > 0 else { return }
        guard queuedBytes + bytes.count <= max(TransportLimits.httpQueuedBytesMax, bytes.count) else {
            // A reader too slow for an answer in pieces.
            context.close(promise: nil)
            return
        }
        let count = bytes.count
        queuedBytes += count
        loop.counters.queuedBytes.add(count)
        loop.counters.bytesSent.add(count)
        let written = context.eventLoop.makePromise(of: Void.self)
        nonisolated(unsafe) let this = self
        written.futureResult.whenComplete { _ in this.wrote(count) }
        let part = wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: bytes))))
        if flushes { context.writeAndFlush(part, promise: written) } else { context.write(part, promise: written) }
    }

    private func wrote(_ count: Int) {
        guard !isCut else { return }
        let wasHigh = queuedBytes >= TransportLimits.queuedLowBytes
        queuedBytes -= count
        loop.counters.queuedBytes.add(-count)
        if wasHigh, queuedBytes < TransportLimits.queuedLowBytes { loop.batch { responder?.becameWritable() } }
    }

    fileprivate func end(request: UInt64) {
        guard let context, request == requestNumber, hasStarted else { return }
        responder = nil
        hasStarted = false
        head = nil
        endBody()
        // A body that is still coming is not waited for.
        if !isComplete { keepsAlive = false }
        if keepsAlive {
            headerGuard.requestDone()
            context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        } else {
            nonisolated(unsafe) let context = context
            context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in context.close(promise: nil) }
        }
    }
}

extension HTTP1Handler: HTTPBodySource {
    func setBodyPaused(_ isPaused: Bool) { headerGuard.setPaused(isPaused) }

    /// One request at a time, whose reader has a limit of its own.
    func accountBody(_ change: Int) {
        receivedBytes += change
        loop.counters.receivedPartialBytes.add(change)
    }

    func allowEndlessBody() {
        bodyTimer?.cancel()
        bodyTimer = nil
    }
}

extension HTTP1Handler: MemoryHolder {
    /// What waits in the channel, behind TLS too, is counted until it is written.
    var heldBytes: Int { receivedBytes + queuedBytes }

    func cut() {
        guard !isCut, let context else { return }
        isCut = true
        loop.counters.queuedBytes.add(-queuedBytes)
        queuedBytes = 0
        gone()
        context.close(promise: nil)
    }
}

/// Leads a responder to the connection, as long as that is about the same request.
private final class HTTP1ResponseSink: HTTPResponseSink {
    private weak var handler: HTTP1Handler?
    private let request: UInt64

    init(_ handler: HTTP1Handler, _ request: UInt64, loop: ServerLoop) {
        self.handler = handler
        self.request = request
    }

    func start(_ status: Int, _ headers: HTTPFields, length: Int?) {
        handler?.start(status, headers, length: length, request: request)
    }
    func write(_ bytes: UnsafeRawBufferPointer) { handler?.write(bytes, request: request) }
    func respond(_ status: Int, _ headers: HTTPFields, body: [UInt8]) {
        handler?.respond(status, headers, body: body, request: request)
    }
    func abort() { handler?.abort(request: request) }
    func end() { handler?.end(request: request) }
    var queuedBytes: Int { handler?.queuedBytes ?? 0 }
}
