// JSON text checked and passed on in one pass, as Go passes on raw JSON: without space between tokens, with `<`, `>`, `&`,
// U+2028 and U+2029 escaped; the order of members and the spelling of numbers stay. RFC 8259, bounded in depth.

import CShims
import Wire

enum JSONCompactor {
    private enum State { case value, firstElement, firstName, name, separator }

    /// Appends one JSON value.
    ///
    /// - Parameter base: where the text begins in the input, for the offsets of errors.
    /// - Throws: with the offset of what is not JSON; then nothing is appended.
    static func append(_ text: UnsafeRawBufferPointer, base: Int = 0, to sink: ByteSink) throws(DecodingError) {
        let mark = sink.count
        do throws(DecodingError) {
            try copy(text, to: sink)
        } catch {
            sink.truncate(to: mark)
            throw DecodingError(error.reason, offset: error.offset.map { base + $0 })
        }
    }

    private static func copy(_ text: UnsafeRawBufferPointer, to sink: ByteSink) throws(DecodingError) {
        var state = State.value
        var depth = 0
        /// A bit per level, the innermost lowest: an object's is set.
        var levels: UInt128 = 0
        var at = 0
        /// What was passed over since is as it shall be, and is copied at once.
        var run = 0
        sink.reserve(text.count)
        while at < text.count {
            let byte = text[at]
            if byte <= 0x20 {
                guard JSONSyntax.isSpace(byte) else { throw unexpected(state, at) }
                sink.append(UnsafeRawBufferPointer(rebasing: text[run..<at]))
                at += 1
                run = at
                continue
            }
            switch state {
            case .value, .firstElement:
                switch byte {
                case UInt8(ascii: "\""):
                    try string(text, &at, &run, to: sink)
                    state = .separator
                case UInt8(ascii: "{"), UInt8(ascii: "["):
                    guard depth < DecoderLimits.depthMax else {
                        throw DecodingError("values lie more than \(DecoderLimits.depthMax) deep in each other", offset: at)
                    }
                    depth += 1
                    levels = levels << 1 | (byte == UInt8(ascii: "{") ? 1 : 0)
                    state = byte == UInt8(ascii: "{") ? .firstName : .firstElement
                    at += 1
                case UInt8(ascii: "]") where state == .firstElement:
                    depth -= 1
                    levels >>= 1
                    state = .separator
                    at += 1
                default:
                    switch byte {
                    case UInt8(ascii: "t"): try JSONSyntax.word("true", text, &at)
                    case UInt8(ascii: "f"): try JSONSyntax.word("false", text, &at)
                    case UInt8(ascii: "n"): try JSONSyntax.word("null", text, &at)
                    default: try JSONSyntax.number(text, &at)
                    }
                    state = .separator
                }
            case .firstName, .name:
                if byte == UInt8(ascii: "\"") {
                    try string(text, &at, &run, to: sink)
                    if at < text.count, JSONSyntax.isSpace(text[at]) {
                        sink.append(UnsafeRawBufferPointer(rebasing: text[run..<at]))
                        while at < text.count, JSONSyntax.isSpace(text[at]) { at += 1 }
                        run = at
                    }
                    guard at < text.count, text[at] == UInt8(ascii: ":") else { throw DecodingError("a colon is missing", offset: at) }
                    at += 1
                    state = .value
                } else if byte == UInt8(ascii: "}"), state == .firstName {
                    depth -= 1
                    levels >>= 1
                    state = .separator
                    at += 1
                } else {
                    throw unexpected(state, at)
                }
            case .separator:
                guard depth > 0 else { throw unexpected(state, at, depth) }
                if byte == UInt8(ascii: ",") {
                    state = levels & 1 == 1 ? .name : .value
                } else if byte == (levels & 1 == 1 ? UInt8(ascii: "}") : UInt8(ascii: "]")) {
                    depth -= 1
                    levels >>= 1
                } else {
                    throw unexpected(state, at, depth)
                }
                at += 1
            }
        }
        sink.append(UnsafeRawBufferPointer(rebasing: text[run..<at]))
        guard state == .separator, depth == 0 else { throw DecodingError("the JSON text ends too early", offset: at) }
    }

    private static func unexpected(_ state: State, _ at: Int, _ depth: Int = 1) -> DecodingError {
        switch state {
        case .value, .firstElement: DecodingError("this is no JSON value", offset: at)
        case .firstName, .name: DecodingError("a member's name is missing", offset: at)
        case .separator: DecodingError(depth == 0 ? "text after the JSON value" : "a comma is missing", offset: at)
        }
    }

    /// Passes over a string. Its UTF-8 is not looked at: Go passes it on as it is.
    private static func string(
        _ text: UnsafeRawBufferPointer, _ at: inout Int, _ run: inout Int, to sink: ByteSink
    ) throws(DecodingError) {
        let start = at
        let source = text.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self)
        at += 1
        while true {
            at += martlet_json_plain(source + at, text.count - at, JSONEscaping.go.rawValue)
            guard at < text.count else { throw DecodingError("a string does not end", offset: start) }
            let byte = text[at]
            switch byte {
            case UInt8(ascii: "\""):
                at += 1
                return
            case UInt8(ascii: "\\"): try JSONSyntax.escape(text, &at, stringStart: start)
            case 0..<0x20: throw DecodingError("a control character in a string", offset: at)
            case 0x80...:
                // U+2028 and U+2029 end lines in JavaScript.
                if byte == 0xe2, at + 2 < text.count, text[at + 1] == 0x80, text[at + 2] & 0xfe == 0xa8 {
                    sink.append(UnsafeRawBufferPointer(rebasing: text[run..<at]))
                    sink.append(text[at + 2] == 0xa8 ? "\\u2028" as StaticString : "\\u2029")
                    at += 3
                    run = at
                } else {
                    at += 1
                    while at < text.count, text[at] >= 0x80, text[at] != 0xe2 { at += 1 }
                }
            default:
                sink.append(UnsafeRawBufferPointer(rebasing: text[run..<at]))
                sink.jsonEscape(byte)
                at += 1
                run = at
            }
        }
    }
}

/// Tokens of JSON, checked and passed over.
enum JSONSyntax {
    @inline(__always)
    static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 }

    static func word(_ word: StaticString, _ text: UnsafeRawBufferPointer, _ at: inout Int) throws(DecodingError) {
        let length = word.utf8CodeUnitCount
        guard text.count - at >= length, (0..<length).allSatisfy({ text[at + $0] == word.utf8Start[$0] }) else {
            throw DecodingError("this is no JSON value", offset: at)
        }
        at += length
    }

    /// The whole string with its quotes.
    static func string(_ text: UnsafeRawBufferPointer, _ at: inout Int) throws(DecodingError) {
        let start = at
        at += 1
        while at < text.count {
            switch text[at] {
            case UInt8(ascii: "\""):
                at += 1
                return
            case UInt8(ascii: "\\"): try escape(text, &at, stringStart: start)
            case 0..<0x20: throw DecodingError("a control character in a string", offset: at)
            default: at += 1
            }
        }
        throw DecodingError("a string does not end", offset: start)
    }

    /// A backslash and what belongs to it.
    static func escape(_ text: UnsafeRawBufferPointer, _ at: inout Int, stringStart: Int) throws(DecodingError) {
        guard at + 1 < text.count else { throw DecodingError("a string does not end", offset: stringStart) }
        switch text[at + 1] {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"), UInt8(ascii: "n"),
            UInt8(ascii: "r"), UInt8(ascii: "t"):
            at += 2
        case UInt8(ascii: "u"):
            guard at + 5 < text.count, (2..<6).allSatisfy({ hexadecimalDigit(text[at + $0]) != nil }) else {
                throw DecodingError("an escape needs four hexadecimal digits", offset: at)
            }
            at += 6
        default: throw DecodingError("this is no escape", offset: at)
        }
    }

    static func hexadecimalDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    static func number(_ text: UnsafeRawBufferPointer, _ at: inout Int) throws(DecodingError) {
        let start = at
        func digits() -> Bool {
            let before = at
            while at < text.count, text[at] >= UInt8(ascii: "0"), text[at] <= UInt8(ascii: "9") { at += 1 }
            return at > before
        }
        if at < text.count, text[at] == UInt8(ascii: "-") { at += 1 }
        if at < text.count, text[at] == UInt8(ascii: "0") {
            at += 1
        } else {
            guard digits() else { throw DecodingError("this is no JSON value", offset: start) }
        }
        if at < text.count, text[at] == UInt8(ascii: ".") {
            at += 1
            guard digits() else { throw DecodingError("a number ends in its point", offset: start) }
        }
        if at < text.count, text[at] | 0x20 == UInt8(ascii: "e") {
            at += 1
            if at < text.count, text[at] == UInt8(ascii: "+") || text[at] == UInt8(ascii: "-") { at += 1 }
            guard digits() else { throw DecodingError("a number has no exponent", offset: start) }
        }
    }
}
