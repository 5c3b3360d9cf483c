// RFC 3339 times and Go's durations.

import Wire

enum TimeText {
    /// Seconds of the year 1, Go's zero time.
    static let zeroSeconds: Int64 = -62_135_596_800

    /// Writes `"2006-01-02T15:04:05`, proleptic Gregorian; what lies outside years 0 to 9999 is cut to them. Returns what is behind it.
    private static func write(_ seconds: Int64, to text: UnsafeMutablePointer<UInt8>) -> UnsafeMutablePointer<UInt8> {
        let seconds = min(max(seconds, -62_167_219_200), 253_402_300_799)
        var days = seconds / 86400
        var rest = seconds % 86400
        if rest < 0 {
            rest += 86400
            days -= 1
        }
        // Days to a civil date, counted from 1 March of year 0 (H. Hinnant's algorithm).
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        text[0] = UInt8(ascii: "\"")
        two(year / 100, text + 1)
        two(year % 100, text + 3)
        text[5] = UInt8(ascii: "-")
        two(month, text + 6)
        text[8] = UInt8(ascii: "-")
        two(day, text + 9)
        text[11] = UInt8(ascii: "T")
        two(rest / 3600, text + 12)
        text[14] = UInt8(ascii: ":")
        two(rest / 60 % 60, text + 15)
        text[17] = UInt8(ascii: ":")
        two(rest % 60, text + 18)
        return text + 20
    }

    /// Two digits.
    @inline(__always)
    private static func two(_ value: Int64, _ text: UnsafeMutablePointer<UInt8>) {
        let value = UInt32(truncatingIfNeeded: value)
        text[0] = UInt8(truncatingIfNeeded: 48 + value / 10)
        text[1] = UInt8(truncatingIfNeeded: 48 + value % 10)
    }

    /// `"2006-01-02T15:04:05Z"`, quoted.
    static func append(seconds: Int64, to sink: ByteSink) {
        sink.append(uninitializedCapacity: 22) { buffer in
            let end = write(seconds, to: buffer.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self))
            end[0] = UInt8(ascii: "Z")
            end[1] = UInt8(ascii: "\"")
            return 22
        }
    }

    /// With six decimals.
    static func append(seconds: Int64, nanoseconds: Int32, to sink: ByteSink) {
        var seconds = seconds
        var nanoseconds = Int64(nanoseconds)
        while nanoseconds < 0 {
            nanoseconds += 1_000_000_000
            seconds = seconds &- 1
        }
        seconds = seconds &+ nanoseconds / 1_000_000_000
        let microseconds = nanoseconds % 1_000_000_000 / 1000
        sink.append(uninitializedCapacity: 29) { buffer in
            let end = write(seconds, to: buffer.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self))
            end[0] = UInt8(ascii: ".")
            two(microseconds / 10_000, end + 1)
            two(microseconds / 100 % 100, end + 3)
            two(microseconds % 100, end + 5)
            end[7] = UInt8(ascii: "Z")
            end[8] = UInt8(ascii: "\"")
            return 29
        }
    }

    /// Reads RFC 3339 with any offset and fraction; nil if it is none.
    static func parse(_ text: some Collection<UInt8>) -> (seconds: Int64, nanoseconds: Int32)? {
        let bytes = Array(text)
        var at = 0
        func number(_ width: Int) -> Int64? {
            guard at + width <= bytes.count else { return nil }
            var value: Int64 = 0
            for byte in bytes[at..<at + width] {
                guard byte >= 48, byte <= 57 else { return nil }
                value = value * 10 + Int64(byte - 48)
            }
            at += width
            return value
        }
        func take(_ character: Character) -> Bool {
            guard at < bytes.count, bytes[at] == character.asciiValue else { return false }
            at += 1
            return true
        }
        guard let year = number(4), take("-"), let month = number(2), take("-"), let day = number(2), take("T") || take("t"),
            let hour = number(2), take(":"), let minute = number(2), take(":"), let second = number(2)
        else { return nil }
        let daysOfMonth: [Int64] = [31, year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        guard (1...12).contains(month), day >= 1, day <= daysOfMonth[Int(month) - 1], hour < 24, minute < 60, second < 60 else { return nil }
        var nanoseconds: Int64 = 0
        if take(".") || take(",") {
            var digits = 0
            while at < bytes.count, bytes[at] >= 48, bytes[at] <= 57 {
                if digits < 9 { nanoseconds = nanoseconds * 10 + Int64(bytes[at] - 48) }
                digits += 1
                at += 1
            }
            guard digits > 0 else { return nil }
            for _ in min(digits, 9)..<9 { nanoseconds *= 10 }
        }
        var offset: Int64 = 0
        if !(take("Z") || take("z")) {
            guard at < bytes.count, bytes[at] == 0x2b || bytes[at] == 0x2d else { return nil }
            let sign: Int64 = bytes[at] == 0x2d ? -1 : 1
            at += 1
            guard let hours = number(2), take(":"), let minutes = number(2), hours < 24, minutes < 60 else { return nil }
            offset = sign * (hours * 3600 + minutes * 60)
        }
        guard at == bytes.count else { return nil }
        let shiftedYear = month <= 2 ? year - 1 : year
        let era = (shiftedYear >= 0 ? shiftedYear : shiftedYear - 399) / 400
        let yearOfEra = shiftedYear - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        let days = era * 146_097 + dayOfEra - 719_468
        return (days * 86400 + hour * 3600 + minute * 60 + second - offset, Int32(nanoseconds))
    }
}

enum DurationText {
    /// `"1h0m0s"`, quoted, as Go prints a time.Duration.
    static func append(_ nanoseconds: Int64, to sink: ByteSink) {
        sink.append(byte: UInt8(ascii: "\""))
        sink.append(text(nanoseconds))
        sink.append(byte: UInt8(ascii: "\""))
    }

    static func text(_ nanoseconds: Int64) -> String {
        if nanoseconds == 0 { return "0s" }
        let sign = nanoseconds < 0 ? "-" : ""
        let magnitude = nanoseconds.magnitude
        if magnitude < 1000 { return "\(sign)\(magnitude)ns" }
        if magnitude < 1_000_000 { return sign + fraction(magnitude, 1000) + "µs" }
        if magnitude < 1_000_000_000 { return sign + fraction(magnitude, 1_000_000) + "ms" }
        let minutes = magnitude / 60_000_000_000
        let seconds = fraction(magnitude % 60_000_000_000, 1_000_000_000) + "s"
        if minutes == 0 { return sign + seconds }
        if minutes < 60 { return "\(sign)\(minutes)m\(seconds)" }
        return "\(sign)\(minutes / 60)h\(minutes % 60)m\(seconds)"
    }

    private static func fraction(_ value: UInt64, _ unit: UInt64) -> String {
        var rest = value % unit
        guard rest > 0 else { return "\(value / unit)" }
        var digits = ""
        var place = unit / 10
        while rest > 0 {
            digits += "\(rest / place)"
            rest %= place
            place /= 10
        }
        return "\(value / unit).\(digits)"
    }

    /// Reads what Go's ParseDuration takes; nil for anything else.
    static func parse(_ text: String) -> Int64? {
        var rest = Substring(text)
        var isNegative = false
        if let sign = rest.first, sign == "-" || sign == "+" {
            isNegative = sign == "-"
            rest = rest.dropFirst()
        }
        if rest == "0" { return 0 }
        guard !rest.isEmpty else { return nil }
        let units: [(String, UInt64)] = [
            ("ns", 1), ("us", 1000), ("µs", 1000), ("μs", 1000), ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000),
            ("h", 3_600_000_000_000),
        ]
        var total: UInt64 = 0
        while !rest.isEmpty {
            let whole = rest.prefix { $0.isASCII && $0.isNumber }
            rest = rest.dropFirst(whole.count)
            var decimals = Substring()
            if rest.first == "." {
                rest = rest.dropFirst()
                decimals = rest.prefix { $0.isASCII && $0.isNumber }
                rest = rest.dropFirst(decimals.count)
            }
            guard !(whole.isEmpty && decimals.isEmpty) else { return nil }
            let name = rest.prefix { $0 != "." && !($0.isASCII && $0.isNumber) }
            guard let unit = units.first(where: { $0.0 == String(name) })?.1 else { return nil }
            rest = rest.dropFirst(name.count)
            guard let count = whole.isEmpty ? 0 : UInt64(whole) else { return nil }
            let (product, overflow) = count.multipliedReportingOverflow(by: unit)
            // Digits that no longer fit are dropped, as in Go.
            var numerator: UInt64 = 0
            var scale = 1.0
            for digit in decimals where numerator <= (UInt64(Int64.max) - 9) / 10 {
                numerator = numerator * 10 + UInt64(digit.wholeNumberValue!)
                scale *= 10
            }
            guard !overflow, product <= 1 << 63, total <= 1 << 63 else { return nil }
            total += product + UInt64(Double(numerator) * (Double(unit) / scale))
        }
        guard total <= UInt64(Int64.max) + (isNegative ? 1 : 0) else { return nil }
        return isNegative ? Int64(truncatingIfNeeded: 0 &- total) : Int64(total)
    }
}
