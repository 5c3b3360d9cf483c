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
            return [
                .early(.warn, "failed to start etcd", [.error(description)]),
                .early(.fatal, "discovery failed", [.error(description)]),
            ]
        }
        let refusal = DeferredLogLine.early(.warn, "failed to verify flags", [.error(description)])
        guard self == Self.unsetAdvertiseClientURLs else { return [refusal] }
        return [refusal, .early(.warn, "advertise client URLs are not set", [.error(description)])]
    }

    static let unsetAdvertiseClientURLs = ConfigurationError(
        "--advertise-client-urls is required when --listen-client-urls is set explicitly")
}
