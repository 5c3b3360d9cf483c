// All that is measured of one kind of call.

/// Belongs to the engine's loop while a run goes on.
public struct OperationRecorder: Sendable {
    public private(set) var name: String
    /// From the moment a call should have begun: where a rate is asked for, waiting for a free client counts.
    public private(set) var latencies = LatencyDistribution()
    /// From the moment it really began.
    public private(set) var serviceTimes = LatencyDistribution()
    public private(set) var errors: [String: UInt64] = [:]
    public private(set) var errorCount: UInt64 = 0
    public private(set) var seconds = SecondTable()
    public private(set) var timeline: Timeline
    /// Answers that were no error but not what was hoped for, e.g. a lost compare-and-swap.
    public var conflicts: UInt64 = 0
    private let isPaced: Bool
    /// Unix time minus monotonic time, in nanoseconds.
    private let wallOffset: Int64

    public init(_ name: String, start: UInt64, wallStart: Int64, isPaced: Bool = false) {
        self.name = name
        self.isPaced = isPaced
        timeline = Timeline(start: start)
        wallOffset = wallStart - Int64(start)
    }

    @inline(__always)
    public mutating func record(intended: UInt64, started: UInt64, ended: UInt64) {
        let latency = ended > intended ? ended - intended : 0
        latencies.record(latency)
        if isPaced { serviceTimes.record(ended > started ? ended - started : 0) }
        timeline.record(at: ended, latency: latency)
        seconds.record(second: (Int64(intended) &+ wallOffset) / 1_000_000_000, latency: latency)
    }

    public mutating func record(error text: String, at now: UInt64, count: UInt64 = 1) {
        errorCount += count
        timeline.recordErrors(count, at: now)
        let key = errors[text] != nil || errors.count < BenchLimits.errorTextsMax ? text : "other errors"
        errors[key, default: 0] += count
    }

    public mutating func finish() { timeline.close() }

    var hasServiceTimes: Bool { isPaced }

    /// Takes another run's calls in; what happened when stays this one's.
    mutating func add(_ other: OperationRecorder) {
        latencies.add(other.latencies)
        serviceTimes.add(other.serviceTimes)
        errorCount += other.errorCount
        conflicts += other.conflicts
        for (text, count) in other.errors { errors[text, default: 0] += count }
    }

    func renamed(_ name: String) -> OperationRecorder {
        var copy = self
        copy.name = name
        return copy
    }
}
