// Floating-point numbers as Go writes them.

import Wire

enum FloatText {
    /// The shortest digits that read back, and the power of ten of the point behind the first of them.
    private static func digits(_ value: Double) -> (digits: [UInt8], exponent: Int) {
        // The description has the shortest digits; only their arrangement differs from Go's.
        var mantissa: [UInt8] = []
        var exponent = 0
        var pointAt: Int?
        let text = Array("\(value.magnitude)".utf8)
        var at = 0
        while at < text.count {
            switch text[at] {
            case UInt8(ascii: "."): pointAt = mantissa.count
            case UInt8(ascii: "e"):
                exponent = Int(String(decoding: text[(at + 1)...], as: UTF8.self)) ?? 0
                at = text.count
            default: mantissa.append(text[at])
            }
            at += 1
        }
        let point = (pointAt ?? mantissa.count) + exponent
        let leading = mantissa.prefix { $0 == UInt8(ascii: "0") }.count
        if leading == mantissa.count { return ([UInt8(ascii: "0")], 0) }
        var significant = Array(mantissa.dropFirst(leading))
        while significant.count > 1, significant.last == UInt8(ascii: "0") { significant.removeLast() }
        return (significant, point - leading - 1)
    }

    /// As encoding/json: plain decimals between 1e-6 and 1e21, else an exponent.
    static func appendJSON(_ value: Double, to sink: ByteSink) {
        let (digits, exponent) = digits(value)
        if value < 0 { sink.append(byte: UInt8(ascii: "-")) }
        if value == 0 || (exponent >= -6 && exponent < 21) {
            appendPlain(digits, exponent, to: sink)
        } else {
            appendScientific(digits, exponent, minimumExponentDigits: 1, to: sink)
        }
    }

    /// As `%g` with the shortest precision: plain decimals between 1e-4 and 1e6, else an exponent of two digits or more.
    static func appendGeneral(_ value: Double, to sink: ByteSink) {
        let (digits, exponent) = digits(value)
        if value < 0 { sink.append(byte: UInt8(ascii: "-")) }
        if value == 0 || (exponent >= -4 && exponent < 6) {
            appendPlain(digits, exponent, to: sink)
        } else {
            appendScientific(digits, exponent, minimumExponentDigits: 2, to: sink)
        }
    }

    private static func appendPlain(_ digits: [UInt8], _ exponent: Int, to sink: ByteSink) {
        if exponent < 0 {
            sink.append("0." as StaticString)
            for _ in 0..<(-exponent - 1) { sink.append(byte: UInt8(ascii: "0")) }
            sink.append(digits)
            return
        }
        for index in 0..<max(exponent + 1, digits.count) {
            if index == exponent + 1 { sink.append(byte: UInt8(ascii: ".")) }
            sink.append(byte: index < digits.count ? digits[index] : UInt8(ascii: "0"))
        }
    }

    private static func appendScientific(_ digits: [UInt8], _ exponent: Int, minimumExponentDigits: Int, to sink: ByteSink) {
        sink.append(byte: digits[0])
        if digits.count > 1 {
            sink.append(byte: UInt8(ascii: "."))
            sink.append(Array(digits.dropFirst()))
        }
        sink.append(exponent < 0 ? "e-" as StaticString : "e+")
        let text = "\(exponent.magnitude)"
        if text.utf8.count < minimumExponentDigits { sink.append(byte: UInt8(ascii: "0")) }
        sink.append(text)
    }
}
