// Integers out of JSON numbers: any notation that says a whole number that fits, as protobuf's JSON mapping has it.

enum NumberText {
    /// Bytes that a number, or what only looks like one, is made of.
    static func isPart(_ byte: UInt8) -> Bool {
        JSONScanner.isDigit(byte) || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "+") || byte == UInt8(ascii: ".")
            || byte | 0x20 == UInt8(ascii: "e")
    }

    /// The number that a text begins with, nil if it does not: what integers in quotes are. Space around it is refused, more tokens
    /// behind it are not looked at; so does protojson.
    static func leading(_ text: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        guard let first = text.first, let last = text.last, !isGoSpace(first), !isGoSpace(last) else { return nil }
        guard let end = syntaxEnd(text) else { return nil }
        if end < text.count {
            let next = text[end]
            let isLetter = next | 0x20 >= UInt8(ascii: "a") && next | 0x20 <= UInt8(ascii: "z")
            if isPart(next) || isLetter || next == UInt8(ascii: "_") { return nil }
        }
        return UnsafeRawBufferPointer(rebasing: text[..<end])
    }

    private static func isGoSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (byte >= 0x09 && byte <= 0x0d) }

    /// Where the longest JSON number at the start of a text ends.
    private static func syntaxEnd(_ text: UnsafeRawBufferPointer) -> Int? {
        var index = 0
        func digits() -> Int {
            var end = index
            while end < text.count, JSONScanner.isDigit(text[end]) { end += 1 }
            return end
        }
        if index < text.count, text[index] == UInt8(ascii: "-") { index += 1 }
        guard index < text.count, JSONScanner.isDigit(text[index]) else { return nil }
        index = text[index] == UInt8(ascii: "0") ? index + 1 : digits()
        if index + 1 < text.count, text[index] == UInt8(ascii: "."), JSONScanner.isDigit(text[index + 1]) {
            index += 1
            index = digits()
        }
        if index < text.count, text[index] | 0x20 == UInt8(ascii: "e") {
            let mark = index
            index += 1
            if index < text.count, text[index] == UInt8(ascii: "+") || text[index] == UInt8(ascii: "-") { index += 1 }
            let end = digits()
            index = end > index ? end : mark
        }
        return index
    }

    /// The bits of the integer that a JSON number says, sign-extended; nil if it is not whole or does not fit.
    static func integer(_ text: UnsafeRawBufferPointer, _ kind: FieldKind) -> UInt64? {
        var index = 0
        var isNegative = false
        if index < text.count, text[index] == UInt8(ascii: "-") {
            isNegative = true
            index += 1
        }
        // Digits with the point taken out, its place, and the exponent.
        var wholeCount = 0
        let firstDigit = index
        while index < text.count, JSONScanner.isDigit(text[index]) { index += 1 }
        wholeCount = index - firstDigit
        var fraction: Range<Int> = 0..<0
        if index < text.count, text[index] == UInt8(ascii: ".") {
            let start = index + 1
            index = start
            while index < text.count, JSONScanner.isDigit(text[index]) { index += 1 }
            fraction = start..<index
        }
        while !fraction.isEmpty, text[fraction.upperBound - 1] == UInt8(ascii: "0") { fraction = fraction.lowerBound..<(fraction.upperBound - 1) }
        var exponent = 0
        if index < text.count, text[index] | 0x20 == UInt8(ascii: "e") {
            index += 1
            var isDown = false
            if index < text.count, text[index] == UInt8(ascii: "+") || text[index] == UInt8(ascii: "-") {
                isDown = text[index] == UInt8(ascii: "-")
                index += 1
            }
            while index < text.count, JSONScanner.isDigit(text[index]) {
                exponent = exponent * 10 + Int(text[index] - 0x30)
                // Far more than any exponent that could be meant; 32 bits are what Go reads.
                if exponent > Int(Int32.max) { exponent = Int(Int32.max) + 1 }
                index += 1
            }
            if isDown { exponent = -exponent }
        }
        guard index == text.count else { return nil }
        let isZeroWhole = wholeCount == 1 && text[firstDigit] == UInt8(ascii: "0")
        if isZeroWhole { wholeCount = 0 }
        if wholeCount == 0, fraction.isEmpty { return 0 }
        guard exponent >= Int(Int32.min), exponent <= Int(Int32.max) else { return nil }

        var magnitude: UInt64 = 0
        func push(_ digit: UInt8) -> Bool {
            let (product, overflow) = magnitude.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(UInt64(digit))
            magnitude = sum
            return !overflow && !carry
        }
        if exponent >= 0 {
            guard fraction.count <= exponent, wholeCount + exponent <= 20 else { return nil }
            for at in firstDigit..<firstDigit + wholeCount where !push(text[at] - 0x30) { return nil }
            for at in fraction where !push(text[at] - 0x30) { return nil }
            for _ in fraction.count..<exponent where !push(0) { return nil }
        } else {
            guard fraction.isEmpty, wholeCount + exponent >= 0 else { return nil }
            let kept = wholeCount + exponent
            for at in firstDigit + kept..<firstDigit + wholeCount where text[at] != UInt8(ascii: "0") { return nil }
            for at in firstDigit..<firstDigit + kept where !push(text[at] - 0x30) { return nil }
        }
        return fit(magnitude, isNegative, kind)
    }

    private static func fit(_ magnitude: UInt64, _ isNegative: Bool, _ kind: FieldKind) -> UInt64? {
        switch kind {
        case .uint64: return isNegative ? nil : magnitude
        case .uint32: return isNegative || magnitude > UInt64(UInt32.max) ? nil : magnitude
        default:
            let bits: UInt64 = kind == .int32 || kind == .enumeration ? 31 : 63
            let limit: UInt64 = 1 << bits
            if isNegative { return magnitude <= limit ? 0 &- magnitude : nil }
            return magnitude < limit ? magnitude : nil
        }
    }
}

public enum UTF8Check {
    static func isValid(_ bytes: ArraySlice<UInt8>) -> Bool { bytes.withUnsafeBytes { isValid($0) } }

    /// Whether all bytes are parts of characters.
    public static func isValid(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var index = 0
        while index < bytes.count {
            let length = lengthOfScalar(bytes, index)
            guard length > 0 else { return false }
            index += length
        }
        return true
    }

    /// Bytes of the character at an index; 0 if it is not UTF-8.
    public static func lengthOfScalar(_ bytes: UnsafeRawBufferPointer, _ index: Int) -> Int {
        let first = bytes[index]
        if first < 0x80 { return 1 }
        let length: Int
        var low: UInt8 = 0x80
        var high: UInt8 = 0xbf
        switch first {
        case 0xc2...0xdf: length = 2
        case 0xe0: (length, low) = (3, 0xa0)
        case 0xe1...0xec, 0xee, 0xef: length = 3
        case 0xed: (length, high) = (3, 0x9f)
        case 0xf0: (length, low) = (4, 0x90)
        case 0xf1...0xf3: length = 4
        case 0xf4: (length, high) = (4, 0x8f)
        default: return 0
        }
        guard index + length <= bytes.count, bytes[index + 1] >= low, bytes[index + 1] <= high else { return 0 }
        for offset in 2..<max(length, 2) where bytes[index + offset] & 0xc0 != 0x80 { return 0 }
        return length
    }
}
