// What a client is made with.

import NIOCore
import Transport

/// The client could not be made.
public struct ClientSetupError: Error, Sendable, CustomStringConvertible {
    public let description: String

    public init(_ description: String) { self.description = description }
}

/// One failed attempt of a call, told before the next one or before the call fails.
public struct FailedAttempt: Sendable {
    /// The endpoint that answered, or all of them.
    public let target: String
    /// `/service/method`
    public let method: String
    public let attempt: Int
    public let error: ClientError
}

/// A connection that could not be made. It is tried again, so calls wait unless they have a limit.
public struct FailedConnection: Sendable {
    public let endpoint: String
    /// In the words of Go's gRPC.
    public let reason: String
    /// How often in a row.
    public let failures: Int
    /// No endpoint is connected, and calls wait for one.
    public let isWaitedFor: Bool
}

public struct ClientOptions: Sendable {
    /// At least one; see `ServerAddress` for their form. Calls go to them in turn.
    public var endpoints: [String]
    /// How TLS is spoken; nil: only with endpoints that are `https://` or `unixs://`, with the system's authorities.
    /// With settings, endpoints without a scheme speak TLS too.
    public var tls: TLSClientSettings?
    /// A user to authenticate as; tokens are asked for and renewed as needed.
    public var credentials: (name: String, password: String)?
    /// A ready token instead of credentials; it is not renewed.
    public var token: String?
    /// Limit of connecting to an endpoint.
    public var dialTimeout = Duration.seconds(5)
    /// Limit of a call without one of its own; nil for none.
    public var callTimeout: Duration?
    /// How long a connection may be silent before the server is pinged; nil: never. At least ten seconds are waited,
    /// as servers drop clients that ping more often.
    public var keepAliveTime: Duration?
    /// How long a ping may wait for its answer; then the connection is closed and another endpoint used.
    public var keepAliveTimeout = Duration.seconds(20)
    public var sendBytesMax = ClientLimits.sendBytesMax
    public var receiveBytesMax = ClientLimits.receiveBytesMax
    public var userAgent = "martlet-client"
    /// Is told of each failed attempt of a call, on any thread.
    public var onFailedAttempt: (@Sendable (FailedAttempt) -> Void)?
    /// Is told of each connection that could not be made, on any thread.
    public var onConnectionFailure: (@Sendable (FailedConnection) -> Void)?
    /// Metadata that a call brings besides its own, asked for in the task that makes the call: where its trace is, for example.
    public var metadata: (@Sendable () -> [(String, String)])?
    /// The loop that the client's connections live on; nil for one that all clients of the process share.
    public var eventLoop: (any EventLoop)?

    public init(endpoints: [String]) { self.endpoints = endpoints }
}
