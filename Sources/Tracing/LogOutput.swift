// Where lines go, as `--log-outputs` names it.

/// The validated destinations of a log.
public struct LogOutputs: Sendable, Equatable {
    /// One destination.
    public enum Destination: Sendable, Hashable {
        case standardError
        case standardOutput
        case file(String)
        case journal
    }

    /// Nothing is written when empty.
    public let destinations: [Destination]

    /// What a plain start uses.
    public static let standardError = LogOutputs(destinations: [.standardError])

    /// Text of the reason why a list of outputs is refused.
    public struct Invalid: Error, Equatable, CustomStringConvertible {
        public let description: String
    }

    init(destinations: [Destination]) { self.destinations = destinations }

    /// Reads the values of the flag: `default`, `stderr`, `stdout`, `systemd/journal` or file paths.
    public init(_ values: [String]) throws(Invalid) {
        let unique = Array(Set(values)).sorted()
        if unique.count > 1 {
            if unique.contains("default") {
                throw Invalid(description: "multi logoutput for \"default\" is not supported yet")
            }
            if unique.contains("systemd/journal") {
                let values = unique.map { "\"\($0)\"" }.joined(separator: " ")
                throw Invalid(
                    description: "running with systemd/journal but other '--log-outputs' values ([\(values)]) are "
                        + "configured with 'default'; override 'default' value with something else")
            }
        }
        if unique.isEmpty { throw Invalid(description: "'--log-outputs' needs at least one value") }
        if unique.contains("/dev/null") {
            destinations = []
            return
        }
        destinations = unique.map { value in
            switch value {
            case "default", "stderr": .standardError
            case "stdout": .standardOutput
            case "systemd/journal": .journal
            default: .file(value)
            }
        }
    }

    /// Whether a line storm is sampled: not for the journal, which limits rates by itself.
    var isSampled: Bool { !destinations.contains(.journal) }

    /// The paths among the destinations.
    public var files: [String] {
        destinations.compactMap { if case .file(let path) = $0 { path } else { nil } }
    }
}
