// One connection to one endpoint: name look-up, connecting, keepalive. Confined to the pool's loop.

import NIOCore
import NIOPosix
import Transport
import Wire

#if canImport(Glibc)
import Glibc
#endif

final class ServerLink: ClientObserver, @unchecked Sendable {
    // Unchecked: confined to the pool's loop.
    private let pool: ConnectionPool
    private let index: Int
    private let target: ConnectionPool.Target
    private(set) var connection: ClientConnection?
    private var methods: [Method: ClientMethod] = [:]
    private var isReady = false
    private var isOver = false
    private var dialTimer: Scheduled<Void>?
    private var keepAlive: Scheduled<Void>?

    init(pool: ConnectionPool, index: Int, target: ConnectionPool.Target) {
        self.pool = pool
        self.index = index
        self.target = target
    }

    func method(_ method: Method) -> ClientMethod {
        if let made = methods[method] { return made }
        let made = ClientMethod(
            path: method.rawValue, authority: target.address.authority, userAgent: pool.options.userAgent, isSecure: target.isSecure)
        methods[method] = made
        return made
    }

    // MARK: Connecting

    func connect() {
        let target = target
        let loop = pool.loop
        var configuration = ClientConfiguration()
        configuration.tls = target.tls
        configuration.receiveMessageBytesMax = pool.options.receiveBytesMax
        configuration.connectMilliseconds = max(1, pool.options.dialTimeout.milliseconds)
        dialTimer = loop.scheduleTask(in: .milliseconds(Int64(max(1, pool.options.dialTimeout.milliseconds)))) {
            self.over(self.failure("dial \(self.target.address.path == nil ? "tcp" : "unix") \(self.target.address.authority): i/o timeout"))
            self.connection?.close()
        }
        Task {
            var reason = "no address"
            for address in await Self.addresses(target.address) {
                do {
                    let made = try await ClientConnection.connect(to: address, on: loop, configuration: configuration, observer: self)
                    return loop.execute { self.connected(made) }
                } catch {
                    reason = Self.describe(error, address)
                }
            }
            loop.execute { [reason] in self.over(self.failure(reason)) }
        }
    }

    private func connected(_ made: ClientConnection) {
        if isOver { return made.close() }
        guard made.isOpen else { return over(failure("connection closed before server preface received")) }
        connection = made
        if made.hasSettings { ready() }
    }

    private func failure(_ reason: String) -> String { "connection error: desc = \"transport: Error while dialing: \(reason)\"" }

    /// Addresses of the endpoint, in the order of the system's name look-up.
    private static func addresses(_ address: ServerAddress) async -> [ListenAddress] {
        if let path = address.path { return [.unix(path: path)] }
        let name = address.host.isEmpty ? "127.0.0.1" : address.host
        if (try? SocketAddress(ipAddress: name, port: 0)) != nil { return [.host(name, port: address.port)] }
        let found = try? await NIOThreadPool.singleton.runIfActive {
            // Names from SRV records end in a dot, those in the hosts file do not.
            let found = lookUp(name)
            return found.isEmpty && name.hasSuffix(".") ? lookUp(String(name.dropLast())) : found
        }
        return (found ?? []).map { .host($0, port: address.port) }
    }

    private static func lookUp(_ name: String) -> [String] {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(name, nil, &hints, &list) == 0 else { return [] }
        defer { freeaddrinfo(list) }
        var result: [String] = []
        var next = list
        while let item = next, result.count < 16 {
            var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
            let length = socklen_t(text.count)
            if getnameinfo(item.pointee.ai_addr, item.pointee.ai_addrlen, &text, length, nil, 0, NI_NUMERICHOST) == 0 {
                result.append(String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
            }
            next = item.pointee.ai_next
        }
        return result
    }

    /// In the words of Go's net package.
    private static func describe(_ error: any Error, _ address: ListenAddress) -> String {
        var kind = "tcp"
        if case .unix = address { kind = "unix" }
        if let error = error as? IOError {
            return "dial \(kind) \(address): connect: \(String(cString: strerror(error.errnoCode)).lowercased())"
        }
        if error is TLSSetupError { return "\(error)" }
        if case .connectTimeout = error as? ChannelError { return "dial \(kind) \(address): i/o timeout" }
        return "\(error)"
    }

    // MARK: ClientObserver

    func received(_ call: ClientCall, tag: UInt64, _ message: UnsafeRawBufferPointer) {
        pool.received(tag, message)
    }

    func finished(_ call: ClientCall, tag: UInt64, status: StatusCode, message: String) {
        pool.finished(tag, status, message)
    }

    /// New calls go to a new connection.
    func goingAway() { if isReady { pool.lost(index, self, "the server is going away") } }

    func ready() {
        guard connection != nil, !isReady, !isOver else { return }
        isReady = true
        dialTimer?.cancel()
        scheduleKeepAlive()
        pool.ready(index, self)
    }

    func closed() {
        // While it is being made, `connect` tells what happened.
        guard connection != nil else { return }
        over(isReady ? "the connection is closed" : failure("connection closed before server preface received"))
        connection = nil
    }

    private func over(_ reason: String) {
        guard !isOver else { return }
        isOver = true
        dialTimer?.cancel()
        keepAlive?.cancel()
        pool.lost(index, self, reason)
    }

    // MARK: Keepalive

    /// Waits for a silence of the server, counted from the last byte that came.
    private func scheduleKeepAlive() {
        guard let time = pool.options.keepAliveTime, let connection, !isOver else { return }
        let patience = UInt64(max(ClientLimits.keepAliveMillisecondsMin, time.milliseconds)) * 1_000_000
        let now = monotonicNanoseconds()
        let silence = now - min(now, connection.lastRead)
        guard silence >= patience else { return after(patience - silence) { self.scheduleKeepAlive() } }
        // Servers drop clients that ping without a call.
        guard connection.openCalls > 0 else { return after(patience) { self.scheduleKeepAlive() } }
        let before = connection.lastRead
        connection.ping()
        after(max(1_000_000, pool.options.keepAliveTimeout.nanoseconds)) {
            guard !self.isOver, let connection = self.connection else { return }
            if connection.lastRead > before { return self.scheduleKeepAlive() }
            let reason = "keepalive ping failed to receive ACK within timeout"
            self.over(reason)
            connection.close(reason)
        }
    }

    private func after(_ nanoseconds: UInt64, _ body: @escaping @Sendable () -> Void) {
        keepAlive = pool.loop.scheduleTask(in: .nanoseconds(Int64(min(nanoseconds, 1 << 60))), body)
    }
}

extension Duration {
    var milliseconds: Int { Int(components.seconds * 1_000 + components.attoseconds / 1_000_000_000_000_000) }
    var nanoseconds: UInt64 {
        let (seconds, attoseconds) = components
        guard seconds >= 0 else { return 0 }
        return UInt64(min(seconds, 1 << 32)) * 1_000_000_000 + UInt64(max(0, attoseconds) / 1_000_000_000)
    }
}
