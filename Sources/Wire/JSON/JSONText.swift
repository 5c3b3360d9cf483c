// Strings, numbers and base64 as they stand in JSON: the one writer of them for the server's answers and for the decoder.

import CShims

/// Which characters of a JSON string are escaped.
public enum JSONEscaping: UInt32, Sendable {
    /// Quotes, backslashes and control characters: as protobuf's writer does.
    case minimal = 1
    /// `<`, `>` and `&` as well.
    case html = 3
    /// Those, U+2028 and U+2029, and U+FFFD in place of what is not UTF-8: as Go's encoding/json does.
    case go = 7
}

extension ByteSink {
    /// A JSON string with its quotes.
    public func jsonString(_ text: UnsafeRawBufferPointer, _ escaping: JSONEscaping = .go) {
        let length = text.count
        // Whole groups of sixteen are stored, and what was too much is overwritten.
        reserve(length + 18)
        let start = memory + used
        start.storeBytes(of: UInt8(ascii: "\""), as: UInt8.self)
        var copied = 0
        if let source = text.baseAddress {
            copied = martlet_json_copy_plain(
                (start + 1).assumingMemoryBound(to: UInt8.self), source.assumingMemoryBound(to: UInt8.self), length, escaping.rawValue)
        }
        used += copied + 1
        if copied < length { jsonText(UnsafeRawBufferPointer(rebasing: text[copied...]), escaping) }
        append(byte: UInt8(ascii: "\""))
    }

    /// The inside of a JSON string.
    public func jsonText(_ text: UnsafeRawBufferPointer, _ escaping: JSONEscaping) {
        guard let source = text.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
        var at = 0
        while true {
            let left = text.count - at
            reserve(left + 16)
            let copied = martlet_json_copy_plain((memory + used).assumingMemoryBound(to: UInt8.self), source + at, left, escaping.rawValue)
            used += copied
            at += copied
            if at == text.count { return }
            if text[at] < 0x80 {
                jsonEscape(text[at])
                at += 1
            } else {
                repeat { at += jsonScalar(text, at) } while at < text.count && text[at] >= 0x80
            }
        }
    }

    /// The inside of a JSON string, escaped as protobuf's writer does, or as Go's does with what it embeds.
    public func jsonText(_ bytes: UnsafeRawBufferPointer, escapesHTML: Bool = false) { jsonText(bytes, escapesHTML ? .html : .minimal) }

    /// An ASCII character that may not stand in a string as it is.
    public func jsonEscape(_ byte: UInt8) {
        let short: UInt8
        switch byte {
        case 0x22, 0x5c: short = byte
        case 0x0a: short = UInt8(ascii: "n")
        case 0x0d: short = UInt8(ascii: "r")
        case 0x09: short = UInt8(ascii: "t")
        case 0x08: short = UInt8(ascii: "b")
        case 0x0c: short = UInt8(ascii: "f")
        default:
            let digits: StaticString = "0123456789abcdef"
            append("\\u00" as StaticString)
            append(byte: digits.utf8Start[Int(byte >> 4)])
            return append(byte: digits.utf8Start[Int(byte & 15)])
        }
        append(byte: 0x5c)
        append(byte: short)
    }

    /// The character outside ASCII at an index; returns its bytes.
    private func jsonScalar(_ text: UnsafeRawBufferPointer, _ at: Int) -> Int {
        let length = UTF8Check.lengthOfScalar(text, at)
        guard length > 0 else {
            append("\\ufffd" as StaticString)
            return 1
        }
        // U+2028 and U+2029 end lines in JavaScript.
        if text[at] == 0xe2, text[at + 1] == 0x80, text[at + 2] & 0xfe == 0xa8 {
            append(text[at + 2] == 0xa8 ? "\\u2028" as StaticString : "\\u2029")
        } else {
            append(UnsafeRawBufferPointer(rebasing: text[at..<at + length]))
        }
        return length
    }

    /// Standard base64 with padding, in quotes.
    public func jsonBase64(_ bytes: UnsafeRawBufferPointer) {
        append(byte: UInt8(ascii: "\""))
        let whole = bytes.count / 3 * 3
        JSONBase64.encodeGroups(UnsafeRawBufferPointer(rebasing: bytes[..<whole]), to: self)
        if whole < bytes.count { JSONBase64.encodeRest(bytes[whole], whole + 1 < bytes.count ? bytes[whole + 1] : nil, to: self) }
        append(byte: UInt8(ascii: "\""))
    }

    // MARK: Numbers

    func jsonQuoted(_ value: Int64) {
        append(byte: UInt8(ascii: "\""))
        decimal(value)
        append(byte: UInt8(ascii: "\""))
    }

    func jsonQuoted(_ value: UInt64) {
        append(byte: UInt8(ascii: "\""))
        decimal(value)
        append(byte: UInt8(ascii: "\""))
    }

    @inline(__always)
    public func decimal(_ value: Int64) {
        if value < 0 { append(byte: UInt8(ascii: "-")) }
        decimal(value.magnitude)
    }

    @inline(__always)
    public func decimal(_ value: UInt64) {
        if value < 10 { append(byte: UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value)) } else { longDecimal(value) }
    }

    @inline(never)
    @usableFromInline
    func longDecimal(_ value: UInt64) {
        withUnsafeTemporaryAllocation(byteCount: 20, alignment: 1) { digits in
            var rest = value
            var start = 20
            repeat {
                start -= 1
                digits[start] = UInt8(truncatingIfNeeded: 0x30 + rest % 10)
                rest /= 10
            } while rest > 0
            append(UnsafeRawBufferPointer(rebasing: digits[start...]))
        }
    }
}
