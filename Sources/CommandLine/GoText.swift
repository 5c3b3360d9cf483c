// Texts that Go's programs read and write in one way: quoted strings, numbers, durations, lists in a flag.

/// Spellings of Go's standard library, as users of etcd's tools meet them.
public enum GoText {
    // MARK: Strings

    /// A string in double quotes with Go's escapes, as `%q` writes it.
    public static func quoted(_ text: String) -> String { quoted(Array(text.utf8)) }

    /// Bytes in double quotes; what is no UTF-8 becomes `\xNN`.
    public static func quoted(_ bytes: some Collection<UInt8>) -> String {
        let source = Array(bytes)
        var result: [UInt8] = [UInt8(ascii: "\"")]
        result.reserveCapacity(source.count + source.count / 4 + 2)
        var at = 0
        while at < source.count {
            let byte = source[at]
            if byte < 0x80 {
                at += 1
                if byte >= 0x20, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte != 0x7f {
                    result.append(byte)
                } else {
                    result += escaped(Unicode.Scalar(byte), quote: "\"").utf8
                }
                continue
            }
            var decoder = UTF8()
            var iterator = source[at..<min(at + 4, source.count)].makeIterator()
            if case .scalarValue(let scalar) = decoder.decode(&iterator) {
                at += UTF8.width(scalar)
                result += escaped(scalar, quote: "\"").utf8
            } else {
                at += 1
                result += ("\\x" + hexadecimal(UInt32(byte), digits: 2)).utf8
            }
        }
        result.append(UInt8(ascii: "\""))
        return String(decoding: result, as: UTF8.self)
    }

    /// One character in single quotes.
    public static func quoted(_ character: Character) -> String {
        "'" + character.unicodeScalars.map { escaped($0, quote: "'") }.joined() + "'"
    }

    private static func escaped(_ scalar: Unicode.Scalar, quote: Unicode.Scalar) -> String {
        switch scalar {
        case quote, "\\": return "\\" + String(Character(scalar))
        case "\u{07}": return "\\a"
        case "\u{08}": return "\\b"
        case "\u{0c}": return "\\f"
        case "\n": return "\\n"
        case "\r": return "\\r"
        case "\t": return "\\t"
        case "\u{0b}": return "\\v"
        default: break
        }
        if scalar.value < 0x20 || scalar.value == 0x7f { return "\\x" + hexadecimal(scalar.value, digits: 2) }
        if scalar.value < 0x7f || isPrintable(scalar) { return String(Character(scalar)) }
        return scalar.value <= 0xffff ? "\\u" + hexadecimal(scalar.value, digits: 4) : "\\U" + hexadecimal(scalar.value, digits: 8)
    }

    /// Letters, marks, numbers, punctuation and symbols; no blank but the ASCII one.
    private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .spaceSeparator, .lineSeparator, .paragraphSeparator: false
        default: true
        }
    }

    static func hexadecimal(_ value: UInt32, digits: Int) -> String {
        let text = String(value, radix: 16)
        return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
    }

    // MARK: Integers

    enum Integer<Value> { case value(Value), syntax, range }

    /// An integer in the base that its prefix names, `_` between digits where there is a prefix.
    static func integer<Value: FixedWidthInteger>(_ text: String, as type: Value.Type) -> Integer<Value> {
        var digits = Array(text.utf8)[...]
        var isNegative = false
        if Value.isSigned, let sign = digits.first, sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-") {
            isNegative = sign == UInt8(ascii: "-")
            digits.removeFirst()
        }
        var base: Value = 10
        var hasPrefix = false
        if digits.count > 1, digits.first == UInt8(ascii: "0") {
            hasPrefix = true
            switch digits[digits.startIndex + 1] | 0x20 {
            case UInt8(ascii: "x"): base = 16
            case UInt8(ascii: "o"): base = 8
            case UInt8(ascii: "b"): base = 2
            default: base = 8
            }
            digits.removeFirst(digits[digits.startIndex + 1] | 0x20 > UInt8(ascii: "9") ? 2 : 1)
        }
        var value: Value = 0
        var overflows = false
        var lastWasDigit = hasPrefix
        guard !digits.isEmpty else { return .syntax }
        for byte in digits {
            if byte == UInt8(ascii: "_") {
                guard hasPrefix, lastWasDigit else { return .syntax }
                lastWasDigit = false
                continue
            }
            guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue, digit < Int(base) else { return .syntax }
            lastWasDigit = true
            let (product, first) = value.multipliedReportingOverflow(by: base)
            let (sum, second) = isNegative ? product.subtractingReportingOverflow(Value(digit)) : product.addingReportingOverflow(Value(digit))
            overflows = overflows || first || second
            value = sum
        }
        return !lastWasDigit ? .syntax : overflows ? .range : .value(value)
    }

    // MARK: Durations

    private static let units: [(name: String, nanoseconds: Int64)] = [
        ("ns", 1), ("us", 1000), ("\u{b5}s", 1000), ("\u{3bc}s", 1000), ("ms", 1_000_000), ("s", 1_000_000_000),
        ("m", 60_000_000_000), ("h", 3_600_000_000_000),
    ]

    /// `1h2m3.5s`, `100ms`, `-1.5h`, `0`.
    public static func duration(_ text: String) throws(FlagValueError) -> Duration {
        func invalid() -> FlagValueError { FlagValueError("time: invalid duration \(quoted(text))") }
        var rest = Substring(text)
        var isNegative = false
        if let sign = rest.first, sign == "+" || sign == "-" {
            isNegative = sign == "-"
            rest.removeFirst()
        }
        if rest == "0" { return .zero }
        guard !rest.isEmpty else { throw invalid() }
        var total: Int64 = 0
        while !rest.isEmpty {
            let whole = rest.prefix { $0.isASCII && $0.isNumber }
            rest = rest.dropFirst(whole.count)
            var fraction = Substring()
            if rest.first == "." {
                rest.removeFirst()
                fraction = rest.prefix { $0.isASCII && $0.isNumber }
                rest = rest.dropFirst(fraction.count)
            }
            guard !whole.isEmpty || !fraction.isEmpty else { throw invalid() }
            let name = rest.prefix { $0 != "." && !($0.isASCII && $0.isNumber) }
            guard !name.isEmpty else { throw FlagValueError("time: missing unit in duration \(quoted(text))") }
            rest = rest.dropFirst(name.count)
            guard let unit = units.first(where: { $0.name == name })?.nanoseconds else {
                throw FlagValueError("time: unknown unit \(quoted(String(name))) in duration \(quoted(text))")
            }
            guard let count = whole.isEmpty ? 0 : Int64(whole) else { throw invalid() }
            let (product, first) = count.multipliedReportingOverflow(by: unit)
            // More digits than a nanosecond has say nothing.
            var part: Int64 = 0
            var scale = unit
            for digit in fraction {
                scale /= 10
                guard scale > 0 else { break }
                part += scale * Int64(digit.wholeNumberValue!)
            }
            let (sum, second) = total.addingReportingOverflow(product)
            let (result, third) = sum.addingReportingOverflow(part)
            guard !first, !second, !third else { throw invalid() }
            total = result
        }
        return .nanoseconds(isNegative ? -total : total)
    }

    /// `1h2m3.5s`, `1.5ms`, `0s`.
    public static func text(_ duration: Duration) -> String {
        let (seconds, attoseconds) = duration.components
        let nanoseconds = seconds &* 1_000_000_000 &+ attoseconds / 1_000_000_000
        if nanoseconds == 0 { return "0s" }
        let sign = nanoseconds < 0 ? "-" : ""
        let left = nanoseconds.magnitude
        func decimal(_ unit: UInt64) -> String {
            let whole = left % (unit == 1_000_000_000 ? 60 * unit : .max) / unit
            guard left % unit != 0 else { return String(whole) }
            var fraction = String(left % unit + unit).dropFirst()
            while fraction.last == "0" { fraction.removeLast() }
            return "\(whole).\(fraction)"
        }
        if left < 1000 { return "\(sign)\(left)ns" }
        if left < 1_000_000 { return sign + decimal(1000) + "\u{b5}s" }
        if left < 1_000_000_000 { return sign + decimal(1_000_000) + "ms" }
        let minutes = left / 60_000_000_000
        var result = sign
        if minutes >= 60 { result += "\(minutes / 60)h" }
        if minutes > 0 { result += "\(minutes % 60)m" }
        return result + decimal(1_000_000_000) + "s"
    }

    // MARK: Lists

    /// One line of comma-separated values; a value in double quotes may hold commas, and quotes doubled.
    static func commaSeparated(_ text: String) throws(FlagValueError) -> [String] {
        guard !text.isEmpty else { return [] }
        var values: [String] = []
        var rest = Substring(text)
        while true {
            if rest.first == "\"" {
                var value = ""
                rest.removeFirst()
                while true {
                    guard let end = rest.firstIndex(of: "\"") else {
                        throw FlagValueError("parse error on line 1, column \(text.utf8.count + 1): extraneous or missing \" in quoted-field")
                    }
                    value += rest[..<end]
                    rest = rest[rest.index(after: end)...]
                    guard rest.first == "\"" else { break }
                    value += "\""
                    rest.removeFirst()
                }
                values.append(value)
                guard let next = rest.first else { return values }
                guard next == "," else {
                    throw FlagValueError("parse error on line 1, column \(text.utf8.count - rest.utf8.count): extraneous or missing \" in quoted-field")
                }
                rest.removeFirst()
            } else {
                let end = rest.firstIndex(of: ",") ?? rest.endIndex
                let value = rest[..<end]
                if let quote = value.firstIndex(of: "\"") {
                    let column = text.utf8.distance(from: text.utf8.startIndex, to: quote) + 1
                    throw FlagValueError("parse error on line 1, column \(column): bare \" in non-quoted-field")
                }
                values.append(String(value))
                if end == rest.endIndex { return values }
                rest = rest[rest.index(after: end)...]
            }
        }
    }

    static func commaField(_ text: String) -> String {
        guard text.contains(where: { $0 == "," || $0 == "\"" || $0.isNewline }) || text.first == " " else { return text }
        return "\"" + text.map { $0 == "\"" ? "\"\"" : String($0) }.joined() + "\""
    }
}
