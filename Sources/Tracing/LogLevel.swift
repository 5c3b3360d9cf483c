// Severity of a line, in the names and order of etcd's logger.

/// How severe a line is.
public enum LogLevel: UInt8, Sendable, Comparable, CaseIterable {
    case debug, info, warn, error, dpanic, panic, fatal

    public static func < (left: LogLevel, right: LogLevel) -> Bool { left.rawValue < right.rawValue }

    /// The name in the `level` key.
    public var name: String {
        switch self {
        case .debug: "debug"
        case .info: "info"
        case .warn: "warn"
        case .error: "error"
        case .dpanic: "dpanic"
        case .panic: "panic"
        case .fatal: "fatal"
        }
    }

    /// Reads a level's name in any case; no name is `info`.
    public init?(name: String) {
        let name = name.isEmpty ? "info" : name.lowercased()
        guard let level = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = level
    }

    /// The priority of syslog and the journal.
    var journalPriority: Int {
        switch self {
        case .debug: 7
        case .info: 6
        case .warn: 4
        case .error: 3
        case .dpanic, .panic, .fatal: 2
        }
    }
}
