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
    private let peerCommonName: String?
    private let headerGuard: HTTP1HeaderGuard

    private var context: ChannelHandlerContext?
    private var head: HTTPRequestHead?
    private var body: [UInt8] = []
    private var isRefused = false
    private var isComplete = false
    private var keepsAlive = true
    /// Tells answers to this request from late ones to an earlier.
    private var requestNumber: UInt64 = 0
    private weak var responder: HTTPResponder?
    fileprivate var queuedBytes = 0
    private var hasStarted = false

    init(
        loop: ServerLoop, endpoint: Endpoint, remoteAddress: String, peerCommonName: String?, headerGuard: HTTP1HeaderGuard
    ) {
        self.loop = loop
        self.endpoint = endpoint
        self.remoteAddress = remoteAddress
        self.peerCommonName = peerCommonName
        self.headerGuard = headerGuard
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
        responder?.peerIsGone()
        responder = nil
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
            let expectsContinue = head.headers[canonicalForm: "expect"].contains { $0.lowercased() == "100-continue" }
            if let length = head.headers.first(name: "content-length").flatMap({ Int($0) }),
                length > endpoint.configuration.httpBodyBytesMax
            {
                refuseBody(context)
            } else if expectsContinue, head.version == .http1_1 {
                let interim = HTTPResponseHead(version: .http1_1, status: .continue)
                context.writeAndFlush(wrapOutboundOut(.head(interim)), promise: nil)
            }
        case .body(let part):
            guard !isRefused else { return }
            guard body.count + part.readableBytes <= endpoint.configuration.httpBodyBytesMax else {
                return refuseBody(context)
            }
            body.append(contentsOf: part.readableBytesView)
        case .end:
            isComplete = true
            guard let head, !isRefused else { return }
            handle(head)
        }
    }

    private func refuseBody(_ context: ChannelHandlerContext) {
        isRefused = true
        keepsAlive = false
        body = []
        respond(.error(413, "http: request body too large"))
    }

    private func handle(_ head: HTTPRequestHead) {
        var fields = HTTPFields()
        for (name, value) in head.headers { fields.add(name, value) }
        let (path, query) = splitTarget(head.uri)
        let isHead = head.method == .HEAD
        let responder = HTTPResponder(
            loop: loop, sink: HTTP1ResponseSink(self, requestNumber, loop: loop), isHead: isHead)
        self.responder = responder
        let request = HTTPRequest(
            method: head.method.rawValue, path: path, query: query, authority: fields["host"] ?? "", headers: fields,
            body: body, version: .http1, remoteAddress: remoteAddress, peerCommonName: peerCommonName)
        body = []
        loop.batch {
            if let http = endpoint.http { http.handle(request, responder) } else { responder.respond(.notFound) }
        }
    }

    private func respond(_ response: HTTPResponse) {
        start(response.status, response.headers, length: response.body.count, request: requestNumber)
        write(response.body, request: requestNumber)
        end(request: requestNumber)
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

    fileprivate func write(_ bytes: [UInt8], request: UInt64) {
        guard let context, request == requestNumber, hasStarted, head?.method != .HEAD, !bytes.isEmpty else { return }
        guard queuedBytes + bytes.count <= max(TransportLimits.httpQueuedBytesMax, bytes.count) else {
            // A reader too slow for an answer in pieces.
            context.close(promise: nil)
            return
        }
        let count = bytes.count
        queuedBytes += count
        loop.counters.bytesSent.add(count)
        let written = context.eventLoop.makePromise(of: Void.self)
        nonisolated(unsafe) let this = self
        written.futureResult.whenComplete { _ in this.wrote(count) }
        context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: bytes)))), promise: written)
    }

    private func wrote(_ count: Int) {
        let wasHigh = queuedBytes >= TransportLimits.queuedLowBytes
        queuedBytes -= count
        if wasHigh, queuedBytes < TransportLimits.queuedLowBytes { responder?.becameWritable() }
    }

    fileprivate func end(request: UInt64) {
        guard let context, request == requestNumber, hasStarted else { return }
        responder = nil
        hasStarted = false
        head = nil
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
    func write(_ bytes: [UInt8]) { handler?.write(bytes, request: request) }
    func end() { handler?.end(request: request) }
    var queuedBytes: Int { handler?.queuedBytes ?? 0 }
}

/// Closes connections whose request head does not come to an end in time. In front of the parser, because
/// only there a first byte can be seen. An idle connection between requests may stay. And does not read from
/// one that takes no answers.
final class HTTP1HeaderGuard: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let loop: ServerLoop
    private let limit: TimeAmount
    private var isBetweenRequests = true
    private var holdsRead = false
    private var timer: Scheduled<Void>?

    init(loop: ServerLoop, limit: TimeAmount) {
        self.loop = loop
        self.limit = limit
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        loop.counters.bytesReceived.add(unwrapInboundIn(data).readableBytes)
        if isBetweenRequests, timer == nil {
            nonisolated(unsafe) let context = context
            timer = context.eventLoop.scheduleTask(in: limit) { context.close(promise: nil) }
        }
        context.fireChannelRead(data)
    }

    func channelInactive(context: ChannelHandlerContext) {
        timer?.cancel()
        context.fireChannelInactive()
    }

    func read(context: ChannelHandlerContext) {
        if context.channel.isWritable { context.read() } else { holdsRead = true }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if holdsRead, context.channel.isWritable {
            holdsRead = false
            context.read()
        }
        context.fireChannelWritabilityChanged()
    }

    func headArrived() {
        isBetweenRequests = false
        timer?.cancel()
        timer = nil
    }

    func requestDone() { isBetweenRequests = true }
}
