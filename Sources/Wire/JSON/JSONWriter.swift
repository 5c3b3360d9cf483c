// Writing JSON onto a sink, compact and in the order of the calls.

extension ByteSink {
    /// A JSON string with quotes; control characters, quotes and backslashes are escaped, nothing else.
    public func json(_ text: String) {
        append(byte: UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""): append("\\\"" as StaticString)
            case UInt8(ascii: "\\"): append("\\\\" as StaticString)
            case 0x0a: append("\\n" as StaticString)
            case 0x0d: append("\\r" as StaticString)
            case 0x09: append("\\t" as StaticString)
            case 0..<0x20:
                append("\\u00" as StaticString)
                let digits: StaticString = "0123456789abcdef"
                append(byte: digits.utf8Start[Int(byte >> 4)])
                append(byte: digits.utf8Start[Int(byte & 15)])
            default: append(byte: byte)
            }
        }
        append(byte: UInt8(ascii: "\""))
    }

    public func json(_ texts: [String]) {
        append(byte: UInt8(ascii: "["))
        for (index, text) in texts.enumerated() {
            if index > 0 { append(byte: UInt8(ascii: ",")) }
            json(text)
        }
        append(byte: UInt8(ascii: "]"))
    }
}
