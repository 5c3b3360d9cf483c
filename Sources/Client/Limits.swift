// Bounds of the client's queues, buffers and loops, and what happens at each.

public enum ClientLimits {
    /// Calls in progress or waiting for a connection. Beyond, a call fails at once with ResourceExhausted.
    public static let callsMax = 1 << 16
    /// Endpoints of one client; further ones are refused.
    public static let endpointsMax = 1024
    /// Attempts of one call, as clientv3. Beyond, the last error is the call's.
    public static let attemptsMax = 100
    /// Pause between attempts of a call, spread by a tenth.
    public static let retryMilliseconds = 25
    /// Largest request unless an option says otherwise (clientv3's 2 MiB).
    public static let sendBytesMax = 2 << 20
    public static let receiveBytesMax = Int(Int32.max)
    /// Received and not yet taken bytes of one stream: beyond, the server is granted no further window for it.
    public static let streamHeldBytes = 8 << 20
    /// Bytes of events that one watcher has not taken. Beyond, it leaves the server's stream and comes back, from the
    /// revision where it stopped, when half of it is taken; other watchers do not notice.
    public static let watcherHeldBytes = 16 << 20
    /// Bytes of one watch response that comes in fragments.
    public static let fragmentBytesMax = 512 << 20
    /// Pause before a watch stream or a lease's stream that broke is opened again.
    public static let streamRetryMilliseconds = 50
    /// A server is pinged after no shorter silence, as grpc-go's clients: servers drop those that ping more often.
    public static let keepAliveMillisecondsMin = 10_000
    /// Pause after failed connections of an endpoint: the first, and the longest; spread by a fifth.
    public static let reconnectMilliseconds: UInt64 = 50
    public static let reconnectMillisecondsMax: UInt64 = 3_000
    /// A server's metrics or another of its pages; longer ones are refused.
    public static let pageBytesMax = 64 << 20
    /// Rounds of one software transaction that others overtake.
    public static let stmRoundsMax = 1_000
}
