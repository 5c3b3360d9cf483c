// How many client pings are too many: grpc-go's rule, strike by strike, because clients are tuned to it.

/// Counts pings that come too fast. A ping right after data or headers were sent is always good: clients
/// measure bandwidth with such pings, by the thousand.
struct PingPolicy {
    private static let strikesMax = 2
    /// With no call open (and no leave to ping then), pings may come this far apart.
    private static let idleMinimum: UInt64 = 2 * 3600 * 1_000_000_000

    private let minimum: UInt64
    private let permitWithoutCalls: Bool
    private var lastPing: UInt64?
    private var strikes = 0
    private var sentSinceLastPing = false

    init(_ policy: KeepalivePolicy) {
        minimum = policy.clientPingMinimum.nanosecondsClamped
        permitWithoutCalls = policy.clientPingWithoutCalls
    }

    /// DATA or HEADERS were sent.
    @inline(__always)
    mutating func sent() { sentSinceLastPing = true }

    /// A ping came. False when the client must be disconnected.
    mutating func pinged(now: UInt64, openCalls: Int) -> Bool {
        let last = lastPing
        lastPing = now
        if sentSinceLastPing {
            sentSinceLastPing = false
            strikes = 0
            return true
        }
        let minimum = openCalls == 0 && !permitWithoutCalls ? Self.idleMinimum : minimum
        if let last, now < last &+ minimum { strikes += 1 }
        return strikes <= Self.strikesMax
    }
}
