// The fields of a line: a name and a value in one of the encodings that log readers expect.

/// One field of a log line.
public struct LogField: Sendable, Equatable {
    /// How a value is encoded.
    public enum Value: Sendable, Equatable {
        case string(String)
        case strings([String])
        case integer(Int64)
        case unsigned(UInt64)
        case hexadecimal(UInt64)
        case boolean(Bool)
        case double(Double)
        case duration(Int64)
        /// Nanoseconds since 1970.
        case time(Int64)
    }

    public let name: String
    public let value: Value

    public init(_ name: String, _ value: Value) {
        self.name = name
        self.value = value
    }

    public static func string(_ name: String, _ value: String) -> LogField { LogField(name, .string(value)) }

    /// A JSON array; `[]` for none.
    public static func strings(_ name: String, _ values: [String]) -> LogField { LogField(name, .strings(values)) }

    public static func int(_ name: String, _ value: some BinaryInteger) -> LogField {
        LogField(name, .integer(Int64(clamping: value)))
    }

    public static func uint64(_ name: String, _ value: UInt64) -> LogField { LogField(name, .unsigned(value)) }

    /// A member or cluster ID: a string of lower-case hexadecimal digits without padding.
    public static func uint64Hex(_ name: String, _ value: UInt64) -> LogField {
        LogField(name, .hexadecimal(value))
    }

    public static func bool(_ name: String, _ value: Bool) -> LogField { LogField(name, .boolean(value)) }

    public static func double(_ name: String, _ value: Double) -> LogField { LogField(name, .double(value)) }

    /// Nanoseconds, written as `184.225µs`.
    public static func duration(_ name: String, _ nanoseconds: some BinaryInteger) -> LogField {
        LogField(name, .duration(Int64(clamping: nanoseconds)))
    }

    public static func duration(_ name: String, _ duration: Nanoseconds) -> LogField {
        LogField(name, .duration(duration.count))
    }

    /// A moment in nanoseconds since 1970, written in the layout of `ts`.
    public static func time(_ name: String, unixNanoseconds: Int64) -> LogField {
        LogField(name, .time(unixNanoseconds))
    }

    /// The `error` field.
    public static func error(_ text: String) -> LogField { LogField("error", .string(text)) }

    /// The `error` field from an error value.
    public static func error(_ error: any Error) -> LogField { LogField("error", .string("\(error)")) }
}
