// The labels of one series, encoded once when the series is made.

/// `name="value",…` in the order of label names, without braces.
struct LabelText: Sendable {
    static let none = LabelText(bytes: [])
    let bytes: [UInt8]
    var isEmpty: Bool { bytes.isEmpty }
}

extension LabelText {
    /// - Parameter order: positions of `names` in ascending order of the names.
    init(names: [String], values: [String], order: [Int]) {
        var bytes: [UInt8] = []
        for (position, index) in order.enumerated() {
            if position > 0 { bytes.append(UInt8(ascii: ",")) }
            bytes.append(contentsOf: names[index].utf8)
            bytes.append(UInt8(ascii: "="))
            bytes.append(UInt8(ascii: "\""))
            appendEscaped(values[index], quotes: true, to: &bytes)
            bytes.append(UInt8(ascii: "\""))
        }
        self.init(bytes: bytes)
    }
}

/// The escapes of both text formats: backslash and line feed always, quotes where the text is quoted.
func appendEscaped(_ text: String, quotes: Bool, to bytes: inout [UInt8]) {
    for byte in text.utf8 {
        switch byte {
        case UInt8(ascii: "\\"): bytes.append(contentsOf: [UInt8(ascii: "\\"), UInt8(ascii: "\\")])
        case UInt8(ascii: "\n"): bytes.append(contentsOf: [UInt8(ascii: "\\"), UInt8(ascii: "n")])
        case UInt8(ascii: "\"") where quotes: bytes.append(contentsOf: [UInt8(ascii: "\\"), UInt8(ascii: "\"")])
        default: bytes.append(byte)
        }
    }
}

/// A label value cut to what is kept of it.
func boundedLabelValue(_ value: String) -> String {
    let maximum = MetricsLimits.labelValueBytesMaximum
    return value.utf8.count <= maximum ? value : String(decoding: value.utf8.prefix(maximum), as: UTF8.self)
}
