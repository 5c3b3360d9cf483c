// Bounds of the generator's queues, tables and waits, and what happens at each.

public enum BenchLimits {
    /// The etcd release whose tool this one stands for.
    static let version = "3.7.1"
    /// Clients, which is also the calls in flight of a closed loop. More are refused.
    static let clientsMax = 200_000
    /// Connections; more are refused.
    static let connectionsMax = 20_000
    /// Calls in flight of an open loop unless `--max-in-flight` says otherwise. Beyond, calls begin late; they are counted
    /// from the moment they should have begun.
    static let inFlightDefault = 10_000
    /// Connections that are made at the same time.
    static let dialsAtOnce = 32
    /// Pause before a lost connection is made again.
    static let reconnectMilliseconds: Int64 = 100
    /// A run ends when no connection could be made for so long.
    static let outageSeconds = 5.0
    /// How long calls may take to end when a run is over; then they are counted as unfinished.
    static let drainSeconds = 5.0
    /// How long watchers may see nothing while events are missing; then the run ends.
    static let watchStallSeconds = 20.0
    /// Different texts of errors that are told apart; further ones are counted together.
    static let errorTextsMax = 64
    /// Rows of a table by second; later seconds are added to the last one.
    static let secondsMax = 86_400
    /// Points of a plot over time. When they are used up, each two become one of twice the length.
    static let intervalsMax = 512
    /// Length of a plot's points at first.
    static let intervalNanoseconds: UInt64 = 100_000_000
    /// How often signals, progress and ends are looked at.
    static let tickMilliseconds: Int64 = 50
    /// Attempts of an STM transaction; then it failed.
    static let transactionAttemptsMax = 10_000
    /// Keys and values: more than servers take.
    static let sizeMax = 64 << 20
    /// Steps of a search for capacity.
    static let capacityStepsMax = 64
    /// Watchers of one run.
    static let watchersMax = 2_000_000
    /// Puts whose moments are remembered for events that come later than their answers; older ones are forgotten.
    static let rememberedPuts = 1 << 16
}
