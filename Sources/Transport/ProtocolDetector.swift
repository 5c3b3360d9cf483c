// The first bytes of a connection decide what it speaks: the HTTP/2 preface, or else HTTP/1.
// Under TLS it stands behind the TLS handler and sees plain bytes.

import NIOCore

/// First handler of a connection; replaced by the right ones when the protocol is known.
final class ProtocolDetector: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    private let loop: ServerLoop
    private let endpoint: Endpoint
    private let remoteAddress: String
    private var peer: PeerIdentity?
    private var received = ByteBuffer()
    private var timer: Scheduled<Void>?
    private var context: ChannelHandlerContext?

    init(loop: ServerLoop, endpoint: Endpoint, remoteAddress: String) {
        self.loop = loop
        self.endpoint = endpoint
        self.remoteAddress = remoteAddress
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        loop.register(detector: self)
        nonisolated(unsafe) let context = context
        let limit = Int64(clamping: endpoint.configuration.handshakeTimeout.nanosecondsClamped)
        timer = context.eventLoop.scheduleTask(in: .nanoseconds(limit)) { context.close(promise: nil) }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        timer?.cancel()
        loop.unregister(detector: self)
        self.context = nil
    }

    /// The server is going down.
    func close() { context?.close(promise: nil) }

    func channelInactive(context: ChannelHandlerContext) {
        timer?.cancel()
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let peer = event as? PeerIdentity { self.peer = peer }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        if received.readableBytes == 0 { received = bytes } else { received.writeBuffer(&bytes) }
        let seen = received.readableBytesView.prefix(Self.preface.count)
        if seen.elementsEqual(Self.preface.prefix(seen.count)) {
            guard seen.count == Self.preface.count else { return }
            become(context) { try context.pipeline.syncOperations.addHandler($0.http2()) }
        } else {
            become(context) { try $0.addHTTP1(context) }
        }
    }

    private func http2() -> ServerConnection {
        ServerConnection(loop: loop, endpoint: endpoint, remoteAddress: remoteAddress, peer: peer)
    }

    private func addHTTP1(_ context: ChannelHandlerContext) throws {
        let limit = Int64(clamping: endpoint.configuration.readHeaderTimeout.nanosecondsClamped)
        let pipeline = HTTP1Pipeline(HTTP1HeaderGuard(loop: loop, limit: .nanoseconds(limit)))
        try pipeline.add(
            to: context.pipeline.syncOperations,
            HTTP1Handler(
                loop: loop, endpoint: endpoint, remoteAddress: remoteAddress, peer: peer, pipeline: pipeline))
    }

    private func become(_ context: ChannelHandlerContext, _ add: (ProtocolDetector) throws -> Void) {
        timer?.cancel()
        do {
            try add(self)
        } catch {
            // The channel went away meanwhile.
            context.close(promise: nil)
            return
        }
        let first = received
        received = ByteBuffer()
        context.fireChannelRead(wrapInboundOut(first))
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }
}
