// The grpc-timeout header: up to eight digits and a unit.

enum GRPCTimeout {
    /// Why a value is no timeout, in the words of grpc-go.
    enum Malformed: Error, Equatable {
        case tooShort(String), tooLong(String), unknownUnit(String), notANumber(String)

        var text: String {
            switch self {
            case .tooShort(let value): "transport: timeout string is too short: \(quoted(value))"
            case .tooLong(let value): "transport: timeout string is too long: \(quoted(value))"
            case .unknownUnit(let value): "transport: timeout unit is not recognized: \(quoted(value))"
            case .notANumber(let value): "strconv.ParseUint: parsing \(quoted(value)): invalid syntax"
            }
        }
    }

    /// Nanoseconds, capped at `TransportLimits.deadlineNanosecondsMax`.
    static func parse(_ value: UnsafeRawBufferPointer) throws(Malformed) -> UInt64 {
        func text(_ bytes: some Sequence<UInt8>) -> String { String(decoding: Array(bytes), as: UTF8.self) }
        guard value.count >= 2 else { throw .tooShort(text(value)) }
        guard value.count <= 9 else { throw .tooLong(text(value)) }
        let unit: UInt64
        switch value[value.count - 1] {
        case UInt8(ascii: "n"): unit = 1
        case UInt8(ascii: "u"): unit = 1_000
        case UInt8(ascii: "m"): unit = 1_000_000
        case UInt8(ascii: "S"): unit = 1_000_000_000
        case UInt8(ascii: "M"): unit = 60_000_000_000
        case UInt8(ascii: "H"): unit = 3_600_000_000_000
        default: throw .unknownUnit(text(value))
        }
        var number: UInt64 = 0
        for index in 0..<(value.count - 1) {
            let digit = value[index] &- UInt8(ascii: "0")
            guard digit < 10 else { throw .notANumber(text(value.dropLast())) }
            number = number * 10 + UInt64(digit)
        }
        let (product, overflow) = number.multipliedReportingOverflow(by: unit)
        return overflow ? TransportLimits.deadlineNanosecondsMax : min(product, TransportLimits.deadlineNanosecondsMax)
    }

    /// The shortest exact-enough form: the finest unit whose number has at most eight digits.
    static func format(nanoseconds: UInt64) -> String {
        for (unit, name) in [(1, "n"), (1_000, "u"), (1_000_000, "m"), (1_000_000_000, "S"), (60_000_000_000, "M")] as [(UInt64, String)] {
            // Rounded up: a deadline may come late by one unit, never early.
            let number = nanoseconds / unit + (nanoseconds % unit == 0 ? 0 : 1)
            if number <= 99_999_999 { return "\(number)\(name)" }
        }
        return "\(min(nanoseconds / 3_600_000_000_000 + 1, 99_999_999))H"
    }
}

/// A string as Go's %q prints it (the part of it that header values can hold).
func quoted(_ value: String) -> String {
    var result = "\""
    for scalar in value.unicodeScalars {
        switch scalar {
        case "\"": result += "\\\""
        case "\\": result += "\\\\"
        case "\n": result += "\\n"
        case "\r": result += "\\r"
        case "\t": result += "\\t"
        case _ where scalar.value < 0x20 || scalar.value == 0x7f:
            let digits = String(scalar.value, radix: 16)
            result += "\\x" + (digits.count < 2 ? "0" : "") + digits
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result + "\""
}
