// How long and how fast a run is, and what came of it.

/// How long, how many at a time, how fast.
struct RunSettings: Sendable {
    /// Calls in all; nil: as many as fit into the time.
    var total: Int?
    /// No call begins later than this; zero: no limit.
    var duration = Duration.zero
    /// Calls in flight at most.
    var clients = 1
    /// Calls per second; zero: as fast as it goes.
    var rate = 0.0
    var arrivals = Pacer.Arrivals.uniform
    var seed: UInt64 = 1
    /// Which connection the first client has.
    var firstLink = 0
}

/// What came of a run.
struct RunOutcome: Sendable {
    var operations: [OperationRecorder] = []
    /// From its beginning to the last answer.
    var seconds = 0.0
    /// Calls of the pacer, one for each operation.
    var begun = 0
    var ended = 0
    var wasInterrupted = false
    /// Why it stopped before its end.
    var failure: String?
    /// Processor time of this process.
    var processorSeconds = 0.0

    var errors: UInt64 { operations.reduce(0) { $0 + $1.errorCount } }
    var completed: UInt64 { operations.reduce(0) { $0 + $1.latencies.count } }
}
