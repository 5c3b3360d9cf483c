// Holds back accepting while a listener has as many connections as it may.

import NIOCore

/// On the listening channel: passes `read` (accept) on only while there is room. Waiting clients stay in the
/// kernel's queue, as behind Go's LimitListener.
final class ConnectionLimiter: ChannelDuplexHandler {
    typealias InboundIn = any Channel
    typealias InboundOut = any Channel
    typealias OutboundIn = any Channel
    typealias OutboundOut = any Channel

    private let limit: Int
    private var open = 0
    private var wantsRead = false

    init(limit: Int) { self.limit = limit }

    func read(context: ChannelHandlerContext) {
        if open >= limit { wantsRead = true } else { context.read() }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let child = unwrapInboundIn(data)
        // One accept may bring several connections, so the limit can be passed by a few.
        open += 1
        nonisolated(unsafe) let context = context
        nonisolated(unsafe) let this = self
        child.closeFuture.hop(to: context.eventLoop).whenComplete { _ in
            this.closed(context)
        }
        context.fireChannelRead(data)
    }

    private func closed(_ context: ChannelHandlerContext) {
        open -= 1
        if wantsRead, open < limit {
            wantsRead = false
            context.read()
        }
    }
}
