// Automatic compaction: keep so much time, or so many revisions.

import DatastoreTracing

/// What `--auto-compaction-mode` and `--auto-compaction-retention` say.
public struct AutoCompaction: Sendable, Equatable {
    public enum Mode: String, Sendable {
        case periodic, revision
    }

    /// What is kept.
    public enum Policy: Sendable, Equatable {
        case off
        case period(Nanoseconds)
        case revisions(Int64)
    }

    public let mode: Mode
    /// Nanoseconds or revisions, by the mode; what the start-up line shows as a duration.
    public let retention: Nanoseconds

    public var policy: Policy {
        guard retention > .zero else { return .off }
        return mode == .periodic ? .period(retention) : .revisions(retention.count)
    }

    /// Reads both flags: a bare number is hours or revisions, anything else a duration.
    init(mode modeText: String, retention text: String) throws(ConfigurationError) {
        guard let mode = Mode(rawValue: modeText) else {
            throw ConfigurationError(
                modeText.isEmpty ? "undefined auto-compaction-mode" : "unknown auto-compaction-mode \(quoted(modeText))")
        }
        self.mode = mode
        if let number = Int64(text), number >= 0 {
            let (hours, overflow) = number.multipliedReportingOverflow(by: Nanoseconds.hours(1).count)
            guard mode == .revision || !overflow else {
                throw ConfigurationError(
                    "error parsing CompactionRetention: \(quoted(text)) hours are too many", isStartFailure: true)
            }
            retention = Nanoseconds(mode == .periodic ? hours : number)
        } else if let duration = Nanoseconds(text) {
            retention = duration
        } else {
            throw ConfigurationError(
                "error parsing CompactionRetention: time: \(durationProblem(text)) \(quoted(text))", isStartFailure: true)
        }
    }
}

/// What Go says is wrong with a text that is no duration.
private func durationProblem(_ text: String) -> String {
    let digits = text.drop { $0 == "-" || $0 == "+" }
    return !digits.isEmpty && digits.utf8.allSatisfy((UInt8(ascii: "0")...UInt8(ascii: "9")).contains)
        ? "missing unit in duration" : "invalid duration"
}
