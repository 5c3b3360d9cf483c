// JSON to protobuf without a tree: a JSON text whose syntax JSONScanner has checked becomes the bytes of a message. Rules and error
// texts are those of Go's protojson, as etcd's gateway uses it: either name of a field, unknown names passed over.

/// Why a JSON text is no message of a type; the text is for the client.
public struct JSONMessageError: Error, Equatable, Sendable {
    public let message: String

    public init(_ message: String) { self.message = message }
}

public enum JSONProtobufReader {
    /// Messages in each other: more than transactions may nest.
    public static let depthMax = 600

    /// Appends the message that `text`, one whole JSON value without space around it, describes.
    public static func read(_ text: UnsafeRawBufferPointer, as type: MessageType, to sink: ByteSink) throws(JSONMessageError) {
        var parser = Parser(text: text, sink: sink)
        try parser.message(type.shape, depth: 1)
    }
}

private struct Parser {
    let text: UnsafeRawBufferPointer
    let sink: ByteSink
    private var position = 0
    /// Where strings with escapes are decoded.
    private let unescaped = ByteSink(capacity: 16)

    init(text: UnsafeRawBufferPointer, sink: ByteSink) {
        self.text = text
        self.sink = sink
    }

    /// A string token: where it stands with its quotes, and whether it has escapes.
    private struct StringToken {
        let start: Int
        let end: Int
        let isEscaped: Bool
    }

    // MARK: Messages

    mutating func message(_ shape: UnsafePointer<MessageShape>, depth: Int) throws(JSONMessageError) {
        guard depth <= JSONProtobufReader.depthMax else { throw JSONMessageError("proto: exceeded max recursion depth") }
        skipSpace()
        guard byte == UInt8(ascii: "{") else { throw try unexpectedToken() }
        position += 1
        var seen: UInt64 = 0
        var seenUnions: UInt64 = 0
        while true {
            skipSpace()
            if byte == UInt8(ascii: ",") {
                position += 1
                skipSpace()
            }
            if byte == UInt8(ascii: "}") {
                position += 1
                return
            }
            let name = try string()
            let field = content(of: name) { shape.pointee.field(name: $0) }
            skipSpace()
            position += 1  // the colon
            skipSpace()
            guard let field else {
                try skipValue()
                continue
            }
            let index = UInt64(field - UnsafePointer(shape.pointee.fields.baseAddress.unsafelyUnwrapped))
            guard seen & (1 << index) == 0 else { throw error(at: name.start, "duplicate field \(raw(name.start, name.end))") }
            seen |= 1 << index
            if byte == UInt8(ascii: "n") {
                position += 4
                continue
            }
            if field.pointee.isRepeated {
                try list(field, depth: depth)
                continue
            }
            if field.pointee.union >= 0 {
                let bit: UInt64 = 1 << UInt64(field.pointee.union)
                guard seenUnions & bit == 0 else {
                    let union = String(decoding: shape.pointee.unions[field.pointee.union], as: UTF8.self)
                    throw error(at: name.start, "error parsing \(raw(name.start, name.end)), oneof \(union) is already set")
                }
                seenUnions |= bit
            }
            try value(field, depth: depth)
        }
    }

    private mutating func list(_ field: UnsafePointer<FieldShape>, depth: Int) throws(JSONMessageError) {
        guard byte == UInt8(ascii: "[") else { throw try unexpectedToken() }
        position += 1
        while true {
            skipSpace()
            if byte == UInt8(ascii: ",") {
                position += 1
                skipSpace()
            }
            if byte == UInt8(ascii: "]") {
                position += 1
                return
            }
            try value(field, depth: depth)
        }
    }

    private mutating func value(_ field: UnsafePointer<FieldShape>, depth: Int) throws(JSONMessageError) {
        guard field.pointee.kind == .message else { return try scalar(field) }
        // The length is put in front afterwards.
        sink.tag(field.pointee.number, .bytes)
        let start = sink.count
        try message(field.pointee.message.unsafelyUnwrapped, depth: depth + 1)
        sink.insertLength(at: start)
    }

    // MARK: Scalars

    private mutating func scalar(_ field: UnsafePointer<FieldShape>) throws(JSONMessageError) {
        let start = position
        let number = field.pointee.number
        // A member of a oneof is set even to its zero, and an element of a list stands in its place.
        let writesZero = field.pointee.union >= 0 || field.pointee.isRepeated
        var isGood = true
        switch (field.pointee.kind, byte) {
        case (.bool, UInt8(ascii: "t")):
            position += 4
            sink.always(number, 1)
        case (.bool, UInt8(ascii: "f")):
            position += 5
            if writesZero { sink.always(number, 0) }
        case (.string, UInt8(ascii: "\"")):
            let token = try string()
            content(of: token) { if writesZero { sink.always(number, $0) } else { sink.field(number, $0) } }
        case (.bytes, UInt8(ascii: "\"")):
            let token = try string()
            isGood = content(of: token) { bytes($0, number, writesZero) }
        case (.enumeration, UInt8(ascii: "\"")):
            let token = try string()
            // A name that is not known is passed over, as an unknown field is.
            if let value = content(of: token, { field.pointee.enumeration.unsafelyUnwrapped.pointee.number(of: $0) }) {
                integer(UInt64(bitPattern: Int64(value)), number, writesZero)
            }
        case (.enumeration, _) where startsNumber:
            if let value = signed(takeNumber(), bits: 32) { integer(UInt64(bitPattern: value), number, writesZero) } else { isGood = false }
        case (.int32, _), (.int64, _), (.uint32, _), (.uint64, _):
            let kind = field.pointee.kind
            var digits: UnsafeRawBufferPointer?
            if startsNumber {
                digits = takeNumber()
            } else if byte == UInt8(ascii: "\"") {
                let token = try string()
                let value = content(of: token) { NumberText.leading($0).flatMap { NumberText.integer($0, kind) } }
                if let value { integer(value, number, writesZero) } else { isGood = false }
            } else {
                isGood = false
            }
            if let digits {
                if let value = NumberText.integer(digits, kind) { integer(value, number, writesZero) } else { isGood = false }
            }
        default: isGood = false
        }
        guard isGood else {
            position = start
            let token = try tokenText()
            let name = String(decoding: field.pointee.camelName, as: UTF8.self)
            throw error(at: start, "invalid value for \(field.pointee.kind.name) field \(name): \(token)")
        }
    }

    private func integer(_ value: UInt64, _ number: Int, _ writesZero: Bool) {
        if writesZero { sink.always(number, value) } else { sink.field(number, value) }
    }

    private func signed(_ digits: UnsafeRawBufferPointer, bits: Int) -> Int64? {
        NumberText.integer(digits, bits == 32 ? .int32 : .int64).map { Int64(bitPattern: $0) }
    }

    private func bytes(_ encoded: UnsafeRawBufferPointer, _ number: Int, _ writesZero: Bool) -> Bool {
        guard encoded.count > 0 || writesZero else { return true }
        sink.tag(number, .bytes)
        let start = sink.count
        guard JSONBase64.decode(encoded, to: sink) else { return false }
        sink.insertLength(at: start)
        return true
    }

    // MARK: Tokens

    /// 0 behind the end, which a text of sound syntax never asks for inside a value.
    private var byte: UInt8 { position < text.count ? text[position] : 0 }

    private var startsNumber: Bool { byte == UInt8(ascii: "-") || JSONScanner.isDigit(byte) }

    private mutating func skipSpace() { while position < text.count, JSONScanner.isSpace(text[position]) { position += 1 } }

    private mutating func takeNumber() -> UnsafeRawBufferPointer {
        let start = position
        while position < text.count, NumberText.isPart(text[position]) { position += 1 }
        return UnsafeRawBufferPointer(rebasing: text[start..<position])
    }

    /// Passes over a string. Its characters are checked, which the scanner did not do.
    private mutating func string() throws(JSONMessageError) -> StringToken {
        let start = position
        position += 1
        var isEscaped = false
        var isASCII = true
        while text[position] != UInt8(ascii: "\"") {
            let byte = text[position]
            if byte == UInt8(ascii: "\\") {
                isEscaped = true
                try checkEscape(tokenStart: start)
            } else {
                if byte >= 0x80 { isASCII = false }
                position += 1
            }
        }
        position += 1
        if !isASCII, !UTF8Check.isValid(UnsafeRawBufferPointer(rebasing: text[(start + 1)..<(position - 1)])) {
            throw syntaxError(at: start, "invalid UTF-8 in string")
        }
        return StringToken(start: start, end: position, isEscaped: isEscaped)
    }

    /// At a backslash: passes over the escape. Half of a surrogate pair is no character.
    private mutating func checkEscape(tokenStart: Int) throws(JSONMessageError) {
        guard text[position + 1] == UInt8(ascii: "u") else {
            position += 2
            return
        }
        let unit = hex4(position + 2)
        position += 6
        guard unit & 0xf800 == 0xd800 else { return }
        guard position + 6 <= text.count else { throw JSONMessageError("proto: unexpected EOF") }
        let isEscape = text[position] == UInt8(ascii: "\\") && text[position + 1] == UInt8(ascii: "u")
        guard unit < 0xdc00, isEscape, hex4(position + 2) & 0xfc00 == 0xdc00 else {
            let next = Array(text[position..<position + 6])
            throw syntaxError(at: tokenStart, "invalid escape code \(goQuoted(next)) in string")
        }
        position += 6
    }

    /// Four hex digits, which the scanner has seen.
    private func hex4(_ at: Int) -> UInt32 {
        var result: UInt32 = 0
        for offset in 0..<4 where at + offset < text.count { result = result << 4 | UInt32(hexDigit(text[at + offset]) ?? 0) }
        return result
    }

    /// What a string says, escapes resolved.
    private func content<R>(of token: StringToken, _ body: (UnsafeRawBufferPointer) -> R) -> R {
        let inside = UnsafeRawBufferPointer(rebasing: text[(token.start + 1)..<(token.end - 1)])
        guard token.isEscaped else { return body(inside) }
        unescaped.clear()
        var index = token.start + 1
        while index < token.end - 1 {
            let byte = text[index]
            guard byte == UInt8(ascii: "\\") else {
                unescaped.append(byte: byte)
                index += 1
                continue
            }
            switch text[index + 1] {
            case UInt8(ascii: "b"): unescaped.append(byte: 0x08)
            case UInt8(ascii: "f"): unescaped.append(byte: 0x0c)
            case UInt8(ascii: "n"): unescaped.append(byte: 0x0a)
            case UInt8(ascii: "r"): unescaped.append(byte: 0x0d)
            case UInt8(ascii: "t"): unescaped.append(byte: 0x09)
            case UInt8(ascii: "u"):
                var unit = hex4(index + 2)
                index += 4
                if unit & 0xfc00 == 0xd800 {
                    unit = 0x10000 + (unit & 0x3ff) << 10 + (hex4(index + 4) & 0x3ff)
                    index += 6
                }
                // Pairs were checked when the token was read.
                let scalar = Unicode.Scalar(unit) ?? "\u{fffd}"
                for byte in UTF8.encode(scalar).unsafelyUnwrapped { unescaped.append(byte: byte) }
            case let other: unescaped.append(byte: other)
            }
            index += 2
        }
        return unescaped.withUnsafeBytes(body)
    }

    /// Passes over a value of no interest, whatever it is. Without recursion: only brackets count.
    private mutating func skipValue() throws(JSONMessageError) {
        var depth = 0
        repeat {
            skipSpace()
            switch byte {
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
                position += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                depth -= 1
                position += 1
            case UInt8(ascii: "\""): _ = try string()
            case UInt8(ascii: ","), UInt8(ascii: ":"): position += 1
            case UInt8(ascii: "t"), UInt8(ascii: "n"): position += 4
            case UInt8(ascii: "f"): position += 5
            default: _ = takeNumber()
            }
            skipSpace()
        } while depth > 0
    }

    // MARK: Errors

    private func raw(_ start: Int, _ end: Int) -> String { String(decoding: text[start..<end], as: UTF8.self) }

    /// The token that begins here, as error texts show it.
    private mutating func tokenText() throws(JSONMessageError) -> String {
        let start = position
        switch byte {
        case UInt8(ascii: "\""): _ = try string()
        case UInt8(ascii: "t"), UInt8(ascii: "n"): position += 4
        case UInt8(ascii: "f"): position += 5
        case _ where startsNumber: _ = takeNumber()
        default: position += 1
        }
        return raw(start, min(position, text.count))
    }

    private mutating func unexpectedToken() throws(JSONMessageError) -> JSONMessageError {
        let start = position
        return syntaxError(at: start, "unexpected token \(try tokenText())")
    }

    private func syntaxError(at offset: Int, _ reason: String) -> JSONMessageError {
        JSONMessageError("proto: syntax error \(place(offset)): \(reason)")
    }

    private func error(at offset: Int, _ reason: String) -> JSONMessageError { JSONMessageError("proto: \(place(offset)): \(reason)") }

    /// Line and column, columns counted in characters.
    private func place(_ offset: Int) -> String {
        let before = text[..<offset]
        let line = before.reduce(1) { $1 == 0x0a ? $0 + 1 : $0 }
        let rest = before.lastIndex(of: 0x0a).map { before[($0 + 1)...] } ?? before
        return "(line \(line):\(String(decoding: rest, as: UTF8.self).unicodeScalars.count + 1))"
    }
}

/// Bytes as Go's %q shows them.
private func goQuoted(_ bytes: [UInt8]) -> String {
    var result = "\""
    var decoder = UTF8()
    var rest = bytes[...]
    while let first = rest.first {
        var iterator = rest.makeIterator()
        guard case .scalarValue(let scalar) = decoder.decode(&iterator), UTF8Check.isValid(rest.prefix(UTF8.width(scalar))) else {
            result += "\\x" + hexadecimal(UInt32(first), digits: 2)
            rest = rest.dropFirst()
            decoder = UTF8()
            continue
        }
        rest = rest.dropFirst(UTF8.width(scalar))
        decoder = UTF8()
        switch scalar {
        case "\"": result += "\\\""
        case "\\": result += "\\\\"
        case "\n": result += "\\n"
        case "\r": result += "\\r"
        case "\t": result += "\\t"
        case "\u{7f}": result += "\\x7f"
        case _ where isPrintable(scalar): result.unicodeScalars.append(scalar)
        case _ where scalar.value <= 0xffff: result += "\\u" + hexadecimal(scalar.value, digits: 4)
        default: result += "\\U" + hexadecimal(scalar.value, digits: 8)
        }
    }
    return result + "\""
}

private func hexadecimal(_ value: UInt32, digits: Int) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: digits - text.utf8.count) + text
}

/// Letters, marks, numbers, punctuation, symbols and the plain space.
private func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: false
    case .spaceSeparator: scalar == " "
    default: true
    }
}

extension ByteSink {
    /// Puts the length of what was written since `start` in front of it.
    fileprivate func insertLength(at start: Int) {
        withUnsafeTemporaryAllocation(byteCount: 10, alignment: 1) { prefix in
            var rest = UInt64(count - start)
            var size = 0
            while rest >= 0x80 {
                prefix[size] = UInt8(truncatingIfNeeded: rest) | 0x80
                rest >>= 7
                size += 1
            }
            prefix[size] = UInt8(rest)
            insert(UnsafeRawBufferPointer(rebasing: prefix[...size]), at: start)
        }
    }
}
