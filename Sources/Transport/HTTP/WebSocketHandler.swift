// A WebSocket as one request and its answer: each message of the client is a line of the body, each line of the answer a message.

import NIOCore
import NIOWebSocket
import Wire

/// One connection after its upgrade.
final class WebSocketHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = WebSocketFrame
    typealias OutboundOut = WebSocketFrame

    private let loop: ServerLoop
    private let endpoint: Endpoint
    private let headerGuard: HTTP1HeaderGuard
    private var context: ChannelHandlerContext?
    private var responder: HTTPResponder?
    private var body: HTTPBodyStream?
    private var sink: LineSink?
    /// Bytes of the client's message that is arriving in fragments.
    private var messageBytes = 0
    private var isInMessage = false
    private var isClosing = false
    private var isCut = false
    fileprivate private(set) var queuedBytes = 0
    /// Of what the client has said, with who reads it.
    private var receivedBytes = 0

    /// A frame, and a message of several, are no longer than a body may be.
    var frameBytesMax: Int { min(endpoint.configuration.httpBodyBytesMax, Int(UInt32.max)) }

    init(loop: ServerLoop, endpoint: Endpoint, headerGuard: HTTP1HeaderGuard) {
        self.loop = loop
        self.endpoint = endpoint
        self.headerGuard = headerGuard
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        loop.register(webSocket: self)
    }

    func handlerRemoved(context: ChannelHandlerContext) { gone() }

    func channelInactive(context: ChannelHandlerContext) {
        gone()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let error = error as? NIOWebSocketError else { return context.close(promise: nil) }
        loop.counters.connectionsRejected.add(1)
        close(error == .invalidFrameLength ? .messageTooLarge : .protocolError)
    }

    func serve(_ request: HTTPRequest, by http: any HTTPHandler) {
        var request = request
        let body = HTTPBodyStream(self, hasNoEnd: true)
        self.body = body
        request.bodyStream = body
        let sink = LineSink(self)
        self.sink = sink
        let responder = HTTPResponder(loop: loop, sink: sink, isHead: false)
        self.responder = responder
        loop.batch { http.handle(request, responder) }
    }

    /// The server is going down.
    func terminate() { close(.goingAway) }

    private func gone() {
        guard context != nil else { return }
        context = nil
        loop.unregister(webSocket: self)
        endExchange()
    }

    /// Nobody reads or answers any more; a call that runs is cancelled.
    private func endExchange() {
        let stream = body
        let answering = responder
        body = nil
        responder = nil
        loop.batch {
            answering?.peerIsGone()
            stream?.detach()
        }
    }

    // MARK: From the client

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let frame = unwrapInboundIn(data)
        guard !isClosing else { return }
        switch frame.opcode {
        case .text, .binary:
            guard !isInMessage else { return close(.protocolError) }
            part(frame)
        case .continuation:
            guard isInMessage else { return close(.protocolError) }
            part(frame)
        case .ping:
            guard frame.fin, frame.length <= 125 else { return close(.protocolError) }
            send(.pong, frame.unmaskedData)
        case .pong: break
        case .connectionClose:
            var data = frame.unmaskedData
            close(data.readWebSocketErrorCode() ?? .normalClosure)
        default: close(.protocolError)
        }
    }

    private func part(_ frame: WebSocketFrame) {
        // A client has to mask what it sends.
        guard frame.maskKey != nil else { return close(.protocolError) }
        messageBytes += frame.length
        guard messageBytes <= frameBytesMax else {
            loop.counters.connectionsRejected.add(1)
            return close(.messageTooLarge)
        }
        isInMessage = !frame.fin
        loop.batch {
            frame.unmaskedData.withUnsafeReadableBytes { body?.deliver($0) }
            if frame.fin {
                messageBytes = 0
                withUnsafeBytes(of: UInt8(ascii: "\n")) { body?.deliver($0) }
            }
        }
    }

    // MARK: To the client

    fileprivate func send(_ opcode: WebSocketOpcode, fin: Bool = true, _ data: ByteBuffer) {
        guard let context, !isClosing else { return }
        let count = data.readableBytes
        guard queuedBytes + count <= max(TransportLimits.httpQueuedBytesMax, count) else {
            // A reader too slow for an answer in pieces.
            return context.close(promise: nil)
        }
        queuedBytes += count
        loop.counters.queuedBytes.add(count)
        loop.counters.bytesSent.add(count)
        let written = context.eventLoop.makePromise(of: Void.self)
        nonisolated(unsafe) let this = self
        written.futureResult.whenComplete { _ in this.wrote(count) }
        context.writeAndFlush(wrapOutboundOut(WebSocketFrame(fin: fin, opcode: opcode, data: data)), promise: written)
    }

    private func wrote(_ count: Int) {
        guard !isCut else { return }
        let wasHigh = queuedBytes >= TransportLimits.queuedLowBytes
        queuedBytes -= count
        loop.counters.queuedBytes.add(-count)
        if wasHigh, queuedBytes < TransportLimits.queuedLowBytes { loop.batch { responder?.becameWritable() } }
    }

    /// Says goodbye and closes; what is queued goes out first.
    fileprivate func close(_ code: WebSocketErrorCode) {
        guard let context, !isClosing else { return }
        isClosing = true
        endExchange()
        var data = context.channel.allocator.buffer(capacity: 2)
        data.write(webSocketErrorCode: code)
        nonisolated(unsafe) let closing = context
        let limit = context.eventLoop.scheduleTask(in: .seconds(1)) { closing.close(promise: nil) }
        context.writeAndFlush(wrapOutboundOut(WebSocketFrame(fin: true, opcode: .connectionClose, data: data))).whenComplete { _ in
            limit.cancel()
            closing.close(promise: nil)
        }
    }

    fileprivate func answerEnded() {
        // The exchange is complete: nobody is to be told of its end.
        responder = nil
        close(.normalClosure)
    }

    fileprivate func answerAborted() {
        responder = nil
        context?.close(promise: nil)
    }
}

extension WebSocketHandler: HTTPBodySource {
    func setBodyPaused(_ isPaused: Bool) { headerGuard.setPaused(isPaused) }
    func accountBody(_ change: Int) {
        receivedBytes += change
        loop.counters.receivedPartialBytes.add(change)
    }
    func allowEndlessBody() {}
}

extension WebSocketHandler: MemoryHolder {
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

/// Makes messages of lines. A long line goes out in fragments as it comes.
private final class LineSink: HTTPResponseSink {
    private weak var handler: WebSocketHandler?
    private var line = ByteBuffer()
    private var isInLine = false

    init(_ handler: WebSocketHandler) { self.handler = handler }

    /// There is no place for a status and headers; errors show in the line.
    func start(_ status: Int, _ headers: HTTPFields, length: Int?) {}

    func write(_ bytes: UnsafeRawBufferPointer) {
        var rest = bytes
        while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
            line.writeBytes(UnsafeRawBufferPointer(rebasing: rest[..<end]))
            flush(fin: true)
            rest = UnsafeRawBufferPointer(rebasing: rest[(end + 1)...])
        }
        line.writeBytes(rest)
        if line.readableBytes >= TransportLimits.webSocketFragmentBytes { flush(fin: false) }
    }

    private func flush(fin: Bool) {
        let data = line
        line = ByteBuffer()
        // An empty line is no message.
        guard isInLine || data.readableBytes > 0 else { return }
        handler?.send(isInLine ? .continuation : .text, fin: fin, data)
        isInLine = !fin
    }

    func end() {
        flush(fin: true)
        handler?.answerEnded()
    }

    func respond(_ status: Int, _ headers: HTTPFields, body: [UInt8]) {
        body.withUnsafeBytes(write)
        end()
    }

    func abort() { handler?.answerAborted() }
    var queuedBytes: Int { handler?.queuedBytes ?? 0 }
}
