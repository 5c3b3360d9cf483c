// Log lines are returned, not written: the driver of the value owns the logger.

public struct LogLine: Equatable, Sendable {
    public enum Level: Equatable, Sendable { case debug, info, warning, error }

    public let level: Level
    public let text: String

    public init(level: Level, text: String) {
        self.level = level
        self.text = text
    }
}

/// The lines since the last `ready()`, bounded.
struct LogLines {
    private(set) var lines: [LogLine] = []
    private var dropped = 0

    var isEmpty: Bool { lines.isEmpty }

    mutating func append(_ level: LogLine.Level, _ text: String) {
        if lines.count < Limits.maxPendingLogLines {
            lines.append(LogLine(level: level, text: text))
        } else {
            dropped += 1
        }
    }

    mutating func take() -> [LogLine] {
        if lines.isEmpty { return [] }
        if dropped > 0 { lines.append(LogLine(level: .warning, text: "dropped \(dropped) raft log lines")) }
        dropped = 0
        let taken = lines
        lines = []
        return taken
    }
}
