// When calls should begin.

/// The moments of a load's calls. A value without a clock: who uses it says what time it is.
///
/// With a rate the moments stand from the beginning, whatever the server does: a call that begins late because the server
/// was slow is late, and its latency is counted from the moment it was meant for. Otherwise the worst moments of a server
/// would be measured least (coordinated omission).
public struct Pacer: Sendable {
    public enum Arrivals: Sendable, Equatable {
        /// At equal distances.
        case uniform
        /// As many independent clients come: distances are exponential.
        case poisson
    }

    private let start: UInt64
    /// Calls per second; 0: as fast as it goes.
    public let rate: Double
    private let arrivals: Arrivals
    private var random: SplitMix
    /// Of the next call, in nanoseconds from the start.
    private var offset = 0.0
    public private(set) var taken: UInt64 = 0

    public init(start: UInt64, rate: Double, arrivals: Arrivals = .uniform, seed: UInt64 = 1) {
        precondition(rate >= 0 && rate.isFinite)
        self.start = start
        self.rate = rate
        self.arrivals = arrivals
        random = SplitMix(seed)
        if arrivals == .poisson, rate > 0 { offset = random.exponential() * 1e9 / rate }
    }

    public var isPaced: Bool { rate > 0 }

    /// When the next call is due; nil without a rate, when it always is.
    @inline(__always)
    public var due: UInt64? { rate > 0 ? start &+ UInt64(offset) : nil }

    /// Takes the next call if it is due: the moment that it is meant for.
    @inline(__always)
    public mutating func take(_ now: UInt64) -> UInt64? {
        guard rate > 0 else {
            taken += 1
            return now
        }
        let moment = start &+ UInt64(offset)
        guard moment <= now else { return nil }
        taken += 1
        switch arrivals {
        // Not by adding, which would add up rounding.
        case .uniform: offset = Double(taken) * 1e9 / rate
        case .poisson: offset += random.exponential() * 1e9 / rate
        }
        return moment
    }
}

/// SplitMix64: a seed gives the same numbers everywhere.
struct SplitMix: RandomNumberGenerator, Sendable {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// Below a bound.
    mutating func below(_ bound: Int) -> Int { bound <= 1 ? 0 : Int(next().multipliedFullWidth(by: UInt64(bound)).high) }

    /// In 0 ..< 1.
    mutating func fraction() -> Double { Double(next() >> 11) * 0x1p-53 }

    /// With mean 1.
    mutating func exponential() -> Double { -Logarithm.of(1 - fraction()) }
}
