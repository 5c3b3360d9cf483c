// One HTTP/2 connection of the server: an nghttp2 session between a NIO channel and the calls on it.
//
// nghttp2 calls back while it parses or emits; those callbacks must neither run it again nor free it. Hence:
// input is parsed in `channelRead`, where handlers run and only queue; output is made in `flush`, where no
// handler runs (what happens then is noted and told afterwards); closing only ever sets a flag.

import CNGHTTP2
import NIOCore
import Wire

final class ServerConnection: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    let loop: ServerLoop
    let endpoint: Endpoint
    let remoteAddress: String
    /// Who is at the other end; nil without TLS.
    let peer: PeerIdentity?

    @exclusivity(unchecked) var session: OpaquePointer!
    private(set) var context: ChannelHandlerContext?

    /// In the loop's list of connections to flush.
    @exclusivity(unchecked) var isDirty = false
    /// nghttp2 is running; it must not be entered or freed.
    @exclusivity(unchecked) private(set) var isInSession = false
    @exclusivity(unchecked) private(set) var isSending = false
    @exclusivity(unchecked) private var isFlushing = false
    @exclusivity(unchecked) private var isGone = false

    /// What the observer calls the client at the other end; 0: not yet known.
    @exclusivity(unchecked) var client: UInt32 = 0

    /// Calls of this connection, a list through their slots.
    @exclusivity(unchecked) var firstCall = CallTable.none
    @exclusivity(unchecked) var openCalls = 0
    /// The call whose header list is being received.
    @exclusivity(unchecked) var currentHead = CallTable.none
    /// The call whose output was read last.
    @exclusivity(unchecked) var lastReadCall = CallTable.none
    /// What that list has brought so far.
    @exclusivity(unchecked) var headParts: HeadParts = []
    /// Calls whose request lies in the read being parsed.
    @exclusivity(unchecked) var borrowers: [UInt32] = []
    /// Memory held by half-received messages, and by output that waits.
    @exclusivity(unchecked) var partialBytes = 0
    @exclusivity(unchecked) var queuedBytes = 0
    /// What the socket has not taken, encrypted or not, while that is enough to stop the connection.
    @exclusivity(unchecked) private var behindSocketBytes = 0
    var heldBytes: Int { partialBytes + queuedBytes + behindSocketBytes }
    /// Calls that will be reset behind the end of their answer.
    @exclusivity(unchecked) var owedResets = 0

    /// What happened while nghttp2 was emitting, to be told afterwards.
    @exclusivity(unchecked) var closedWhileSending: [(call: UInt32, error: UInt32)] = []
    @exclusivity(unchecked) var writableCalls: [(call: UInt32, generation: UInt32)] = []

    @exclusivity(unchecked) var pings: PingPolicy
    @exclusivity(unchecked) var settings: SettingsPolicy
    /// The rest of the read is not wanted: the session ends in the middle of it.
    @exclusivity(unchecked) var stopsParsing = false
    @exclusivity(unchecked) private var lastRead: UInt64
    private var keepaliveTask: Scheduled<Void>?

    enum Closing {
        case no
        /// GOAWAY was announced; calls in progress end by themselves.
        case draining
        /// As soon as what is queued is written.
        case whenFlushed
        case closed
    }
    @exclusivity(unchecked) var closing = Closing.no
    /// The final GOAWAY of a drain, which names the last stream, was sent.
    var isFinalGoawaySent = false

    private var holdsRead = false
    /// Bytes that came since the socket last took some.
    private var receivedWhileStuck = 0

    init(loop: ServerLoop, endpoint: Endpoint, remoteAddress: String, peer: PeerIdentity?) {
        self.loop = loop
        self.endpoint = endpoint
        self.remoteAddress = remoteAddress
        self.peer = peer
        pings = PingPolicy(endpoint.configuration.keepalive)
        settings = SettingsPolicy(now: loop.now)
        lastRead = loop.now
    }

    // MARK: Channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        session = NGHTTP2Server.makeSession(self)
        submitSettings()
        loop.register(self)
        lastRead = monotonicNanoseconds()
        scheduleKeepalive(after: endpoint.configuration.keepalive.interval)
        loop.markDirty(self)
    }

    func handlerRemoved(context: ChannelHandlerContext) { tearDown() }

    func channelInactive(context: ChannelHandlerContext) {
        tearDown()
        loop.endBatch()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // The socket failed: there is nobody to tell. channelInactive follows.
        context.close(promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let buffer = unwrapInboundIn(data)
        guard !isGone, closing == .no || closing == .draining else { return }
        loop.beginBatch()
        lastRead = loop.now
        loop.counters.bytesReceived.add(buffer.readableBytes)
        if !context.channel.isWritable {
            receivedWhileStuck += buffer.readableBytes
            if receivedWhileStuck > TransportLimits.receivedWhileStuckBytesMax {
                loop.counters.connectionsRejected.add(1)
                context.close(promise: nil)
                return
            }
        }
        buffer.withUnsafeReadableBytes(parse)
        loop.markDirty(self)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        loop.endBatch()
        context.fireChannelReadComplete()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { loop.batch { loop.markDirty(self) } }
        context.fireChannelWritabilityChanged()
    }

    /// NIO asks to read on; while too much waits behind the socket it has to wait too.
    func read(context: ChannelHandlerContext) {
        if !context.channel.isWritable, !isGone,
            queuedBytes > TransportLimits.queuedBehindSocketBytesMax
                || nghttp2_session_get_outbound_queue_size(session) > TransportLimits.framesQueuedMax
        {
            holdsRead = true
        } else {
            context.read()
        }
    }

    // MARK: Parsing

    private func parse(_ bytes: UnsafeRawBufferPointer) {
        precondition(!isInSession)
        isInSession = true
        let used = nghttp2_session_mem_recv(session, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count)
        isInSession = false
        keepBorrowed()
        if used < 0 {
            // A broken preface, a flood or no memory. Other protocol errors are answered by nghttp2 itself.
            loop.counters.connectionsRejected.add(1)
            closeWhenFlushed()
        } else if nghttp2_session_want_read(session) == 0 {
            // nghttp2 has ended the session (its GOAWAY is queued), or both sides are through.
            closeWhenFlushed()
        }
    }

    // MARK: Emitting

    /// Sends what there is to send, within the bounds of a turn. Called at the end of a batch.
    func flush() {
        guard let context, !isGone, !isFlushing, !isInSession else { return }
        isFlushing = true
        var turn = 0
        while !isGone, context.channel.isWritable {
            isInSession = true
            isSending = true
            loop.emittedAt = monotonicNanoseconds()
            let buffer = loop.staging.fill(emit)
            let wasFull = loop.staging.isFull
            isSending = false
            isInSession = false
            if let buffer {
                receivedWhileStuck = 0
                turn += buffer.readableBytes
                loop.counters.bytesSent.add(buffer.readableBytes)
                context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
                if wasFull, isHeldBack(context) { loop.staging.isHeldBack() }
            }
            tellAfterSending()
            if !wasFull { break }
            if turn >= TransportLimits.outputTurnBytes {
                // The other connections' turn; this one goes on in the next.
                loop.later { [self] in loop.markDirty(self) }
                break
            }
        }
        isFlushing = false
        guard !isGone else { return }
        countBehindSocket(context)
        if holdsRead, context.channel.isWritable {
            holdsRead = false
            context.read()
        }
        closeIfDone(context)
    }

    private func countBehindSocket(_ context: ChannelHandlerContext) {
        let isStuck = !context.channel.isWritable
        guard isStuck || behindSocketBytes > 0 else { return }
        let waiting = isStuck ? (try? context.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0 : 0
        loop.counters.queuedBytes.add(waiting - behindSocketBytes)
        behindSocketBytes = waiting
    }

    /// Whether the channel still has bytes that the socket did not take.
    private func isHeldBack(_ context: ChannelHandlerContext) -> Bool {
        guard let waiting = try? context.channel.syncOptions?.getOption(.bufferedWritableBytes) else { return true }
        return waiting > 0
    }

    private func emit() {
        while !loop.staging.isFull {
            var bytes: UnsafePointer<UInt8>?
            let length = nghttp2_session_mem_send(session, &bytes)
            if length < 0 {
                closing = .whenFlushed
                break
            }
            if length == 0 { break }
            keepAhead()
            loop.staging.append(bytes.unsafelyUnwrapped, length)
        }
        keepAhead()
    }

    // MARK: Closing

    func closeWhenFlushed() {
        if closing != .closed { closing = .whenFlushed }
        loop.markDirty(self)
    }

    private func closeIfDone(_ context: ChannelHandlerContext) {
        switch closing {
        case .closed: return
        case .no, .draining:
            guard nghttp2_session_want_read(session) == 0, nghttp2_session_want_write(session) == 0 else {
                if closing == .draining, isFinalGoawaySent, openCalls == 0 { break }
                return
            }
        case .whenFlushed:
            // A peer that does not read must not keep a refused connection: what the socket takes now is enough.
            break
        }
        closing = .closed
        nonisolated(unsafe) let context = context
        let written = context.eventLoop.makePromise(of: Void.self)
        context.writeAndFlush(wrapOutboundOut(ByteBuffer()), promise: written)
        let limit = context.eventLoop.scheduleTask(in: .seconds(1)) { context.close(promise: nil) }
        written.futureResult.whenComplete { _ in
            limit.cancel()
            context.close(promise: nil)
        }
    }

    /// The channel is gone, or soon will be: every call is cancelled, the session freed.
    private func tearDown() {
        guard !isGone, session != nil else { return }
        precondition(!isInSession, "a connection was torn down from inside its session")
        isGone = true
        closing = .closed
        loop.counters.queuedBytes.add(-behindSocketBytes)
        behindSocketBytes = 0
        keepaliveTask?.cancel()
        loop.batch {
            while firstCall != CallTable.none {
                let index = firstCall
                cancel(index, .connectionLost)
                release(index)
            }
        }
        closedWhileSending.removeAll()
        writableCalls.removeAll()
        nghttp2_session_del(session)
        session = nil
        context = nil
        loop.unregister(self)
    }

    /// Ends the connection at once, without a word: its calls are cancelled and give back what they hold.
    func cut() {
        guard !isGone, let context else { return }
        precondition(!isInSession && !isFlushing)
        tearDown()
        context.close(promise: nil)
    }

    /// Announces that no new calls are taken and lets those in progress end.
    func drain() {
        guard !isGone, closing == .no else { return }
        closing = .draining
        nghttp2_submit_shutdown_notice(session)
        // When its acknowledgement comes, the client has seen the notice: what it had sent before is here.
        nghttp2_submit_ping(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), nil)
        loop.markDirty(self)
    }

    func sendFinalGoaway() {
        guard !isGone, closing == .draining, !isFinalGoawaySent else { return }
        isFinalGoawaySent = true
        nghttp2_submit_goaway(
            session, UInt8(NGHTTP2_FLAG_NONE.rawValue), nghttp2_session_get_last_proc_stream_id(session),
            NGHTTP2_NO_ERROR.rawValue, nil, 0)
        loop.markDirty(self)
    }

    /// Ends everything now.
    func terminate() {
        guard !isGone else { return }
        var index = firstCall
        while index != CallTable.none {
            let slot = loop.calls[index]
            let next = slot.pointee.next
            if slot.pointee.flags.contains(.alive) {
                end(index, slot, .unavailable, "the server is shutting down", telling: .shutdown)
            }
            index = next
        }
        if !isFinalGoawaySent {
            closing = .draining
            sendFinalGoaway()
        }
        closeWhenFlushed()
    }

    // MARK: Keepalive

    private func scheduleKeepalive(after wait: Duration) {
        let nanoseconds = Int64(clamping: wait.nanosecondsClamped)
        nonisolated(unsafe) weak let this = self
        keepaliveTask = loop.eventLoop.scheduleTask(in: .nanoseconds(nanoseconds)) { this?.keepaliveFired() }
    }

    private var keepalivePinged: UInt64?

    private func keepaliveFired() {
        guard !isGone else { return }
        let policy = endpoint.configuration.keepalive
        let now = monotonicNanoseconds()
        if let pinged = keepalivePinged {
            keepalivePinged = nil
            if lastRead < pinged {
                // The client did not answer: it is gone, whatever the kernel believes.
                context?.close(promise: nil)
                return
            }
        }
        let idle = now &- lastRead
        let interval = policy.interval.nanosecondsClamped
        if idle >= interval {
            keepalivePinged = now
            loop.batch {
                nghttp2_submit_ping(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), nil)
                loop.markDirty(self)
            }
            scheduleKeepalive(after: policy.timeout)
        } else {
            scheduleKeepalive(after: .nanoseconds(Int64(clamping: interval - idle)))
        }
    }

    // MARK: Settings

    private func submitSettings() {
        var settings = [
            nghttp2_settings_entry(settings_id: Int32(NGHTTP2_SETTINGS_MAX_FRAME_SIZE.rawValue), value: 16384),
            nghttp2_settings_entry(
                settings_id: Int32(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE.rawValue),
                value: UInt32(TransportLimits.streamWindowBytes)),
        ]
        if endpoint.configuration.concurrentStreamsMax != .max {
            settings.append(
                nghttp2_settings_entry(
                    settings_id: Int32(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS.rawValue),
                    value: endpoint.configuration.concurrentStreamsMax))
        }
        nghttp2_submit_settings(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), settings, settings.count)
        nghttp2_session_set_local_window_size(
            session, UInt8(NGHTTP2_FLAG_NONE.rawValue), 0, Int32(TransportLimits.connectionWindowBytes))
    }
}
