// Which texts YAML 1.1 would take for something else than a string, so that they must be quoted.

import Wire

enum PlainScalars {
    private static let words: Set<String> = [
        "y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE", "n", "N", "no", "No", "NO", "off", "Off", "OFF", "false",
        "False", "FALSE", "", "~", "null", "Null", "NULL", ".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF",
        "-.inf", "-.Inf", "-.INF",
    ]

    /// Whether a plain scalar of this text would be read as a string again.
    static func isString(_ text: String) -> Bool {
        guard let first = text.utf8.first else { return false }
        if words.contains(text) { return false }
        switch first {
        case UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "0")...UInt8(ascii: "9"):
            let bytes = Array(text.utf8)
            return !isNumber(bytes) && !isBase60(bytes) && !isTimestamp(bytes)
        default: return true
        }
    }

    /// What a plain scalar is in JSON, if it is no string. Times are strings there.
    static func json(_ text: String) -> String? {
        switch text {
        case "", "~", "null", "Null", "NULL": return "null"
        case "y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE": return "true"
        case "n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE": return "false"
        default: break
        }
        guard let first = text.utf8.first, first == 43 || first == 45 || first == 46 || isDigit(first) else { return nil }
        let given = Array(text.utf8)
        let bytes = given.filter { $0 != UInt8(ascii: "_") }
        guard isNumber(given) else { return nil }
        if isInteger(bytes) { return integer(bytes) }
        guard let value = Double(String(decoding: bytes, as: UTF8.self)) else { return nil }
        let sink = ByteSink(capacity: 32)
        FloatText.appendJSON(value, to: sink)
        return String(decoding: sink.bytes, as: UTF8.self)
    }

    /// In decimal.
    private static func integer(_ bytes: [UInt8]) -> String? {
        var rest = bytes[...]
        let isNegative = rest.first == UInt8(ascii: "-")
        if isNegative || rest.first == UInt8(ascii: "+") { rest = rest.dropFirst() }
        let (radix, digits) = split(rest)
        guard let value = UInt64(String(decoding: digits, as: UTF8.self), radix: radix) else { return nil }
        return (isNegative && value > 0 ? "-" : "") + "\(value)"
    }

    /// The base that an unsigned number names, and its digits.
    private static func split(_ unsigned: ArraySlice<UInt8>) -> (radix: Int, digits: ArraySlice<UInt8>) {
        guard unsigned.count > 1, unsigned.first == 48 else { return (10, unsigned) }
        switch unsigned[unsigned.startIndex + 1] | 0x20 {
        case UInt8(ascii: "x"): return (16, unsigned.dropFirst(2))
        case UInt8(ascii: "o"): return (8, unsigned.dropFirst(2))
        case UInt8(ascii: "b"): return (2, unsigned.dropFirst(2))
        default: return (8, unsigned.dropFirst())
        }
    }

    private static func isDigit(_ byte: UInt8) -> Bool { byte >= 48 && byte <= 57 }

    private static func isNumber(_ given: [UInt8]) -> Bool {
        let bytes = given.filter { $0 != UInt8(ascii: "_") }
        // What begins with a point is a number only as it stands.
        if given.first == UInt8(ascii: "."), given.count != bytes.count { return false }
        return isInteger(bytes) || isFloat(bytes)
    }

    /// With Go's prefixes; those that overflow are none, but then they are floating ones or strings.
    private static func isInteger(_ bytes: [UInt8]) -> Bool {
        var rest = bytes[...]
        if rest.first == UInt8(ascii: "+") || rest.first == UInt8(ascii: "-") { rest = rest.dropFirst() }
        let (radix, digits) = split(rest)
        rest = digits
        guard !rest.isEmpty, rest.first != UInt8(ascii: "+"), rest.first != UInt8(ascii: "-") else { return false }
        return UInt64(String(decoding: rest, as: UTF8.self), radix: radix) != nil
    }

    private static func isFloat(_ bytes: [UInt8]) -> Bool {
        var at = 0
        func digits() -> Int {
            let start = at
            while at < bytes.count, isDigit(bytes[at]) { at += 1 }
            return at - start
        }
        if at < bytes.count, bytes[at] == UInt8(ascii: "+") || bytes[at] == UInt8(ascii: "-") { at += 1 }
        let whole = digits()
        if at < bytes.count, bytes[at] == UInt8(ascii: ".") {
            at += 1
            let fraction = digits()
            if whole == 0, fraction == 0 { return false }
        } else if whole == 0 {
            return false
        }
        if at < bytes.count, bytes[at] | 0x20 == UInt8(ascii: "e") {
            at += 1
            if at < bytes.count, bytes[at] == UInt8(ascii: "+") || bytes[at] == UInt8(ascii: "-") { at += 1 }
            if digits() == 0 { return false }
        }
        // One that is too large for a floating number is a string.
        return at == bytes.count && (Double(String(decoding: bytes, as: UTF8.self))?.isFinite ?? true)
    }

    /// `1:30`, in old YAML a number of base 60.
    private static func isBase60(_ bytes: [UInt8]) -> Bool {
        var at = 0
        if bytes.first == UInt8(ascii: "+") || bytes.first == UInt8(ascii: "-") { at += 1 }
        guard at < bytes.count, isDigit(bytes[at]) else { return false }
        while at < bytes.count, isDigit(bytes[at]) || bytes[at] == UInt8(ascii: "_") { at += 1 }
        var groups = 0
        while at < bytes.count, bytes[at] == UInt8(ascii: ":") {
            at += 1
            let start = at
            while at < bytes.count, isDigit(bytes[at]), at - start < 2 { at += 1 }
            guard at > start, at - start == 1 || bytes[start] < UInt8(ascii: "6") else { return false }
            groups += 1
        }
        guard groups > 0 else { return false }
        if at < bytes.count, bytes[at] == UInt8(ascii: ".") {
            at += 1
            while at < bytes.count, isDigit(bytes[at]) || bytes[at] == UInt8(ascii: "_") { at += 1 }
        }
        return at == bytes.count
    }

    /// A date, or a date with a time.
    private static func isTimestamp(_ bytes: [UInt8]) -> Bool {
        var at = 0
        func number(_ widths: ClosedRange<Int>) -> Int? {
            let start = at
            var value = 0
            while at < bytes.count, isDigit(bytes[at]), at - start < widths.upperBound {
                value = value * 10 + Int(bytes[at] - 48)
                at += 1
            }
            return widths.contains(at - start) ? value : nil
        }
        func take(_ characters: String) -> Bool {
            guard at < bytes.count, characters.utf8.contains(bytes[at]) else { return false }
            at += 1
            return true
        }
        guard let year = number(4...4), take("-"), let month = number(1...2), take("-"), let day = number(1...2) else { return false }
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        let days = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        guard (1...12).contains(month), day >= 1, day <= days[month - 1] else { return false }
        if at == bytes.count { return true }
        let hasZone = bytes[at] != UInt8(ascii: " ")
        guard take("Tt "), let hour = number(1...2), take(":"), let minute = number(1...2), take(":"), let second = number(1...2),
            hour < 24, minute < 60, second < 60
        else { return false }
        if take(".") { guard number(1...30) != nil else { return false } }
        guard hasZone else { return at == bytes.count }
        if take("Z") { return at == bytes.count }
        guard take("+-"), let hours = number(2...2), take(":"), let minutes = number(2...2), hours < 24, minutes < 60 else { return false }
        return at == bytes.count
    }
}
