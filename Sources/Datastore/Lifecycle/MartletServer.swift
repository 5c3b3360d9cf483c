// The server from start to stop: what is opened in which order, and closed in the other.

import CShims
import DatastoreMetrics
import DatastoreTracing
import Dispatch
import Glibc
import KeySpace
import NIOCore
import NIOPosix
import Raft
import Storage
import Synchronization
import Transport
import Wire

/// One member. Also for programs that embed it.
public final class MartletServer: Sendable {
    let node: Node
    private let transport: Transport.Server
    private let member: OpenedMember
    private let consensus: ConsensusThread
    private let timers: ServerTimers

    private init(node: Node, transport: Transport.Server, member: OpenedMember, consensus: ConsensusThread, timers: ServerTimers) {
        self.node = node
        self.transport = transport
        self.member = member
        self.consensus = consensus
        self.timers = timers
    }

    // MARK: The process

    /// Runs a server as this process until SIGTERM or SIGINT, and ends as etcd does: by that signal. Called on
    /// the main thread, which then waits for signals.
    public static func main() -> Never {
        TerminationSignal.block()
        let configuration = Configuration.ofThisProcess()
        let reopens = configuration.logsToFiles
        if reopens { TerminationSignal.keepHangup() }
        let log: Log
        do { log = try configuration.openLog() } catch {
            configuration.refuse(ConfigurationError(error.description))
        }
        signal(SIGPIPE, SIG_IGN)
        FileDescriptors.raiseLimit()
        let startup = Startup()
        Task.detached {
            do {
                startup.started(try await start(configuration, log: log) { startup.joined() })
            } catch {
                if let start = error as? StartError, let message = start.message { log.fatal(message, .error(start.description)) }
                for line in ConfigurationError.startFailure("\(error)", isEarly: false) { line.write(to: log) }
                log.core.close()
                exit(1)
            }
        }
        let onHangup = {
            log.core.reopen()
            startup.running?.node.audit?.reopen()
            log.info("opened log files anew", .string("signal", "hangup"))
        }
        let signal = TerminationSignal.wait(onHangup: reopens ? onHangup : nil)
        // Before the member is up there is nothing to close in order.
        guard startup.hasJoined else { signal.end() }
        log.info("received signal; shutting down", .string("signal", signal.name))
        StartupLog.closing(log, configuration, message: "closing etcd server")
        let server = startup.waitForServer()
        let done = DispatchSemaphore(value: 0)
        Task.detached {
            await server.stop()
            done.signal()
        }
        done.wait()
        StartupLog.closing(log, configuration, message: "closed etcd server")
        log.core.close()
        signal.end()
    }

    /// Where the starting server and the main thread meet.
    private final class Startup: Sendable {
        private let state = Mutex<(joined: Bool, server: MartletServer?)>((false, nil))
        private let isStarted = DispatchSemaphore(value: 0)

        func joined() { state.withLock { $0.joined = true } }
        var running: MartletServer? { state.withLock { $0.server } }
        var hasJoined: Bool { state.withLock { $0.joined } }

        func started(_ server: MartletServer) {
            state.withLock { $0.server = server }
            isStarted.signal()
        }

        func waitForServer() -> MartletServer {
            isStarted.wait()
            return state.withLock { $0.server! }
        }
    }

    // MARK: Start

    /// Opens the data directory, brings consensus up and serves. Returns when clients are served.
    ///
    /// - Parameter onJoined: called when this member is up in its cluster, before clients are served.
    public static func start(
        _ configuration: Configuration, log: Log, onJoined: @Sendable () -> Void = {}
    ) async throws -> MartletServer {
        StartupLog.configured(log, configuration)
        FileDescriptors.check(log)
        if configuration.backend.locksMemory { try MemoryLock.take(log) }
        let metrics = NodeMetrics(extensive: configuration.metricsAreExtensive)
        // Before any data is touched: a certificate or a key that cannot be used must not leave a member behind.
        let tls = try ListenerTLS(configuration, log: log, metrics: metrics.tls)
        var signer: SignedTokens?
        if case .jwt(let options) = configuration.authentication.token {
            signer = try SignedTokens(options, readFile: FileReadError.read, log: log)
        }
        try DataDirectory.prepare(configuration.dataDirectory, PosixFileSystem(), log)
        try EtcdDirectory.importIfNeeded(configuration, memberDirectory: configuration.dataDirectory + "/member", log: log)
        let member = try OpenedMember(configuration, signer: signer, log: log, metrics: metrics)
        StartupLog.starting(log, configuration, isInitialized: member.isRestart)

        var transportConfiguration = ServerConfiguration()
        transportConfiguration.receiveMessageBytesMax = Int(configuration.limits.receiveBytesMaximum)
        transportConfiguration.concurrentStreamsMax = configuration.limits.concurrentStreamsMaximum
        transportConfiguration.keepalive.clientPingMinimum = .nanoseconds(configuration.keepalive.clientPingIntervalMinimum.count)
        transportConfiguration.keepalive.interval =
            configuration.keepalive.sendsPings ? .nanoseconds(configuration.keepalive.pingInterval.count) : .seconds(1 << 40)
        transportConfiguration.keepalive.timeout = .nanoseconds(configuration.keepalive.pingTimeout.count)
        // Base 64 and names make a request longer in JSON.
        transportConfiguration.httpBodyBytesMax = max(
            transportConfiguration.httpBodyBytesMax, 2 * transportConfiguration.receiveMessageBytesMax)
        if configuration.tracing.isEnabled { transportConfiguration.metadataNames = ["tracestate"] }
        let audit = configuration.audit.isEnabled ? try AuditLog(configuration.audit, log: log) : nil
        let transport = Transport.Server(configuration: transportConfiguration)

        let loops = transport.loops.map { LoopContext(index: $0.index, metrics: metrics) }
        let node = Node(
            configuration: configuration, clusterID: member.clusterID, memberID: member.memberID,
            keySpace: member.keySpace,
            ids: RequestIDGenerator(member: member.memberID, nowMilliseconds: WallClock.milliseconds()),
            tokens: member.tokens, metrics: metrics,
            log: log, audit: audit, loops: loops, serverLoops: transport.loops)
        for loop in loops { loop.setWatches(WatchLoop(node: node, loop: transport.loops[loop.index])) }
        MetricsWiring.wire(node, transport: transport)

        log.info(
            "starting etcd server", .string("local-member-id", node.memberID.description),
            .string("local-server-version", Version.server), .string("cluster-id", node.clusterID.description),
            .string("cluster-version", member.keySpace.cluster.current.version ?? "to_be_decided"))
        let consensus = ConsensusThread(
            ConsensusLoop(
                raft: member.raft, wal: member.wal, node: node, applied: member.appliedIndex,
                snapshotIndex: member.snapshotIndex))
        let timers = ServerTimers(node, member.maintenance, tls.automatic)
        let server = MartletServer(node: node, transport: transport, member: member, consensus: consensus, timers: timers)
        member.maintenance.start()
        BootstrapDefragmentation.run(
            member.maintenance, member.keySpace.store, thresholdMegabytes: configuration.backend.bootstrapDefragThresholdMegabytes, log)
        node.requests.start()
        consensus.start()
        do {
            try await node.publish()
            onJoined()
            try await server.serve(tls)
        } catch {
            await server.stop()
            throw error
        }
        return server
    }

    /// Opens the listeners.
    private func serve(_ tls: ListenerTLS) async throws {
        let configuration = node.configuration
        let services = ServiceTable.make(node, member.maintenance)
        let observer = configuration.monitoring.observesRequests ? CallObserver(services.methods, node) : nil
        var options = ListenOptions()
        options.reusePort = configuration.socketReusesPort
        let connections = ConnectionBudget(limit: connectionsMax())
        MetricsWiring.wire(connections, node)
        options.budget = connections
        // Who talks to other ports than the clients' must leave them most of what there is, and the other way round.
        let others = max(1, connections.limit / ServerLimits.otherListenersShare)
        options.connectionsMax = others
        let auth = node.keySpace.auth
        // Only then a certificate would name a user, which behind the gateway it cannot.
        let certificatesNameUsers = configuration.clientTLS.requiresCertificate
        let gateway =
            configuration.servesGateway
            ? Gateway(
                services.methods, transport.configuration, observer: observer, metrics: node.metrics.gateway,
                isAuthEnabled: { certificatesNameUsers && auth.isEnabled }) : nil
        let client = AccessControl(
            configuration, log: node.log, inner: ClientEndpoints(node, role: .client, gateway: gateway))
        let streamed = gateway == nil ? [] : Gateway.prefixes
        let splits = !configuration.listenClientHTTPURLs.isEmpty
        for address in ListenPlan.of(configuration.listenPeerURLs) {
            let listener = try await listen(address, Services(http: PeerEndpoints(node), servesGRPC: false), options, tls.peer, nil)
            node.log.info("serving peer traffic", .string("address", listener.address.description))
        }
        options.connectionsMax = max(1, connections.limit - others)
        for address in ListenPlan.of(configuration.listenClientURLs) {
            let served =
                splits
                ? Services(methods: services.methods)
                : Services(methods: services.methods, http: client, bodyStreamPrefixes: streamed)
            let listener = try await listen(address, served, options, tls.client, observer)
            StartupLog.serving(
                node.log, address: listener.address.description, traffic: splits ? "grpc" : "grpc+http",
                isPlain: address.isPlain, isSecure: address.isSecure)
        }
        for address in ListenPlan.of(configuration.listenClientHTTPURLs) {
            let served = Services(http: client, servesGRPC: false, bodyStreamPrefixes: streamed)
            let listener = try await listen(address, served, options, tls.client, nil)
            StartupLog.serving(
                node.log, address: listener.address.description, traffic: "http", isPlain: address.isPlain,
                isSecure: address.isSecure)
        }
        options.connectionsMax = others
        for address in ListenPlan.of(configuration.listenMetricsURLs) {
            let metrics = Services(http: ClientEndpoints(node, role: .metrics), servesGRPC: false)
            _ = try await listen(address, metrics, options, tls.metrics, nil)
        }
        node.log.info("grpc service status changed", .string("service", ""), .string("status", "SERVING"))
        timers.start()
        node.log.info("ready to serve client requests")
        StartupLog.nowServing(node.log, node)
        notifyInit()
    }

    /// Connections of all ports together: as many as the limit of file descriptors leaves beside what the store needs,
    /// and no more than can be paid for.
    private func connectionsMax() -> Int {
        let descriptors = node.metrics.descriptors.refresh().limit.clamped
        return min(ServerLimits.connectionsMax, max(1, descriptors - FileDescriptorBudget.reserved.clamped))
    }

    private func listen(
        _ plan: ListenPlan, _ services: Services, _ options: ListenOptions, _ tls: TLSServer?, _ observer: CallObserver?
    ) async throws -> Listener {
        var options = options
        options.tls = plan.isSecure ? tls : nil
        options.servesPlainText = plan.isPlain
        do {
            return try await transport.listen(on: plan.address, services, options: options, observer: observer)
        } catch {
            let reason: String =
                switch error {
                case let error as IOError: "bind: \(systemText(error.errnoCode))"
                // What is no socket may be somebody's data, and is not removed.
                case is UnixDomainSocketPathWrongType: "bind: \(systemText(EADDRINUSE)): the file is not a socket"
                default: "\(error)"
                }
            throw StartError(plan.socketPath.map { "listen unix \($0): \(reason)" } ?? "listen tcp \(plan.authority): \(reason)")
        }
    }

    private func notifyInit() {
        guard InitDaemon.isListening else { return }
        node.log.info("notifying init daemon")
        if InitDaemon.notify("READY=1") { node.log.info("successfully notified init daemon") }
    }

    // MARK: Stop

    /// Ends calls, consensus and storage, in this order. What was acknowledged is durable before and after.
    public func stop() async {
        timers.stop()
        for url in node.configuration.listenPeerURLs {
            node.log.info("stopping serving peer traffic", .string("address", url.authority))
        }
        // Writes in progress get their answers first: transport drains while consensus still runs.
        await transport.shutdown(grace: .milliseconds(ServerLimits.drainMilliseconds))
        node.inbox.stop()
        consensus.join()
        node.snapshots.stop()
        member.close(node.log)
        node.requests.close()
        node.audit?.close()
        for url in node.configuration.listenPeerURLs {
            node.log.info("stopped serving peer traffic", .string("address", url.authority))
        }
    }
}

/// Why a server does not start; the text is for the operator.
public struct StartError: Error, CustomStringConvertible {
    public let description: String
    /// The one fatal line's message, where it is not what etcd says of most failures to start.
    let message: String?

    init(_ description: String, message: String? = nil) {
        self.description = description
        self.message = message
    }
}

extension UInt64 {
    /// As an Int, cut to what fits.
    var clamped: Int { Int(clamping: self) }
}
