// A gRPC client connection: an nghttp2 client session on a NIO event loop, made to cost little per call.
// Calls live in a slab as on the server; completion is reported by tag. The same rules hold: nghttp2 is never
// entered or freed from its own callbacks.

import CNGHTTP2
import NIOCore
import NIOPosix
import Wire

/// One connection. Everything but `connect` and `execute` is to be used on `eventLoop`.
public final class ClientConnection: ChannelInboundHandler, @unchecked Sendable {
    // Unchecked: confined to the event loop.
    public typealias InboundIn = ByteBuffer
    public typealias OutboundOut = ByteBuffer

    public let eventLoop: any EventLoop
    public let authority: String
    let configuration: ClientConfiguration
    /// Kept alive by the connection until that is closed.
    @exclusivity(unchecked) var observer: (any ClientObserver)?

    @exclusivity(unchecked) var session: OpaquePointer!
    var context: ChannelHandlerContext?
    @exclusivity(unchecked) var slots: [ClientSlot] = []
    @exclusivity(unchecked) var free: [UInt32] = []
    /// nghttp2 refers to the header fields of calls that wait to be sent.
    var methods: [ObjectIdentifier: ClientMethod] = [:]
    @exclusivity(unchecked) var lastMethod: ClientMethod?
    @exclusivity(unchecked) public internal(set) var openCalls = 0
    let arena = ByteSink(capacity: 16 << 10)
    @exclusivity(unchecked) private var staging = OutputStaging()
    @exclusivity(unchecked) var arenaCalls: [UInt32] = []
    @exclusivity(unchecked) var endedWhileSending: [(call: UInt32, error: UInt32)] = []
    @exclusivity(unchecked) var writableCalls: [ClientCall] = []
    @exclusivity(unchecked) private var depth = 0
    @exclusivity(unchecked) private(set) var isInSession = false
    @exclusivity(unchecked) private(set) var isSending = false
    private var isFlushScheduled = false
    /// Set by the peer's GOAWAY: no new calls.
    public internal(set) var isGoingAway = false
    public internal(set) var goawayError: UInt32?
    /// The server has introduced itself: it speaks HTTP/2.
    public internal(set) var hasSettings = false
    @exclusivity(unchecked) var isGranting = true
    var ungranted: [Int32: Int] = [:]
    /// When bytes last came, in monotonic nanoseconds; at first when the connection was made.
    @exclusivity(unchecked) public private(set) var lastRead = monotonicNanoseconds()
    /// What calls in progress are told when the connection closes.
    private(set) var closeReason = "the connection is closed"

    init(eventLoop: any EventLoop, authority: String, configuration: ClientConfiguration, observer: any ClientObserver) {
        self.eventLoop = eventLoop
        self.authority = authority
        self.configuration = configuration
        self.observer = observer
    }

    deinit { for index in slots.indices { slots[index].output.destroy() } }

    /// Connects to a listener on an event loop, and returns when calls can be made: with TLS, after the handshake.
    /// `observer` is told on that loop.
    ///
    /// - Throws: what the system says of the connection, or a `TLSSetupError` with the reason of a failed handshake.
    public static func connect(
        to address: ListenAddress, on eventLoop: any EventLoop, configuration: ClientConfiguration = ClientConfiguration(),
        observer: any ClientObserver & Sendable
    ) async throws -> ClientConnection {
        let connection = ClientConnection(
            eventLoop: eventLoop, authority: "\(address)", configuration: configuration, observer: observer)
        let readsAtOnce: UInt = configuration.tls == nil ? 4 : 1
        let isReady = eventLoop.makePromise(of: Void.self)
        if configuration.tls == nil { isReady.succeed() }
        var bootstrap = ClientBootstrap(group: eventLoop)
            .channelOption(.maxMessagesPerRead, value: readsAtOnce)
            .channelOption(
                .recvAllocator,
                value: AdaptiveRecvByteBufferAllocator(minimum: 2048, initial: 4096, maximum: TransportLimits.readBytesMax))
            .channelOption(
                .writeBufferWaterMark,
                value: ChannelOptions.Types.WriteBufferWaterMark(
                    low: TransportLimits.outputAheadBytes / 4, high: TransportLimits.outputAheadBytes))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let tls = configuration.tls { try tls.addHandlers(to: channel, address, isReady: isReady) }
                    try channel.pipeline.syncOperations.addHandler(connection)
                }
            }
        if let milliseconds = configuration.connectMilliseconds {
            bootstrap = bootstrap.connectTimeout(.milliseconds(Int64(milliseconds)))
        }
        if let size = configuration.receiveBufferBytes {
            bootstrap = bootstrap.channelOption(.socketOption(.so_rcvbuf), value: .init(size))
        }
        if case .host = address { bootstrap = bootstrap.channelOption(.tcpOption(.tcp_nodelay), value: 1) }
        do { _ = try await bootstrap.connect(to: try address.socketAddress()).get() } catch {
            isReady.fail(error)
            throw error
        }
        try await isReady.futureResult.get()
        return connection
    }

    /// Runs `body` on the loop and sends what it queued. From any thread.
    public func execute(_ body: @escaping @Sendable () -> Void) {
        eventLoop.execute { self.batch(body) }
    }

    public var isOpen: Bool { context != nil }

    // MARK: Channel

    public func channelActive(context: ChannelHandlerContext) {
        self.context = context
        session = NGHTTP2Client.makeSession(self)
        let settings = [
            nghttp2_settings_entry(settings_id: Int32(NGHTTP2_SETTINGS_ENABLE_PUSH.rawValue), value: 0),
            nghttp2_settings_entry(
                settings_id: Int32(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE.rawValue),
                value: UInt32(configuration.streamWindowBytes)),
        ]
        nghttp2_submit_settings(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), settings, settings.count)
        nghttp2_session_set_local_window_size(
            session, UInt8(NGHTTP2_FLAG_NONE.rawValue), 0, Int32(configuration.connectionWindowBytes))
        batch {}
        context.fireChannelActive()
    }

    public func channelInactive(context: ChannelHandlerContext) {
        tearDown()
        context.fireChannelInactive()
    }

    public func handlerRemoved(context: ChannelHandlerContext) { tearDown() }

    public func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    public func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let buffer = unwrapInboundIn(data)
        guard session != nil else { return }
        lastRead = monotonicNanoseconds()
        depth += 1
        isInSession = true
        let used = buffer.withUnsafeReadableBytes {
            nghttp2_session_mem_recv(session, $0.baseAddress?.assumingMemoryBound(to: UInt8.self), $0.count)
        }
        isInSession = false
        depth -= 1
        if used < 0 { context.close(promise: nil) }
    }

    public func channelReadComplete(context: ChannelHandlerContext) {
        batch {}
        context.fireChannelReadComplete()
    }

    public func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { batch {} }
        context.fireChannelWritabilityChanged()
    }

    // MARK: Batches

    /// Collects what `body` queues and sends it with one write.
    public func batch(_ body: () -> Void) {
        depth += 1
        body()
        depth -= 1
        if depth == 0 { flush() }
    }

    /// Output was queued; outside a batch a flush is made to follow.
    func noteOutput() {
        guard depth == 0, !isFlushScheduled else { return }
        isFlushScheduled = true
        eventLoop.execute {
            self.isFlushScheduled = false
            self.batch {}
        }
    }

    private func flush() {
        guard context != nil, !isInSession else { return }
        depth += 1
        while let context, context.channel.isWritable {
            isInSession = true
            isSending = true
            let buffer = staging.fill(emit)
            let wasFull = staging.isFull
            isSending = false
            isInSession = false
            if let buffer { context.writeAndFlush(wrapOutboundOut(buffer), promise: nil) }
            let toldSomething = tellAfterSending()
            if !wasFull, !toldSomething { break }
        }
        depth -= 1
        for index in arenaCalls { slots[Int(index)].leaveArena(arena.base) }
        arenaCalls.removeAll(keepingCapacity: true)
        arena.clear(keeping: TransportLimits.arenaKeptBytes)
        if let context, nghttp2_session_want_read(session) == 0, nghttp2_session_want_write(session) == 0 {
            context.close(promise: nil)
        }
    }

    private func emit() {
        while !staging.isFull {
            var bytes: UnsafePointer<UInt8>?
            let length = nghttp2_session_mem_send(session, &bytes)
            guard length > 0 else { return }
            staging.append(bytes.unsafelyUnwrapped, length)
        }
    }

    /// The place where the next frame goes, for the callbacks that fill it.
    var output: OutputStaging { staging }

    private func tellAfterSending() -> Bool {
        guard !endedWhileSending.isEmpty || !writableCalls.isEmpty else { return false }
        let ended = endedWhileSending
        endedWhileSending.removeAll(keepingCapacity: true)
        for (index, error) in ended { end(index, error) }
        let writable = writableCalls
        writableCalls.removeAll(keepingCapacity: true)
        for call in writable where isAlive(call) { observer?.writable(call, tag: slots[Int(call.index)].tag) }
        return true
    }

    // MARK: Closing

    private func tearDown() {
        guard session != nil else { return }
        precondition(!isInSession)
        context = nil
        depth += 1
        for index in slots.indices where slots[index].isTaken { end(UInt32(index), nil) }
        depth -= 1
        nghttp2_session_del(session)
        session = nil
        let observer = observer
        self.observer = nil
        observer?.closed()
    }

    /// Says goodbye and closes. Calls in progress end as unavailable, with the reason if there is one.
    public func close(_ reason: String? = nil) {
        guard let context, session != nil else { return }
        if let reason { closeReason = reason }
        nghttp2_submit_goaway(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), 0, NGHTTP2_NO_ERROR.rawValue, nil, 0)
        batch {}
        context.close(promise: nil)
    }

    /// Stops or goes on taking bytes from the socket; for tests of slow readers.
    public func setReading(_ isReading: Bool) {
        guard let context else { return }
        _ = try? context.channel.syncOptions?.setOption(.autoRead, value: isReading)
    }

    /// Stops or goes on granting the server windows for what is received; for tests of readers that are slow
    /// above the socket.
    public func setGranting(_ isGranting: Bool) {
        guard session != nil else { return }
        self.isGranting = isGranting
        guard isGranting else { return }
        for (stream, count) in ungranted { nghttp2_session_consume(session, stream, count) }
        ungranted = [:]
        noteOutput()
    }

    public func ping() {
        guard session != nil else { return }
        nghttp2_submit_ping(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), nil)
        noteOutput()
    }
}
