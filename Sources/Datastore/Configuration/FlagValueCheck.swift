// Whether a text is a value of a flag's kind; the reasons are those that operators know.


import DatastoreTracing

/// Why a value is refused.
struct FlagValueError: Error, Equatable {
    let reason: String
    static let parse = FlagValueError(reason: "parse error")
    static let range = FlagValueError(reason: "value out of range")
}

extension FlagKind {
    /// Throws the reason if `text` is not a value of this kind.
    func check(_ text: String) throws(FlagValueError) {
        switch self {
        case .string, .strings, .ignored:
            break
        case .boolean:
            if parseBoolean(text) == nil { throw .parse }
        case .unsigned(let bits):
            guard bits < 64 else {
                _ = try parseUnsigned(text)
                return
            }
            // Go's flags have no such type of their own, so its reader's text comes through.
            let parsed = try? parseUnsigned(text)
            guard let parsed, parsed >> UInt64(bits) == 0 else {
                let isNumber = !text.isEmpty && text.utf8.allSatisfy((UInt8(ascii: "0")...UInt8(ascii: "9")).contains)
                throw FlagValueError(
                    reason: "strconv.ParseUint: parsing \(quoted(text)): \(isNumber ? "value out of range" : "invalid syntax")")
            }
        case .signed:
            _ = try parseSigned(text)
        case .duration:
            if Nanoseconds(text) == nil { throw .parse }
        case .urls:
            if !text.isEmpty { try Self.checkURLs(text) }
        case .origins:
            if text != "*" && !text.isEmpty { try Self.checkURLs(text) }
        case .choice(let values):
            if !values.contains(text) { throw FlagValueError(reason: "invalid value") }
        case .featureGates:
            do { _ = try FeatureGates.parse(text) } catch { throw FlagValueError(reason: error.reason) }
        }
    }

    private static func checkURLs(_ text: String) throws(FlagValueError) {
        do { _ = try EndpointURL.list(text) } catch { throw FlagValueError(reason: error.reason) }
    }
}

/// The spellings of truth that Go's flags accept.
func parseBoolean(_ text: String) -> Bool? {
    switch text {
    case "1", "t", "T", "true", "TRUE", "True": true
    case "0", "f", "F", "false", "FALSE", "False": false
    default: nil
    }
}

/// A whole number in decimal, or with 0x, 0o, 0b or a leading 0 for octal; underscores may separate digits
/// of the prefixed forms.
func parseUnsigned(_ text: String) throws(FlagValueError) -> UInt64 {
    let (digits, radix) = try splitRadix(text)
    guard let value = UInt64(digits, radix: radix) else {
        throw digits.allSatisfy({ $0.hexDigitValue.map { $0 < radix } ?? false }) ? .range : .parse
    }
    return value
}

/// The same with a sign.
func parseSigned(_ text: String) throws(FlagValueError) -> Int64 {
    let negative = text.hasPrefix("-")
    let magnitude = try parseUnsigned(negative || text.hasPrefix("+") ? String(text.dropFirst()) : text)
    guard magnitude <= UInt64(Int64.max) + (negative ? 1 : 0) else { throw .range }
    return negative ? Int64(truncatingIfNeeded: 0 &- magnitude) : Int64(magnitude)
}

private func splitRadix(_ text: String) throws(FlagValueError) -> (digits: String, radix: Int) {
    var digits = text[...]
    var radix = 10
    for (prefix, base) in [("0x", 16), ("0X", 16), ("0o", 8), ("0O", 8), ("0b", 2), ("0B", 2)]
    where text.hasPrefix(prefix) {
        digits = text.dropFirst(2)
        radix = base
    }
    if radix == 10 && text.count > 1 && text.hasPrefix("0") {
        digits = text.dropFirst()
        radix = 8
    }
    if radix != 10 {
        guard !digits.hasSuffix("_"), !digits.contains("__") else { throw .parse }
        digits = digits.filter { $0 != "_" }[...]
    }
    // Swift's own reader would take a sign here.
    guard let first = digits.first, first.isHexDigit else { throw .parse }
    return (String(digits), radix)
}
