// Text as Go's JSON encoder writes it: five characters escaped that others leave alone, broken UTF-8 replaced.

import Wire

enum JSONText {
    /// 0: as it is; 1: needs a look.
    private static let isSpecial: [UInt8] = (0..<256).map { byte in
        switch UInt8(byte) {
        case 0..<0x20, 0x22, 0x5c, 0x3c, 0x3e, 0x26, 0x80...: 1
        default: 0
        }
    }

    private static let hexadecimal = Array("0123456789abcdef".utf8)

    /// Appends a JSON string.
    static func append(_ text: UnsafeRawBufferPointer, to sink: ByteSink) {
        sink.reserve(text.count + 2)
        sink.append(byte: UInt8(ascii: "\""))
        isSpecial.withUnsafeBufferPointer { isSpecial in
            var run = 0
            var at = 0
            while at < text.count {
                if isSpecial[Int(text[at])] == 0 {
                    at += 1
                    continue
                }
                if run < at { sink.append(UnsafeRawBufferPointer(rebasing: text[run..<at])) }
                at += appendSpecial(text, at, to: sink)
                run = at
            }
            if run < at { sink.append(UnsafeRawBufferPointer(rebasing: text[run..<at])) }
        }
        sink.append(byte: UInt8(ascii: "\""))
    }

    /// Appends the character at an index; returns its bytes.
    private static func appendSpecial(_ text: UnsafeRawBufferPointer, _ at: Int, to sink: ByteSink) -> Int {
        let byte = text[at]
        guard byte >= 0x80 else {
            switch byte {
            case 0x22: sink.append("\\\"" as StaticString)
            case 0x5c: sink.append("\\\\" as StaticString)
            case 0x0a: sink.append("\\n" as StaticString)
            case 0x0d: sink.append("\\r" as StaticString)
            case 0x09: sink.append("\\t" as StaticString)
            case 0x08: sink.append("\\b" as StaticString)
            case 0x0c: sink.append("\\f" as StaticString)
            default:
                sink.append("\\u00" as StaticString)
                sink.append(byte: hexadecimal[Int(byte >> 4)])
                sink.append(byte: hexadecimal[Int(byte & 15)])
            }
            return 1
        }
        let length = lengthOfScalar(text, at)
        guard length > 0 else {
            sink.append("\\ufffd" as StaticString)
            return 1
        }
        // U+2028 and U+2029 end lines in JavaScript.
        if byte == 0xe2, text[at + 1] == 0x80, text[at + 2] & 0xfe == 0xa8 {
            sink.append(text[at + 2] == 0xa8 ? "\\u2028" as StaticString : "\\u2029")
            return 3
        }
        sink.append(UnsafeRawBufferPointer(rebasing: text[at..<at + length]))
        return length
    }

    /// Bytes of the character at an index; 0 if it is not UTF-8.
    static func lengthOfScalar(_ text: UnsafeRawBufferPointer, _ at: Int) -> Int {
        let first = text[at]
        func isContinuation(_ offset: Int) -> Bool { at + offset < text.count && text[at + offset] & 0xc0 == 0x80 }
        switch first {
        case 0..<0x80: return 1
        case 0xc2...0xdf: return isContinuation(1) ? 2 : 0
        case 0xe0...0xef:
            guard isContinuation(1), isContinuation(2) else { return 0 }
            if first == 0xe0, text[at + 1] < 0xa0 { return 0 }
            if first == 0xed, text[at + 1] > 0x9f { return 0 }
            return 3
        case 0xf0...0xf4:
            guard isContinuation(1), isContinuation(2), isContinuation(3) else { return 0 }
            if first == 0xf0, text[at + 1] < 0x90 { return 0 }
            if first == 0xf4, text[at + 1] > 0x8f { return 0 }
            return 4
        default: return 0
        }
    }

    /// Appends JSON text as Go passes it on: without space between tokens, with the same characters escaped in strings.
    /// The text must be valid JSON.
    static func appendCompact(_ text: UnsafeRawBufferPointer, to sink: ByteSink) {
        var isInString = false
        var at = 0
        sink.reserve(text.count)
        while at < text.count {
            let byte = text[at]
            if isInString {
                switch byte {
                case UInt8(ascii: "\\"):
                    sink.append(byte: byte)
                    at += 1
                    if at < text.count { sink.append(byte: text[at]) }
                case UInt8(ascii: "\""):
                    isInString = false
                    sink.append(byte: byte)
                case UInt8(ascii: "<"): sink.append("\\u003c" as StaticString)
                case UInt8(ascii: ">"): sink.append("\\u003e" as StaticString)
                case UInt8(ascii: "&"): sink.append("\\u0026" as StaticString)
                case 0xe2 where at + 2 < text.count && text[at + 1] == 0x80 && text[at + 2] & 0xfe == 0xa8:
                    sink.append(text[at + 2] == 0xa8 ? "\\u2028" as StaticString : "\\u2029")
                    at += 2
                default: sink.append(byte: byte)
                }
            } else {
                switch byte {
                case 0x20, 0x09, 0x0a, 0x0d: break
                case UInt8(ascii: "\""):
                    isInString = true
                    sink.append(byte: byte)
                default: sink.append(byte: byte)
                }
            }
            at += 1
        }
    }
}
