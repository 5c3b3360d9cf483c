// The settings of log rotation: one flat JSON object.

import DatastoreTracing

/// When to rotate and what to keep.
public struct LogRotation: Sendable, Equatable {
    static let defaultText =
        #"{"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, "compress": false}"#

    /// 0 means 100.
    public var megabytesMaximum: Int64 = 0
    /// 0 keeps backups for ever.
    public var ageDaysMaximum: Int64 = 0
    /// 0 keeps all.
    public var backupsMaximum: Int64 = 0
    public var usesLocalTime = false
    public var compresses = false

    /// As the files are rotated; sizes that are no sizes are the default.
    public var policy: FileRotation {
        let megabytes = megabytesMaximum > 0 ? min(megabytesMaximum, 1 << 40) : 100
        return FileRotation(
            bytesMaximum: megabytes << 20, ageDaysMaximum: max(0, ageDaysMaximum), backupsMaximum: max(0, backupsMaximum),
            usesLocalTime: usesLocalTime, compresses: compresses)
    }

    init(_ text: String) throws(ConfigurationError) {
        var reader = FlatJSONReader(text)
        guard let members = reader.readObject() else {
            throw ConfigurationError("improperly formatted log rotation config")
        }
        for (name, value) in members {
            switch (name, value) {
            case (_, .null): break
            case ("maxsize", .integer(let number)): megabytesMaximum = number
            case ("maxage", .integer(let number)): ageDaysMaximum = number
            case ("maxbackups", .integer(let number)): backupsMaximum = number
            case ("localtime", .boolean(let flag)): usesLocalTime = flag
            case ("compress", .boolean(let flag)): compresses = flag
            case ("maxsize", _), ("maxage", _), ("maxbackups", _), ("localtime", _), ("compress", _):
                throw ConfigurationError("invalid log rotation config")
            default: break  // unknown names mean nothing
            }
        }
    }
}

/// Reads one JSON object without nesting.
struct FlatJSONReader {
    enum Value: Equatable {
        case integer(Int64)
        case boolean(Bool)
        case null
        case string(String)
        case other
    }

    private var rest: Substring

    init(_ text: String) { rest = text[...] }

    /// The members in order, or nil when the text is not one flat object.
    mutating func readObject() -> [(name: String, value: Value)]? {
        guard take("{") else { return nil }
        var members: [(name: String, value: Value)] = []
        if !take("}") {
            repeat {
                guard let name = readString(), take(":"), let value = readValue() else { return nil }
                members.append((name, value))
            } while take(",")
            guard take("}") else { return nil }
        }
        skipBlanks()
        return rest.isEmpty ? members : nil
    }

    private mutating func skipBlanks() { rest = rest.drop(while: \.isWhitespace) }

    private mutating func take(_ character: Character) -> Bool {
        skipBlanks()
        guard rest.first == character else { return false }
        rest = rest.dropFirst()
        return true
    }

    private mutating func readString() -> String? {
        guard take("\"") else { return nil }
        var text = ""
        while let character = rest.popFirst() {
            if character == "\"" { return text }
            if character == "\\" {
                guard let escaped = rest.popFirst() else { return nil }
                text.append(escaped)
            } else {
                text.append(character)
            }
        }
        return nil
    }

    private mutating func readValue() -> Value? {
        skipBlanks()
        if rest.first == "\"" { return readString().map { .string($0) } }
        let word = rest.prefix { $0.isLetter || $0.isNumber || "+-.".contains($0) }
        rest = rest.dropFirst(word.count)
        switch word {
        case "true": return .boolean(true)
        case "false": return .boolean(false)
        case "null": return .null
        default:
            if let number = Int64(word) { return .integer(number) }
            return Double(word) == nil ? nil : .other
        }
    }
}
