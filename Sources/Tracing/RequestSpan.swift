// The steps of one request with the moment each was reached: what a slow request is explained with.

/// A step of a request, in the order in which requests take them. A read takes fewer.
public enum RequestStep: Int, Sendable, CaseIterable {
    case queued, readIndexWait, proposed, appended, fsynced, committed, applied, encoded, flushed

    /// The step's name in log lines.
    public var name: String {
        switch self {
        case .queued: "queued"
        case .readIndexWait: "read index wait"
        case .proposed: "proposed"
        case .appended: "appended"
        case .fsynced: "fsynced"
        case .committed: "committed"
        case .applied: "applied"
        case .encoded: "encoded"
        case .flushed: "flushed"
        }
    }
}

/// A fixed-size record of a request's steps: marking one is storing a clock value that the caller has
/// already read. Moments are nanoseconds of the monotonic clock; 0 means that the step was not taken.
public struct RequestSpan: Sendable {
    /// When the request arrived.
    public let start: UInt64
    /// Reached moments as offsets from the start plus one, so that 0 is free to mean "never".
    @usableFromInline
    var reached: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) =
        (0, 0, 0, 0, 0, 0, 0, 0, 0)

    @inlinable
    public init(start: UInt64) { self.start = start }

    /// Notes that `step` was reached at `now`. A step may be marked again: the last moment counts.
    @inlinable @inline(__always)
    public mutating func mark(_ step: RequestStep, at now: UInt64) {
        withUnsafeMutableBytes(of: &reached) { raw in
            raw.assumingMemoryBound(to: UInt64.self)[step.rawValue] = now >= start ? now - start + 1 : 1
        }
    }

    /// Nanoseconds from the start to `step`, or nil if it was not reached.
    public func elapsed(_ step: RequestStep) -> UInt64? {
        withUnsafeBytes(of: reached) { raw in
            let value = raw.assumingMemoryBound(to: UInt64.self)[step.rawValue]
            return value == 0 ? nil : value - 1
        }
    }

    /// The reached steps in order, each with the time since the reached step before it.
    public var steps: [(step: RequestStep, nanoseconds: UInt64)] {
        var steps: [(step: RequestStep, nanoseconds: UInt64)] = []
        var previous: UInt64 = 0
        for step in RequestStep.allCases {
            guard let elapsed = elapsed(step) else { continue }
            steps.append((step, elapsed > previous ? elapsed - previous : 0))
            previous = max(previous, elapsed)
        }
        return steps
    }

    /// The reached step that took longest.
    public var slowest: (step: RequestStep, nanoseconds: UInt64)? {
        steps.max { $0.nanoseconds < $1.nanoseconds }
    }

    /// The steps as a field of a log line: `fsynced 1.2s`, slowest step included.
    public var field: LogField {
        .strings("steps", steps.map { "\($0.step.name) \(Nanoseconds(Int64(clamping: $0.nanoseconds)))" })
    }
}
