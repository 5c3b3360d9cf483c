// Every bound of the transport in one place. docs/transport.md has the table with the reasons.

/// Bounds that are not configuration: what one connection, stream or event-loop turn may cost.
public enum TransportLimits {
    // Receiving

    /// Window granted to each stream: a request of `--max-request-bytes` (1.5 MiB) needs two round trips, and
    /// what a paused stream may leave in memory is bounded by it.
    public static let streamWindowBytes = 1 << 20
    /// Window granted to each connection: several large requests at once without waiting for each other.
    public static let connectionWindowBytes = 8 << 20
    /// Bytes of half-received messages and of long headers that one connection may hold; the stream that goes
    /// beyond is refused.
    public static let receivedPartialBytesMax = 64 << 20
    /// Decoded size (names, values, 32 bytes each) of one header list. Far below grpc-go's 16 MiB: the longest
    /// header that etcd's clients send is a token of a few KiB.
    public static let headerListBytesMax = 256 << 10
    /// Header lists above this count as memory of half-received messages while their call lasts.
    public static let headerListBytesFree = 2 << 10
    /// Streams open at once on one connection, whatever is advertised; more are refused with REFUSED_STREAM.
    public static let streamsPerConnectionMax = 100_000
    /// RST_STREAM frames from a client: 5,000 cancelled calls at once are normal, a sustained flood is not.
    public static let resetBurst: UInt64 = 100_000
    public static let resetsPerSecond: UInt64 = 10_000
    /// Streams whose windows SETTINGS of a client may move, at once and in a second (50 ns each). Thousands of streams
    /// and some dozen changes are normal; 10,000 changes with 50,000 streams would stop an event loop for half a minute.
    public static let windowUpdatesBurst = 4_000_000
    public static let windowUpdatesPerSecond = 1_000_000
    /// PING and SETTINGS acknowledgements waiting in one session: one read of 64 KiB holds 3,855 pings.
    public static let acknowledgementsQueuedMax = 16_384
    /// Frames waiting behind a socket that takes nothing more; beyond, the connection is not read from.
    public static let framesQueuedMax = 8_192
    /// Answers waiting behind a socket that takes nothing more; beyond, the connection is not read from.
    public static let queuedBehindSocketBytesMax = 8 << 20
    /// Bytes that a peer may send while its own socket takes nothing: its windows cannot have grown meanwhile, so
    /// one that sends more ignores them (or the GOAWAY that cannot reach it) and is cut.
    public static let receivedWhileStuckBytesMax = 4 * connectionWindowBytes
    /// Bytes that one read from a socket may bring.
    public static let readBytesMax = 64 << 10

    // Sending

    /// Output encoded ahead of the socket for each connection, and room for the frame that passes it.
    public static let outputAheadBytes = 224 << 10
    static let outputSlackBytes = 32 << 10
    /// Output buffers of an event loop whose memory is kept.
    static let outputBuffersKept = 4
    /// Output of one connection in one turn of its event loop; then the others get theirs.
    public static let outputTurnBytes = 2 << 20
    /// `writable` is called when the queued bytes of a call fall below this.
    public static let queuedLowBytes = 64 << 10
    /// A stream whose queued output is above this is not read from: its messages wait in its receive window.
    public static let queuedHighBytes = 1 << 20
    /// Messages below this are copied into a stream's queue, larger shared ones are held by reference.
    public static let copyBytesMax = 4 << 10
    /// Memory that an event loop keeps for answers between batches.
    public static let arenaKeptBytes = 1 << 20
    /// Answers that one connection may hold because its peer grants no window; beyond, new calls are refused.
    public static let connectionQueuedBytesMax = 256 << 20

    /// Requests in part and answers that wait, of all connections of one event loop. Beyond, the connection that
    /// holds most of it is closed, until the rest is within: one peer's limits times many peers would be too much.
    public static let loopHeldBytesMax = 1 << 30
    /// When so much was held and nearly all of it is gone, the allocator is asked to return memory to the system.
    public static let heldBytesKept = 64 << 20

    // Long work

    /// Time for slices of long work in one turn of an event loop; then its sockets are served.
    public static let sliceTurnNanoseconds: UInt64 = 1_000_000
    /// From the end of one such turn to the next. It only has to lie in the future when the loop looks at its tasks.
    public static let sliceGapNanoseconds: Int64 = 20_000

    // Time

    /// From accept to the first complete request head or HTTP/2 preface (grpc-go's connection time-out).
    public static let handshakeSeconds: Int64 = 120
    /// HTTP/1: from the first byte of a request to the end of its headers.
    public static let readHeaderSeconds: Int64 = 300
    /// An answer that is made while it is sent holds a revision of the store against compaction. When its peer takes
    /// nothing of it for so long, its stream is reset.
    public static let stalledAnswerSeconds: Int64 = 300
    /// How often such answers are looked for.
    public static let stalledSweepNanoseconds: UInt64 = 5_000_000_000
    /// grpc-timeout values are cut to this, so that sums of nanoseconds do not overflow.
    public static let deadlineNanosecondsMax: UInt64 = 1 << 62

    // TLS

    /// Handshakes in progress on one event loop, each of some 50 KB; further ones wait.
    public static let tlsHandshakesMax = 1_024
    /// What a handshake has in any case; then it makes room for one that waits.
    public static let tlsHandshakeGraceNanoseconds: UInt64 = 1_000_000_000
    /// From accept to the end of the handshake and of the checks behind it.
    public static let tlsHandshakeSeconds: Int64 = 10
    /// How long a closed connection waits for its peer's farewell.
    public static let tlsCloseMilliseconds: Int64 = 500
    /// Memory that a connection keeps for encrypted output between writes: a full record.
    public static let tlsKeptBytes = 17 << 10

    // HTTP beside gRPC

    /// Body of one plain HTTP request.
    public static let httpBodyBytesMax = 16 << 20
    /// A line of an answer longer than this goes to a WebSocket in fragments.
    public static let webSocketFragmentBytes = 32 << 10
    /// Response bytes of one plain HTTP exchange waiting for a slow reader; beyond, the exchange is cut.
    public static let httpQueuedBytesMax = 64 << 20
}
