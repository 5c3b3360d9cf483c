// Durations as etcd's flags and logs have them: signed nanoseconds with the text form of Go.

/// A span of time in nanoseconds.
public struct Nanoseconds: Sendable, Hashable, Comparable, CustomStringConvertible {
    public var count: Int64

    public init(_ count: Int64) { self.count = count }

    public static let zero = Nanoseconds(0)
    public static func microseconds(_ count: Int64) -> Nanoseconds { Nanoseconds(count * 1_000) }
    public static func milliseconds(_ count: Int64) -> Nanoseconds { Nanoseconds(count * 1_000_000) }
    public static func seconds(_ count: Int64) -> Nanoseconds { Nanoseconds(count * 1_000_000_000) }
    public static func minutes(_ count: Int64) -> Nanoseconds { seconds(count * 60) }
    public static func hours(_ count: Int64) -> Nanoseconds { seconds(count * 3_600) }

    public static func < (left: Nanoseconds, right: Nanoseconds) -> Bool { left.count < right.count }

    /// `184.225µs`, `1.2s`, `5m0s`, `0s`.
    public var description: String {
        var bytes: [UInt8] = []
        appendDuration(count, to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }
}

extension Nanoseconds {
    /// Reads Go's text form: a sign and then numbers with a unit each (`1h30m`, `-1.5s`, `300ms`, `0`).
    /// `nil` for anything else, also for what does not fit 64 bits.
    public init?(_ text: String) {
        var rest = Array(text.utf8)[...]
        var negative = false
        if let sign = rest.first, sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+") {
            negative = sign == UInt8(ascii: "-")
            rest = rest.dropFirst()
        }
        if rest.elementsEqual("0".utf8) {
            self.init(0)
            return
        }
        guard !rest.isEmpty else { return nil }
        var total: UInt64 = 0
        while !rest.isEmpty {
            guard let part = Self.takePart(&rest) else { return nil }
            let (sum, overflow) = total.addingReportingOverflow(part)
            guard !overflow, sum <= UInt64(Int64.max) + (negative ? 1 : 0) else { return nil }
            total = sum
        }
        self.init(negative ? Int64(truncatingIfNeeded: 0 &- total) : Int64(total))
    }

    private static let units: [(name: String, nanoseconds: UInt64)] = [
        ("ns", 1), ("us", 1_000), ("µs", 1_000), ("μs", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000),
        ("m", 60_000_000_000), ("h", 3_600_000_000_000),
    ]

    /// One number with its unit, in nanoseconds.
    private static func takePart(_ rest: inout ArraySlice<UInt8>) -> UInt64? {
        let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
        let whole = rest.prefix(while: digits.contains)
        rest = rest.dropFirst(whole.count)
        var fraction: ArraySlice<UInt8> = []
        if rest.first == UInt8(ascii: ".") {
            rest = rest.dropFirst()
            fraction = rest.prefix(while: digits.contains)
            rest = rest.dropFirst(fraction.count)
        }
        guard !whole.isEmpty || !fraction.isEmpty else { return nil }
        let name = rest.prefix { !digits.contains($0) && $0 != UInt8(ascii: ".") }
        rest = rest.dropFirst(name.count)
        guard let unit = units.first(where: { $0.name.utf8.elementsEqual(name) })?.nanoseconds else { return nil }
        var value: UInt64 = 0
        for digit in whole {
            let (tenfold, first) = value.multipliedReportingOverflow(by: 10)
            let (sum, second) = tenfold.addingReportingOverflow(UInt64(digit - digits.lowerBound))
            guard !first, !second else { return nil }
            value = sum
        }
        let (scaled, overflow) = value.multipliedReportingOverflow(by: unit)
        guard !overflow else { return nil }
        // Digits of the fraction below a nanosecond do not count.
        var remainder: UInt64 = 0
        var place = unit
        for digit in fraction where place > 0 {
            // unit / 10^n need not be whole for minutes and hours, hence the division at the end of each step.
            remainder += UInt64(digit - digits.lowerBound) * place / 10
            place /= 10
        }
        let (result, tooMuch) = scaled.addingReportingOverflow(remainder)
        return tooMuch ? nil : result
    }
}

/// Appends a duration in Go's form: one unit below a second, hours, minutes and seconds above.
func appendDuration(_ nanoseconds: Int64, to bytes: inout [UInt8]) {
    if nanoseconds == 0 {
        bytes.append(contentsOf: "0s".utf8)
        return
    }
    if nanoseconds < 0 { bytes.append(UInt8(ascii: "-")) }
    let count = nanoseconds.magnitude
    switch count {
    case ..<1_000:
        appendDecimal(count, to: &bytes)
        bytes.append(contentsOf: "ns".utf8)
    case ..<1_000_000:
        appendFixedPoint(count, digits: 3, to: &bytes)
        bytes.append(contentsOf: "µs".utf8)
    case ..<1_000_000_000:
        appendFixedPoint(count, digits: 6, to: &bytes)
        bytes.append(contentsOf: "ms".utf8)
    default:
        let minute: UInt64 = 60_000_000_000
        let minutes = count / minute
        if minutes >= 60 {
            appendDecimal(minutes / 60, to: &bytes)
            bytes.append(UInt8(ascii: "h"))
        }
        if minutes > 0 {
            appendDecimal(minutes % 60, to: &bytes)
            bytes.append(UInt8(ascii: "m"))
        }
        appendFixedPoint(count % minute, digits: 9, to: &bytes)
        bytes.append(UInt8(ascii: "s"))
    }
}

/// Appends `value` / 10^`digits` without trailing zeros.
private func appendFixedPoint(_ value: UInt64, digits: Int, to bytes: inout [UInt8]) {
    var scale: UInt64 = 1
    for _ in 0..<digits { scale *= 10 }
    appendDecimal(value / scale, to: &bytes)
    var fraction = value % scale
    guard fraction > 0 else { return }
    bytes.append(UInt8(ascii: "."))
    while fraction > 0 {
        scale /= 10
        bytes.append(UInt8(ascii: "0") + UInt8(fraction / scale))
        fraction %= scale
    }
}

/// Appends a whole number in decimal.
func appendDecimal(_ value: UInt64, to bytes: inout [UInt8]) {
    if value >= 10 { appendDecimal(value / 10, to: &bytes) }
    bytes.append(UInt8(ascii: "0") + UInt8(value % 10))
}
