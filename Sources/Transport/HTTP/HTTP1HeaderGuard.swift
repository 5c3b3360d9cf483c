// In front of the HTTP/1 parser: time for request heads, and reading that waits for who cannot keep up.

import NIOCore

/// Closes connections whose request head does not come to an end in time. In front of the parser, because
/// only there a first byte can be seen. An idle connection between requests may stay. And does not read from
/// one that takes no answers, or whose request body nobody takes.
final class HTTP1HeaderGuard: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let loop: ServerLoop
    private let limit: TimeAmount
    private var isBetweenRequests = true
    private var holdsRead = false
    private var isPaused = false
    private var context: ChannelHandlerContext?
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

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
        timer?.cancel()
        self.context = nil
    }

    func read(context: ChannelHandlerContext) {
        if context.channel.isWritable, !isPaused { context.read() } else { holdsRead = true }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        readIfHeld(context)
        context.fireChannelWritabilityChanged()
    }

    /// Whether the body's reader wants no more for now.
    func setPaused(_ isPaused: Bool) {
        self.isPaused = isPaused
        if let context { readIfHeld(context) }
    }

    private func readIfHeld(_ context: ChannelHandlerContext) {
        guard holdsRead, !isPaused, context.channel.isWritable else { return }
        holdsRead = false
        context.read()
    }

    func headArrived() {
        isBetweenRequests = false
        timer?.cancel()
        timer = nil
    }

    func requestDone() { isBetweenRequests = true }
}
