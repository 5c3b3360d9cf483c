// Writing JSON onto a sink, compact and in the order of the calls.

extension ByteSink {
    /// A JSON string with quotes; control characters, quotes and backslashes are escaped, nothing else.
    public func json(_ text: String) {
        var text = text
        text.withUTF8 { jsonString(UnsafeRawBufferPointer($0), .minimal) }
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
