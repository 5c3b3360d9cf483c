// Holds back accepting while a listener, or the whole server, has as many connections as it may.

import NIOCore

/// On the listening channel: passes `read` (accept) on only while there is room. Waiting clients stay in the
/// kernel's queue, as behind Go's LimitListener.
final class ConnectionLimiter: ChannelDuplexHandler {
    typealias InboundIn = any Channel
    typealias InboundOut = any Channel
    typealias OutboundIn = any Channel
    typealias OutboundOut = any Channel

    private let limit: Int
    private let budget: ConnectionBudget?
    private var open = 0
    private var wantsRead = false

    init(limit: Int, budget: ConnectionBudget?) {
        self.limit = limit
        self.budget = budget
    }

    func read(context: ChannelHandlerContext) {
        if open < limit, budget?.hasRoom ?? true { return context.read() }
        wantsRead = true
        budget?.paused()
        guard open < limit, let budget else { return }
        nonisolated(unsafe) let context = context
        nonisolated(unsafe) let this = self
        budget.wait(self) { context.eventLoop.execute { this.resume(context) } }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let child = unwrapInboundIn(data)
        // One accept may bring several connections, so the limit can be passed by a few.
        open += 1
        budget?.opened()
        nonisolated(unsafe) let context = context
        nonisolated(unsafe) let this = self
        let budget = budget
        child.closeFuture.whenComplete { _ in budget?.closed() }
        child.closeFuture.hop(to: context.eventLoop).whenComplete { _ in
            this.open -= 1
            this.resume(context)
        }
        context.fireChannelRead(data)
    }

    func handlerRemoved(context: ChannelHandlerContext) { budget?.forget(self) }

    /// There may be room: the accept that was held back goes on, or waits again.
    private func resume(_ context: ChannelHandlerContext) {
        guard wantsRead else { return }
        wantsRead = false
        read(context: context)
    }
}
