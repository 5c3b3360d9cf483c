// The client: how a call is made over endpoints that come and go.

import NIOCore
import NIOPosix
import Transport
import Wire

/// A client of etcd's v3 API. Safe to use from any task; make one and keep it.
///
/// Calls go round the endpoints that are connected and wait while none is. What failed without having been seen by a
/// server is repeated, and reads are repeated after any failure of a connection, until the call's deadline.
public final class Client: Sendable {
    public let options: ClientOptions
    let pool: ConnectionPool
    private let tokens: TokenKeeper?
    let hubs = WatchHubs()

    /// The loop of clients that have none of their own; one thread for the whole process.
    private static let sharedLoop = MultiThreadedEventLoopGroup(numberOfThreads: 1).next()

    /// Connects to nothing yet.
    ///
    /// - Throws: endpoints or TLS files that cannot be used.
    public init(_ options: ClientOptions) throws(ClientSetupError) {
        guard !options.endpoints.isEmpty else { throw ClientSetupError("no endpoints available") }
        guard options.endpoints.count <= ClientLimits.endpointsMax else { throw ClientSetupError("too many endpoints") }
        var made: [String: TLSClient] = [:]
        var targets: [ConnectionPool.Target] = []
        for text in options.endpoints {
            guard let address = ServerAddress(text) else { throw ClientSetupError("endpoint \"\(text)\" cannot be parsed") }
            let isSecure = address.scheme == .secure || (options.tls != nil && address.scheme == .unspecified)
            var tls: TLSClient?
            if isSecure {
                var settings = options.tls ?? TLSClientSettings()
                if settings.serverName == nil { settings.serverName = address.host.hasSuffix(".") ? String(address.host.dropLast()) : address.host }
                if let known = made[settings.serverName!] {
                    tls = known
                } else {
                    do { tls = try TLSClient(settings) } catch { throw ClientSetupError(error.description) }
                    made[settings.serverName!] = tls
                }
            }
            targets.append(ConnectionPool.Target(address: address, isSecure: isSecure, tls: tls))
        }
        self.options = options
        let pool = ConnectionPool(options, targets, loop: options.eventLoop ?? Self.sharedLoop)
        self.pool = pool
        tokens = options.credentials.map { TokenKeeper(pool: pool, name: $0.name, password: $0.password, timeout: options.dialTimeout) }
    }

    /// Asks for the token of the options' user, as the first call would. To fail early.
    public func authenticate() async throws(ClientError) { _ = try await tokens?.current() }

    /// Ends calls and streams in progress, and closes the connections.
    public func close() { pool.close() }

    deinit { pool.close() }

    /// A client with the same options of other endpoints, e.g. of one member.
    public func client(for endpoints: [String]) throws(ClientSetupError) -> Client {
        var options = options
        options.endpoints = endpoints
        return try Client(options)
    }

    // MARK: Calls

    /// The token that calls carry: the user's, or the ready one; nil where there is none. For calls that are made by other means.
    public func token() async throws(ClientError) -> String? {
        guard let tokens else { return options.token }
        return try await tokens.current()
    }

    func deadline(_ timeout: Duration?) -> UInt64? {
        (timeout ?? options.callTimeout).map { monotonicNanoseconds() + max(1, $0.nanoseconds) }
    }

    func call(
        _ method: Method, timeout: Duration? = nil, isRepeatable: Bool? = nil, metadata: [(String, String)] = [],
        _ body: (ByteSink) -> Void = { _ in }
    ) async throws(ClientError) -> [UInt8] {
        let request = encoded(body)
        guard request.count <= options.sendBytesMax else {
            throw ClientError(
                .resourceExhausted, "trying to send message larger than max (\(request.count) vs. \(options.sendBytesMax))",
                wasSent: false)
        }
        let metadata = metadata + (options.metadata?() ?? [])
        let deadline = deadline(timeout)
        var attempt = 0
        while true {
            let token = try await token()
            let result = await pool.unary(method, request, token: token, metadata: metadata, deadline: deadline)
            guard case .failure(let error) = result else { return try result.get() }
            attempt += 1
            options.onFailedAttempt?(
                FailedAttempt(
                    target: options.endpoints[0], method: method.rawValue, attempt: attempt - 1, error: error))
            let decision = RetryPolicy.decide(
                error, isRepeatable: isRepeatable ?? method.isRepeatable, attempt: attempt, canRenewToken: tokens != nil)
            switch decision {
            case .fail: throw error
            case .renewToken: try await tokens?.renew(token)
            case .again: break
            }
            try await pause(deadline)
        }
    }

    /// Between two attempts: not past the deadline.
    private func pause(_ deadline: UInt64?) async throws(ClientError) {
        let usual = UInt64(ClientLimits.retryMilliseconds) * UInt64.random(in: 900_000...1_100_000)
        let now = monotonicNanoseconds()
        if let deadline, deadline <= now + usual { throw ClientError(CallError.deadlineExceeded) }
        do { try await Task.sleep(nanoseconds: usual) } catch { throw .canceled }
    }

    func answer<Message: ResponseMessage>(
        _ method: Method, timeout: Duration? = nil, isRepeatable: Bool? = nil, _ body: (ByteSink) -> Void = { _ in }
    ) async throws(ClientError) -> Answer<Message> {
        let bytes = try await call(method, timeout: timeout, isRepeatable: isRepeatable, body)
        do throws(ProtobufError) { return try Answer(bytes: bytes) } catch { throw .malformed(error) }
    }

    /// Opens a stream; with a request it is the only one.
    func stream(
        _ method: Method, _ request: [UInt8]? = nil, metadata: [(String, String)] = [], timeout: Duration? = nil
    ) async throws(ClientError) -> StreamCall {
        await pool.stream(
            method, request, token: try await token(), metadata: metadata + (options.metadata?() ?? []), deadline: timeout.map { monotonicNanoseconds() + $0.nanoseconds })
    }

    /// Before a stream is opened again.
    func renewToken(after error: ClientError) async throws(ClientError) {
        guard let tokens, RetryPolicy.isTokenRefused(error) else { return }
        try await tokens.renew(try await tokens.current())
    }
}
