// SETTINGS that change the initial window are work for every open stream: a few bytes from the peer, a walk over its
// streams here. Counted by that work and not by frames, because clients send them as often as they like.

struct SettingsPolicy {
    /// Stream updates that may still be asked for.
    private var allowance = TransportLimits.windowUpdatesBurst
    private var refilled: UInt64

    init(now: UInt64) { refilled = now }

    /// A frame came that changes the initial window so many times over. False when the peer asks too much.
    mutating func windowChanged(times: Int, streams: Int, now: UInt64) -> Bool {
        guard times > 0 else { return true }
        let seconds = Double(now &- refilled) / 1e9
        let fresh = Int(seconds * Double(TransportLimits.windowUpdatesPerSecond))
        if fresh > 0 {
            allowance = min(TransportLimits.windowUpdatesBurst, allowance + fresh)
            refilled = now
        }
        allowance -= times * streams
        return allowance >= 0
    }
}
