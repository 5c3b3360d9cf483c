// Base 64 as protobuf's JSON has it: standard with padding on the way out, either alphabet with or without padding on the way in.

enum JSONBase64 {
    private static let alphabet: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

    /// Two characters for twelve bits: half the look-ups.
    nonisolated(unsafe) private static let pairs: UnsafePointer<UInt16> = {
        let table = UnsafeMutablePointer<UInt16>.allocate(capacity: 4096)
        for value in 0..<4096 {
            let first = UInt16(alphabet.utf8Start[value >> 6])
            let second = UInt16(alphabet.utf8Start[value & 63])
            (table + value).initialize(to: (first | second << 8).littleEndian)
        }
        return UnsafePointer(table)
    }()

    /// Values of the standard alphabet, and of the URL-safe one; 0xff for what is no character of it.
    nonisolated(unsafe) private static let standardValues = values("+/")
    nonisolated(unsafe) private static let urlValues = values("-_")

    private static func values(_ last: StaticString) -> UnsafePointer<UInt8> {
        let table = UnsafeMutablePointer<UInt8>.allocate(capacity: 256)
        table.initialize(repeating: 0xff, count: 256)
        for value in 0..<62 { table[Int(alphabet.utf8Start[value])] = UInt8(value) }
        table[Int(last.utf8Start[0])] = 62
        table[Int(last.utf8Start[1])] = 63
        return UnsafePointer(table)
    }

    /// Characters of whole groups of three bytes; `bytes.count` must be a multiple of three.
    static func encodeGroups(_ bytes: UnsafeRawBufferPointer, to sink: ByteSink) {
        guard let source = bytes.baseAddress, bytes.count > 0 else { return }
        assert(bytes.count % 3 == 0)
        let pairs = pairs
        sink.append(uninitializedCapacity: bytes.count / 3 * 4) { target in
            var output = target.baseAddress.unsafelyUnwrapped
            var index = 0
            while index < bytes.count {
                let first = source.load(fromByteOffset: index, as: UInt8.self)
                let second = source.load(fromByteOffset: index + 1, as: UInt8.self)
                let third = source.load(fromByteOffset: index + 2, as: UInt8.self)
                let value = UInt32(first) << 16 | UInt32(second) << 8 | UInt32(third)
                output.storeBytes(of: pairs[Int(value >> 12)], as: UInt16.self)
                output.storeBytes(of: pairs[Int(value & 4095)], toByteOffset: 2, as: UInt16.self)
                output += 4
                index += 3
            }
            return target.count
        }
    }

    /// The last one or two bytes, with padding.
    static func encodeRest(_ first: UInt8, _ second: UInt8?, to sink: ByteSink) {
        let value = Int(first) << 16 | Int(second ?? 0) << 8
        sink.append(byte: alphabet.utf8Start[value >> 18])
        sink.append(byte: alphabet.utf8Start[value >> 12 & 63])
        sink.append(byte: second == nil ? UInt8(ascii: "=") : alphabet.utf8Start[value >> 6 & 63])
        sink.append(byte: UInt8(ascii: "="))
    }

    /// Appends what the text says; false if it is no base 64, in which case the sink holds part of it. As Go decodes: line ends are
    /// passed over, a text whose length is no multiple of four must have no padding, the two alphabets do not mix.
    static func decode(_ text: UnsafeRawBufferPointer, to sink: ByteSink) -> Bool {
        guard text.count > 0 else { return true }
        let isURL = text.contains(UInt8(ascii: "-")) || text.contains(UInt8(ascii: "_"))
        let values = isURL ? urlValues : standardValues
        let isPadded = text.count % 4 == 0
        var isGood = true
        sink.append(uninitializedCapacity: text.count / 4 * 3 + 3) { target in
            var written = 0
            var index = 0
            var group: UInt32 = 0
            var digits = 0
            let count = text.count
            while index < count {
                // Whole groups of four, the common case.
                while digits == 0, count - index >= 4 {
                    let a = values[Int(text[index])], b = values[Int(text[index + 1])]
                    let c = values[Int(text[index + 2])], d = values[Int(text[index + 3])]
                    guard (a | b | c | d) & 0xc0 == 0 else { break }
                    target[written] = a << 2 | b >> 4
                    target[written + 1] = b << 4 | c >> 2
                    target[written + 2] = c << 6 | d
                    written += 3
                    index += 4
                }
                guard index < count else { break }
                let byte = text[index]
                index += 1
                if byte == 0x0a || byte == 0x0d { continue }
                let value = values[Int(byte)]
                if value != 0xff {
                    group = group << 6 | UInt32(value)
                    digits += 1
                    if digits == 4 {
                        target[written] = UInt8(truncatingIfNeeded: group >> 16)
                        target[written + 1] = UInt8(truncatingIfNeeded: group >> 8)
                        target[written + 2] = UInt8(truncatingIfNeeded: group)
                        written += 3
                        digits = 0
                        group = 0
                    }
                    continue
                }
                // Padding: one or two signs that complete the last group, and nothing but line ends behind them.
                guard isPadded, byte == UInt8(ascii: "="), digits >= 2 else {
                    isGood = false
                    return written
                }
                var signs = 1
                while index < count {
                    let byte = text[index]
                    index += 1
                    if byte == 0x0a || byte == 0x0d { continue }
                    guard byte == UInt8(ascii: "=") else {
                        isGood = false
                        return written
                    }
                    signs += 1
                }
                guard signs == 4 - digits else {
                    isGood = false
                    return written
                }
                return finish(group, digits, target, written)
            }
            if digits == 0 { return written }
            // Without padding a lone digit says nothing, and with it the group should have been padded.
            guard digits >= 2, !isPadded else {
                isGood = false
                return written
            }
            return finish(group, digits, target, written)
        }
        return isGood
    }

    /// The bytes of a last group of two or three digits; bits beyond them are passed over, as Go does.
    private static func finish(_ group: UInt32, _ digits: Int, _ target: UnsafeMutableRawBufferPointer, _ written: Int) -> Int {
        if digits == 2 {
            target[written] = UInt8(truncatingIfNeeded: group >> 4)
            return written + 1
        }
        target[written] = UInt8(truncatingIfNeeded: group >> 10)
        target[written + 1] = UInt8(truncatingIfNeeded: group >> 2)
        return written + 2
    }
}
