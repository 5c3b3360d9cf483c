// What a scalar of a YAML document means: the rules of YAML 1.1, by which etcd's own reader goes.

/// A scalar as written.
struct YAMLScalar: Sendable, Equatable {
    let text: String
    /// Without quotes: only such a text can be anything but a string.
    let isPlain: Bool
    let tag: String?

    enum Value: Equatable {
        case null
        case boolean(Bool)
        case integer(negative: Bool, magnitude: UInt64)
        case float(Double)
        case string(String)
    }

    var value: Value {
        switch tag {
        case "tag:yaml.org,2002:str"?: .string(text)
        case "tag:yaml.org,2002:null"?: .null
        case nil where !isPlain: .string(text)
        default: Self.resolve(text)
        }
    }

    private static let nulls: Set = ["", "~", "null", "Null", "NULL"]
    private static let truths: Set = ["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"]
    private static let falsehoods: Set = ["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"]

    private static func resolve(_ text: String) -> Value {
        if nulls.contains(text) { return .null }
        if truths.contains(text) { return .boolean(true) }
        if falsehoods.contains(text) { return .boolean(false) }
        guard let first = text.utf8.first, "+-.0123456789".utf8.contains(first) else { return .string(text) }
        let digits = text.filter { $0 != "_" }
        let negative = digits.hasPrefix("-")
        if let magnitude = try? parseUnsigned(negative || digits.hasPrefix("+") ? String(digits.dropFirst()) : digits) {
            return .integer(negative: negative, magnitude: magnitude)
        }
        switch text {
        case ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF": return .float(.infinity)
        case "-.inf", "-.Inf", "-.INF": return .float(-.infinity)
        default: break
        }
        // Swift's reader also takes hexadecimal floats and words, YAML does not.
        let allowed =
            digits.utf8.allSatisfy { "+-.eE0123456789".utf8.contains($0) }
            && digits.utf8.contains { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        if allowed, let number = Double(digits.hasSuffix(".") ? digits + "0" : digits) { return .float(number) }
        return .string(text)
    }
}
