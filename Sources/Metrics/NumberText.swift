// Numbers as Prometheus' own clients print them: the shortest decimal that reads back as the same
// Double, in plain form for exponents -4 … 5 and in exponent form (two digits at least) elsewhere.

/// Appends `value` to `bytes`: 524288, 1.048576e+06, 0.0001, 1e-05, +Inf, NaN.
func appendNumber(_ value: Double, to bytes: inout [UInt8]) {
    if value >= 0 && value < 1_000_000, let whole = UInt32(exactly: value), value.sign == .plus {
        appendDecimal(UInt64(whole), to: &bytes)
        return
    }
    guard value.isFinite else {
        bytes.append(contentsOf: value.isNaN ? "NaN".utf8 : value > 0 ? "+Inf".utf8 : "-Inf".utf8)
        return
    }
    if value.sign == .minus { bytes.append(UInt8(ascii: "-")) }
    let (digits, exponent) = shortestDigits(value.magnitude)
    if exponent < -4 || exponent >= 6 {
        appendExponentForm(digits, exponent, to: &bytes)
    } else {
        appendPlainForm(digits, exponent, to: &bytes)
    }
}

/// Appends a whole number in decimal.
func appendDecimal(_ value: UInt64, to bytes: inout [UInt8]) {
    if value < 10 {
        bytes.append(UInt8(ascii: "0") + UInt8(value))
        return
    }
    appendDecimal(value / 10, to: &bytes)
    bytes.append(UInt8(ascii: "0") + UInt8(value % 10))
}

/// Significant digits without leading or trailing zeros, and the decimal exponent of the first one.
private func shortestDigits(_ value: Double) -> (digits: [UInt8], exponent: Int) {
    // `description` has the same digits (both are the shortest that round-trip), in another layout.
    var digits: [UInt8] = []
    var pointAt: Int?
    var exponent = 0
    var text = value.description.utf8[...]
    if let e = text.firstIndex(of: UInt8(ascii: "e")) {
        exponent = Int(Substring(text[text.index(after: e)...])) ?? 0
        text = text[..<e]
    }
    for byte in text {
        if byte == UInt8(ascii: ".") { pointAt = digits.count } else { digits.append(byte) }
    }
    exponent += (pointAt ?? digits.count) - 1
    let leadingZeros = digits.prefix { $0 == UInt8(ascii: "0") }.count
    if leadingZeros == digits.count { return ([UInt8(ascii: "0")], 0) }
    digits.removeFirst(leadingZeros)
    exponent -= leadingZeros
    while digits.last == UInt8(ascii: "0") { digits.removeLast() }
    return (digits, exponent)
}

private func appendExponentForm(_ digits: [UInt8], _ exponent: Int, to bytes: inout [UInt8]) {
    bytes.append(digits[0])
    if digits.count > 1 {
        bytes.append(UInt8(ascii: "."))
        bytes.append(contentsOf: digits[1...])
    }
    bytes.append(UInt8(ascii: "e"))
    bytes.append(UInt8(ascii: exponent < 0 ? "-" : "+"))
    if abs(exponent) < 10 { bytes.append(UInt8(ascii: "0")) }
    appendDecimal(UInt64(abs(exponent)), to: &bytes)
}

private func appendPlainForm(_ digits: [UInt8], _ exponent: Int, to bytes: inout [UInt8]) {
    let zero = UInt8(ascii: "0")
    if exponent < 0 {
        bytes.append(contentsOf: [zero, UInt8(ascii: ".")])
        bytes.append(contentsOf: repeatElement(zero, count: -exponent - 1))
        bytes.append(contentsOf: digits)
        return
    }
    for position in 0...max(exponent, digits.count - 1) {
        if position == exponent + 1 { bytes.append(UInt8(ascii: ".")) }
        bytes.append(position < digits.count ? digits[position] : zero)
    }
}
