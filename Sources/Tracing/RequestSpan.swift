// The steps of one request with the moment each was reached: what a slow request is explained with.

/// A step of a request, in the order in which requests take them. A read takes others than a write.
public enum RequestStep: Int, Sendable, CaseIterable {
    /// Its turn on the event loop has come.
    case queued
    /// A quorum has confirmed that this member may answer, and what it confirmed is applied.
    case readIndexWait
    /// Handed to Raft.
    case proposed
    /// In the log's file, in the operating system's memory.
    case appended
    /// On the disk.
    case fsynced
    /// On a quorum's disks, and its turn to be applied has come.
    case committed
    /// Its effects are in the store, its answer is made.
    case applied
    /// The keys of a read are found.
    case ranged
    /// The answer is handed to the transport. A large one is made while it is sent.
    case encoded
    /// Time in which the client's windows or its socket took nothing has passed.
    case flowControlWait
    /// The last of the answer is handed to the operating system.
    case flushed

    /// The step's name in log lines and spans.
    public var name: String {
        switch self {
        case .queued: "queued"
        case .readIndexWait: "read index wait"
        case .proposed: "proposed"
        case .appended: "appended"
        case .fsynced: "fsynced"
        case .committed: "committed"
        case .applied: "applied"
        case .ranged: "ranged"
        case .encoded: "encoded"
        case .flowControlWait: "flow control wait"
        case .flushed: "flushed"
        }
    }
}

/// A fixed-size record of a request's steps: marking one is storing a clock value that the caller has
/// already read. Moments are nanoseconds of the monotonic clock.
public struct RequestSpan: Sendable {
    /// When the request arrived; 0 before it has begun.
    public var start: UInt64 { @inlinable get { began } }
    @usableFromInline var began: UInt64
    /// A bit for each step that was reached.
    @usableFromInline var present: UInt16 = 0
    /// Offsets from the start.
    @usableFromInline
    var reached: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) =
        (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)

    public init(start: UInt64) { began = start }

    /// Forgets all steps.
    @inlinable @inline(__always)
    public mutating func restart(at now: UInt64) {
        began = now
        present = 0
    }

    /// Notes that `step` was reached at `now`. A step may be marked again: the last moment counts.
    @inlinable @inline(__always)
    public mutating func mark(_ step: RequestStep, at now: UInt64) {
        let offset = now >= start ? now - start : 0
        withUnsafeMutableBytes(of: &reached) { $0.storeBytes(of: offset, toByteOffset: step.rawValue * 8, as: UInt64.self) }
        present |= 1 << UInt16(step.rawValue)
    }

    /// Whether `step` was reached.
    @inlinable @inline(__always)
    public func has(_ step: RequestStep) -> Bool { present & 1 << UInt16(step.rawValue) != 0 }

    /// Nanoseconds from the start to `step`, or nil if it was not reached.
    public func elapsed(_ step: RequestStep) -> UInt64? {
        guard present & 1 << UInt16(step.rawValue) != 0 else { return nil }
        return withUnsafeBytes(of: reached) { $0.load(fromByteOffset: step.rawValue * 8, as: UInt64.self) }
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
        .strings("request-steps", steps.map { "\($0.step.name) \(Nanoseconds(Int64(clamping: $0.nanoseconds)))" })
    }
}
