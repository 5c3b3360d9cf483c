// Why a configuration is refused.

/// A reason not to start, in the words operators know.
public struct ConfigurationError: Error, Sendable, Equatable, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}
