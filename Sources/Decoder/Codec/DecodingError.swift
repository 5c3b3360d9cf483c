// What is wrong with a value, and where.

/// Why a value cannot be read or written.
public struct DecodingError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What is wrong, in a few words.
    public let reason: String
    /// The byte of the input at which it was seen; nil if it belongs to no one byte.
    public let offset: Int?
    /// The field: `spec.containers[0].image`; empty for the object itself.
    public let path: String

    public init(_ reason: String, offset: Int? = nil, path: String = "") {
        self.reason = reason
        self.offset = offset
        self.path = path
    }

    public var description: String {
        var text = reason
        if !path.isEmpty { text += ", field \(path)" }
        if let offset { text += ", at byte \(offset)" }
        return text
    }
}
