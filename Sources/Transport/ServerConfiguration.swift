// What a server is told when it is made.

/// When client pings are too many, and when the server pings.
public struct KeepalivePolicy: Sendable {
    /// Least time between client pings that bring no strike.
    public var clientPingMinimum: Duration = .seconds(5)
    /// Whether clients may ping at that pace with no call open.
    public var clientPingWithoutCalls = false
    /// The server pings after this long without a byte from the client.
    public var interval: Duration = .seconds(7200)
    /// The connection is closed when the ping stays unanswered for this long.
    public var timeout: Duration = .seconds(20)

    public init() {}
}

public struct ServerConfiguration: Sendable {
    /// Event loops; one is best on few cores.
    public var loopCount = 1
    /// Limit of one request message: `--max-request-bytes` plus 512 KiB.
    public var receiveMessageBytesMax = 1_572_864 + 524_288
    /// Limit of one response message.
    public var sendMessageBytesMax = 2_147_483_647
    /// Advertised when below UInt32.max. `TransportLimits.streamsPerConnectionMax` holds in any case.
    public var concurrentStreamsMax: UInt32 = .max
    public var keepalive = KeepalivePolicy()
    /// From accept to the first complete HTTP/2 preface or HTTP/1 request head.
    public var handshakeTimeout: Duration = .seconds(TransportLimits.handshakeSeconds)
    /// HTTP/1: time for the headers of one request.
    public var readHeaderTimeout: Duration = .seconds(TransportLimits.readHeaderSeconds)
    /// An answer that is made while it is sent ends when its peer has taken nothing of it for so long.
    public var stalledAnswerTimeout: Duration = .seconds(TransportLimits.stalledAnswerSeconds)
    public var httpBodyBytesMax = TransportLimits.httpBodyBytesMax
    /// Request metadata kept beside the well-known names (lower case), read with `MetadataName.registered`.
    public var metadataNames: [String] = []

    public init() {}
}
