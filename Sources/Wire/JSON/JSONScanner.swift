// Where one JSON value of a text ends, found byte by byte as the text arrives. Same verdicts and words as Go's encoding/json, which
// etcd's gateway puts in front of its protobuf parser.

/// A value without I/O: feed it bytes, it says when a value is complete. Nesting is a bit per level, nothing recurses.
public struct JSONScanner {
    public enum Outcome: Equatable, Sendable {
        /// All bytes belong to a value that is not complete.
        case unfinished
        /// The value ends in front of this byte of what was passed in last.
        case complete(end: Int)
        case malformed(String)
    }

    /// Levels of objects and arrays in each other; Go's limit.
    public static let depthMax = 10_000

    private enum Step: UInt8 {
        case beginValue, beginValueOrEmpty, beginString, beginStringOrEmpty, afterKey, afterMember, afterElement
        case inString, inEscape, inEscapeU, inEscapeU1, inEscapeU12, inEscapeU123
        case minus, zero, digits, point, fraction, exponent, exponentSign, exponentDigits
        case literal, atTopEnd
    }

    private var step = Step.beginValue
    /// The string being read is a member's name.
    private var isKey = false
    /// A bit per open level: set for objects.
    private var levels: [UInt64] = []
    private var depth = 0
    /// What is left of `true`, `false` or `null`, and its name for the error text.
    private var expected: StaticString = ""
    private var expectedAt = 0
    private var hasBegun = false

    public init() {}

    /// True while nothing but white space was seen since the last complete value.
    public var isBetweenValues: Bool { !hasBegun }

    /// Goes on with the next bytes. After `complete` call it again with the bytes from `end` on for the next value.
    public mutating func scan(_ bytes: UnsafeRawBufferPointer) -> Outcome {
        guard let base = bytes.baseAddress else { return .unfinished }
        let count = bytes.count
        var position = 0
        while position < count {
            let byte = base.load(fromByteOffset: position, as: UInt8.self)
            switch step {
            case .inString:
                // Most bytes of a request are inside its strings.
                var byte = byte
                while byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 {
                    position += 1
                    if position == count { return .unfinished }
                    byte = base.load(fromByteOffset: position, as: UInt8.self)
                }
                if byte == UInt8(ascii: "\"") {
                    if isKey { step = .afterKey } else { endValue() }
                } else if byte == UInt8(ascii: "\\") {
                    step = .inEscape
                } else {
                    return fail(byte, "in string literal")
                }
            case .beginValue, .beginValueOrEmpty:
                if Self.isSpace(byte) { break }
                hasBegun = true
                if step == .beginValueOrEmpty, byte == UInt8(ascii: "]") {
                    close()
                    break
                }
                if let failure = begin(byte) { return failure }
            case .beginString, .beginStringOrEmpty:
                if Self.isSpace(byte) { break }
                if step == .beginStringOrEmpty, byte == UInt8(ascii: "}") {
                    close()
                    break
                }
                guard byte == UInt8(ascii: "\"") else { return fail(byte, "looking for beginning of object key string") }
                isKey = true
                step = .inString
            case .afterKey:
                if Self.isSpace(byte) { break }
                guard byte == UInt8(ascii: ":") else { return fail(byte, "after object key") }
                step = .beginValue
            case .afterMember:
                if Self.isSpace(byte) { break }
                if byte == UInt8(ascii: ",") {
                    step = .beginString
                } else if byte == UInt8(ascii: "}") {
                    close()
                } else {
                    return fail(byte, "after object key:value pair")
                }
            case .afterElement:
                if Self.isSpace(byte) { break }
                if byte == UInt8(ascii: ",") {
                    step = .beginValue
                } else if byte == UInt8(ascii: "]") {
                    close()
                } else {
                    return fail(byte, "after array element")
                }
            case .inEscape:
                switch byte {
                case UInt8(ascii: "b"), UInt8(ascii: "f"), UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"), UInt8(ascii: "\\"),
                    UInt8(ascii: "/"), UInt8(ascii: "\""):
                    step = .inString
                case UInt8(ascii: "u"): step = .inEscapeU
                default: return fail(byte, "in string escape code")
                }
            case .inEscapeU, .inEscapeU1, .inEscapeU12, .inEscapeU123:
                guard hexDigit(byte) != nil else { return fail(byte, "in \\u hexadecimal character escape") }
                step = step == .inEscapeU123 ? .inString : Step(rawValue: step.rawValue + 1).unsafelyUnwrapped
            case .minus:
                if byte == UInt8(ascii: "0") {
                    step = .zero
                } else if Self.isDigit(byte) {
                    step = .digits
                } else {
                    return fail(byte, "in numeric literal")
                }
            case .point:
                guard Self.isDigit(byte) else { return fail(byte, "after decimal point in numeric literal") }
                step = .fraction
            case .exponent:
                if byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-") {
                    step = .exponentSign
                } else if Self.isDigit(byte) {
                    step = .exponentDigits
                } else {
                    return fail(byte, "in exponent of numeric literal")
                }
            case .exponentSign:
                guard Self.isDigit(byte) else { return fail(byte, "in exponent of numeric literal") }
                step = .exponentDigits
            case .zero, .digits, .fraction, .exponentDigits:
                if Self.isDigit(byte), step != .zero { break }
                if byte == UInt8(ascii: "."), step == .zero || step == .digits {
                    step = .point
                } else if byte | 0x20 == UInt8(ascii: "e"), step != .exponentDigits {
                    step = .exponent
                } else {
                    // The number has ended; this byte is looked at again.
                    endValue()
                    continue
                }
            case .literal:
                guard byte == expected.utf8Start[expectedAt] else {
                    let next = Character(Unicode.Scalar(expected.utf8Start[expectedAt]))
                    return fail(byte, "in literal \(expected) (expecting '\(next)')")
                }
                expectedAt += 1
                if expectedAt == expected.utf8CodeUnitCount { endValue() }
            case .atTopEnd:
                // A bare number or word ends in front of the byte that is none of its own.
                return complete(position)
            }
            position += 1
            // An object or an array at the top ends with its bracket: no byte more need come.
            if step == .atTopEnd { return complete(position) }
        }
        return .unfinished
    }

    /// No more bytes will come: whether what was begun is whole. A bare number is.
    public mutating func finish() -> Outcome {
        let isNumber = step == .zero || step == .digits || step == .fraction || step == .exponentDigits
        if isNumber, depth == 0 { return complete(0) }
        return hasBegun ? .malformed("unexpected EOF") : .unfinished
    }

    private mutating func complete(_ end: Int) -> Outcome {
        step = .beginValue
        hasBegun = false
        return .complete(end: end)
    }

    private mutating func begin(_ byte: UInt8) -> Outcome? {
        switch byte {
        case UInt8(ascii: "{"):
            guard open(isObject: true) else { return fail(byte, "exceeded max depth") }
            step = .beginStringOrEmpty
        case UInt8(ascii: "["):
            guard open(isObject: false) else { return fail(byte, "exceeded max depth") }
            step = .beginValueOrEmpty
        case UInt8(ascii: "\""):
            isKey = false
            step = .inString
        case UInt8(ascii: "-"): step = .minus
        case UInt8(ascii: "0"): step = .zero
        case UInt8(ascii: "1")...UInt8(ascii: "9"): step = .digits
        case UInt8(ascii: "t"): expect("true")
        case UInt8(ascii: "f"): expect("false")
        case UInt8(ascii: "n"): expect("null")
        default: return fail(byte, "looking for beginning of value")
        }
        return nil
    }

    private mutating func expect(_ word: StaticString) {
        expected = word
        expectedAt = 1
        step = .literal
    }

    private mutating func open(isObject: Bool) -> Bool {
        guard depth < Self.depthMax else { return false }
        let word = depth >> 6
        if word == levels.count { levels.append(0) }
        let bit = UInt64(1) << UInt64(depth & 63)
        if isObject { levels[word] |= bit } else { levels[word] &= ~bit }
        depth += 1
        return true
    }

    private mutating func close() {
        depth -= 1
        endValue()
    }

    private mutating func endValue() {
        guard depth > 0 else {
            step = .atTopEnd
            return
        }
        let level = depth - 1
        step = levels[level >> 6] & (1 << UInt64(level & 63)) != 0 ? .afterMember : .afterElement
    }

    private func fail(_ byte: UInt8, _ context: String) -> Outcome { .malformed("invalid character \(Self.quoted(byte)) \(context)") }

    /// A byte as Go quotes it in these texts: as the character of that number.
    private static func quoted(_ byte: UInt8) -> String {
        switch byte {
        case UInt8(ascii: "'"): "'\\''"
        case UInt8(ascii: "\""): "'\"'"
        case UInt8(ascii: "\\"): "'\\\\'"
        case 0x07: "'\\a'"
        case 0x08: "'\\b'"
        case 0x09: "'\\t'"
        case 0x0a: "'\\n'"
        case 0x0b: "'\\v'"
        case 0x0c: "'\\f'"
        case 0x0d: "'\\r'"
        case 0x20..<0x7f: "'\(Character(Unicode.Scalar(byte)))'"
        case 0x00..<0x20, 0x7f: "'\\x\(byte < 16 ? "0" : "")\(String(byte, radix: 16))'"
        case 0x80..<0xa1, 0xad: "'\\u00\(String(byte, radix: 16))'"
        default: "'\(Character(Unicode.Scalar(byte)))'"
        }
    }

    @inline(__always)
    static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 }
    @inline(__always)
    static func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 }
}

@inline(__always)
func hexDigit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: byte - 0x30
    case 0x41...0x46: byte - 0x41 + 10
    case 0x61...0x66: byte - 0x61 + 10
    default: nil
    }
}
