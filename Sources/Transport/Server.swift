// The server: event loops, listeners, and how they come up and go down.

import NIOCore
import NIOPosix
import Synchronization

#if canImport(Glibc)
import Glibc
#endif

/// A listening socket.
public final class Listener: Sendable {
    /// As bound: with the real port where 0 was asked for.
    public let address: ListenAddress
    let channel: any Channel
    let endpoint: Endpoint

    init(address: ListenAddress, channel: any Channel, endpoint: Endpoint) {
        self.address = address
        self.channel = channel
        self.endpoint = endpoint
    }

    /// The port bound, 0 for a Unix socket.
    public var port: Int { if case .host(_, let port) = address { port } else { 0 } }
    public var openConnections: Int { endpoint.openConnections.load(ordering: .relaxed) }

    /// Stops accepting, and removes the file of a Unix socket. Connections stay.
    public func close() async {
        try? await channel.close()
        if case .unix(let path) = address { unlink(path) }
    }
}

/// Serves gRPC and plain HTTP on any number of listeners.
public final class Server: Sendable {
    public let configuration: ServerConfiguration
    public let loops: [ServerLoop]
    private let group: MultiThreadedEventLoopGroup
    private let listeners = Mutex<[Listener]>([])
    private let isStopped = Mutex(false)

    public init(configuration: ServerConfiguration = ServerConfiguration()) {
        precondition(configuration.loopCount > 0)
        self.configuration = configuration
        group = MultiThreadedEventLoopGroup(numberOfThreads: configuration.loopCount)
        loops = Array(group.makeIterator()).enumerated().map { ServerLoop(index: $0.offset, eventLoop: $0.element) }
    }

    /// Binds a listener and serves on it at once.
    public func listen(
        on address: ListenAddress, _ services: Services, options: ListenOptions = ListenOptions(),
        observer: (any TransportObserver)? = nil
    ) async throws -> Listener {
        let endpoint = Endpoint(services, configuration, observer)
        let loops = loops
        let tls = options.tls.map { ($0, options.servesPlainText) }
        let limit = options.connectionsMax
        let budget = options.budget
        // Under TLS what was read is collected until the reads are done, in a buffer that stays that large.
        let readsAtOnce: UInt = tls == nil ? 4 : 1
        var bootstrap = ServerBootstrap(group: group, childGroup: group)
            .serverChannelOption(.backlog, value: options.backlog)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(AcceptBackoffHandler(shouldForwardIOErrorCaught: false))
                    if limit < .max || budget != nil {
                        try channel.pipeline.syncOperations.addHandler(ConnectionLimiter(limit: limit, budget: budget))
                    }
                    try channel.pipeline.syncOperations.addHandler(AcceptErrorHandler())
                }
            }
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try Self.start(channel, loops, endpoint, tls) }
            }
            .childChannelOption(.maxMessagesPerRead, value: readsAtOnce)
            .childChannelOption(
                .recvAllocator,
                value: AdaptiveRecvByteBufferAllocator(
                    minimum: 2048, initial: 4096, maximum: TransportLimits.readBytesMax))
            .childChannelOption(
                .writeBufferWaterMark,
                value: ChannelOptions.Types.WriteBufferWaterMark(
                    low: TransportLimits.outputAheadBytes / 4, high: TransportLimits.outputAheadBytes))
        if case .host = address {
            bootstrap =
                bootstrap
                .serverChannelOption(.socketOption(.so_reuseaddr), value: options.reuseAddress ? 1 : 0)
                .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            if options.reusePort {
                let option = ChannelOptions.socket(SocketOptionLevel(SOL_SOCKET), SocketOptionName(SO_REUSEPORT))
                bootstrap = bootstrap.serverChannelOption(option, value: 1)
            }
        }
        let channel: any Channel
        switch address {
        case .unix(let path):
            channel = try await bootstrap.bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true).get()
        case .host:
            channel = try await bootstrap.bind(to: try address.socketAddress()).get()
        }
        var bound = address
        if case .host(let host, _) = address, let port = channel.localAddress?.port { bound = .host(host, port: port) }
        let listener = Listener(address: bound, channel: channel, endpoint: endpoint)
        listeners.withLock { $0.append(listener) }
        return listener
    }

    private static func start(
        _ channel: any Channel, _ loops: [ServerLoop], _ endpoint: Endpoint, _ tls: (server: TLSServer, takesPlainText: Bool)?
    ) throws {
        guard let loop = loops.first(where: { $0.eventLoop === channel.eventLoop }) else {
            preconditionFailure("a connection on an event loop that is not the server's")
        }
        loop.counters.connectionsAccepted.add(1)
        loop.counters.connectionsOpen.add(1)
        endpoint.openConnections.add(1, ordering: .relaxed)
        channel.closeFuture.whenComplete { _ in
            loop.counters.connectionsOpen.add(-1)
            endpoint.openConnections.subtract(1, ordering: .relaxed)
        }
        let detector = ProtocolDetector(loop: loop, endpoint: endpoint, remoteAddress: describe(channel.remoteAddress))
        try channel.pipeline.syncOperations.addHandler(detector)
        guard let tls else { return }
        let handshake = TLSHandshake(tls.server, loop, takesPlainText: tls.takesPlainText)
        try channel.pipeline.syncOperations.addHandler(handshake, position: .before(detector))
    }

    // MARK: Shutdown

    /// Stops accepting, announces the end to clients, lets calls in progress end for up to `grace`, cancels
    /// what is left, and returns when everything is closed. The server cannot be used again.
    public func shutdown(grace: Duration) async {
        guard isStopped.withLock({ stopped in let first = !stopped; stopped = true; return first }) else { return }
        for listener in listeners.withLock({ $0 }) { await listener.close() }
        for loop in loops { loop.execute { loop.drainConnections() } }
        let clock = ContinuousClock()
        let end = clock.now + grace
        // A client that does not acknowledge the drain's ping gets the final GOAWAY after a second, as from grpc-go.
        let announced = clock.now + min(.seconds(1), grace)
        var isFinal = false
        while clock.now < end, await !isIdle() {
            if !isFinal, clock.now >= announced {
                isFinal = true
                for loop in loops { loop.execute { loop.sendFinalGoaways() } }
            }
            try? await Task.sleep(for: .milliseconds(5))
        }
        for loop in loops { loop.execute { loop.terminateConnections() } }
        let limit = clock.now + .seconds(2)
        while clock.now < limit, await !isIdle() { try? await Task.sleep(for: .milliseconds(2)) }
        for loop in loops { loop.shutDown() }
        try? await group.shutdownGracefully()
        for loop in loops { loop.destroy() }
    }

    private func isIdle() async -> Bool { loops.allSatisfy { $0.counters.connectionsOpen.value == 0 } }
}

/// Errors of accepting (no file descriptors, a connection aborted in the queue) must not close the listener.
private final class AcceptErrorHandler: ChannelInboundHandler {
    typealias InboundIn = any Channel

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // AcceptBackoffHandler pauses accepting; nothing else is to be done, and nobody else need know.
    }
}
