// How a command ends when it does not end well.

/// The command line is wrong: printed as `Error: …` with the usage behind it, status 1.
public struct CommandLineError: Error, Equatable, Sendable, CustomStringConvertible {
    public let description: String
    public init(_ text: String) { description = text }
}

/// A command failed: printed as `Error: …` without usage, with a status of its own.
public struct CommandFailure: Error, Equatable, Sendable, CustomStringConvertible {
    /// Empty: nothing is printed.
    public let description: String
    public let status: Int32

    public init(_ text: String, status: Int32 = 1) {
        description = text
        self.status = status
    }
}

/// A value does not fit its flag: why, in the words that pflag's users see.
public struct FlagValueError: Error, Equatable, Sendable, CustomStringConvertible {
    public let description: String
    public init(_ text: String) { description = text }
}
