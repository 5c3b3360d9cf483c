// Why a configuration is refused.

import DatastoreTracing

/// A reason not to start, in the words operators know.
public struct ConfigurationError: Error, Sendable, Equatable, CustomStringConvertible {
    public let description: String
    /// Whether etcd finds this only while it starts, and says so in other lines than those of a bad flag.
    public let isStartFailure: Bool

    public init(_ description: String, isStartFailure: Bool = false) {
        self.description = description
        self.isStartFailure = isStartFailure
    }

    /// The lines that tell the reason.
    var lines: [DeferredLogLine] {
        if isStartFailure {
            return Self.startFailure(description, isEarly: true)
        }
        let refusal = DeferredLogLine.early(.warn, "failed to verify flags", [.error(description)])
        guard self == Self.unsetAdvertiseClientURLs else { return [refusal] }
        return [refusal, .early(.warn, "advertise client URLs are not set", [.error(description)])]
    }

    /// What is logged when the server cannot start, whatever the cause; "discovery" is etcd's word for all of it.
    static func startFailure(_ reason: String, isEarly: Bool) -> [DeferredLogLine] {
        let lines: [(LogLevel, String)] = [(.warn, "failed to start etcd"), (.fatal, "discovery failed")]
        return lines.map { DeferredLogLine(level: $0.0, message: $0.1, fields: [.error(reason)], isEarly: isEarly) }
    }

    static let unsetAdvertiseClientURLs = ConfigurationError(
        "--advertise-client-urls is required when --listen-client-urls is set explicitly")
}
