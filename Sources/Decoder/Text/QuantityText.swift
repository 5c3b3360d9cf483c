// Kubernetes' quantities in their canonical form (`1500m`, `1Gi`), as the API server stores them.

enum QuantityText {
    private enum Family { case decimal, binary, exponent }

    private static let decimalSuffixes: [(String, Int)] = [
        ("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18),
    ]
    private static let binarySuffixes: [(String, Int)] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)]

    /// The canonical text; nil for what is no quantity, or beyond 10^28.
    static func canonical(_ given: String) -> String? {
        let text = given.trimming(" ")
        var rest = Substring(text)
        var isNegative = false
        if let sign = rest.first, sign == "+" || sign == "-" {
            isNegative = sign == "-"
            rest = rest.dropFirst()
        }
        let whole = rest.prefix { $0.isASCII && $0.isNumber }
        rest = rest.dropFirst(whole.count)
        var fraction = Substring()
        if rest.first == "." {
            rest = rest.dropFirst()
            fraction = rest.prefix { $0.isASCII && $0.isNumber }
            rest = rest.dropFirst(fraction.count)
        }
        guard !(whole.isEmpty && fraction.isEmpty) else { return nil }
        let suffix = String(rest)
        let family: Family
        /// Power of ten, or of two for the binary family.
        let exponent: Int
        if let power = decimalSuffixes.first(where: { $0.0 == suffix })?.1 {
            (family, exponent) = (.decimal, power)
        } else if let power = binarySuffixes.first(where: { $0.0 == suffix })?.1 {
            (family, exponent) = (.binary, power)
        } else if let letter = suffix.first, letter == "e" || letter == "E", let power = Int(suffix.dropFirst()), abs(power) < 1000 {
            (family, exponent) = (.exponent, power)
        } else {
            return nil
        }
        let integerDigits = String(whole.drop { $0 == "0" })
        let digits = (integerDigits.isEmpty ? "0" : integerDigits) + fraction
        if digits.allSatisfy({ $0 == "0" }) { return "0" }
        if isCanonicalLooking(digits, fraction.count, family, exponent) { return text }
        guard let nano = scaled(digits, fraction.count, family, exponent) else { return nil }
        return print(nano, isNegative, family)
    }

    /// Such a text is kept as it is.
    private static func isCanonicalLooking(_ digits: String, _ fractionDigits: Int, _ family: Family, _ exponent: Int) -> Bool {
        if family == .binary {
            guard fractionDigits == 0, let value = UInt64(digits) else { return false }
            return 15 - digits.count - exponent * 3 / 10 - 1 >= 0 && value % 8 != 0
        }
        let power = exponent - fractionDigits
        return digits.count <= 18 && power >= -9 && power % 3 == 0 && digits.first != "0" && !digits.hasSuffix("000")
    }

    /// The magnitude in units of 10^-9, rounded up; a binary one above 2^63 − 1 becomes that.
    private static func scaled(_ digits: String, _ fractionDigits: Int, _ family: Family, _ exponent: Int) -> UInt128? {
        let largest = UInt128(Int64.max) * 1_000_000_000
        guard var value = UInt128(digits) else { return family == .binary && fractionDigits == 0 ? largest : nil }
        var power = 9 - fractionDigits
        if family == .binary {
            let (product, overflow) = value.multipliedReportingOverflow(by: UInt128(1) << UInt128(exponent))
            guard !overflow else { return largest }
            value = product
        } else {
            power += exponent
        }
        if power >= 0 {
            for _ in 0..<power {
                let (product, overflow) = value.multipliedReportingOverflow(by: 10)
                guard !overflow else { return family == .binary ? largest : nil }
                value = product
            }
        } else {
            var isInexact = false
            for _ in 0..<min(-power, 40) {
                if value % 10 != 0 { isInexact = true }
                value /= 10
            }
            if isInexact { value += 1 }
        }
        return family == .binary ? min(value, largest) : value
    }

    private static func print(_ nano: UInt128, _ isNegative: Bool, _ family: Family) -> String {
        let sign = isNegative ? "-" : ""
        let unit = UInt128(1_000_000_000)
        if family == .binary, nano >= 1024 * unit, nano % unit == 0 {
            var value = nano / unit
            var suffix = 0
            while value % 1024 == 0, suffix < binarySuffixes.count {
                value /= 1024
                suffix += 1
            }
            return "\(sign)\(value)\(suffix == 0 ? "" : binarySuffixes[suffix - 1].0)"
        }
        var value = nano
        var power = -9
        while value % 1000 == 0, family == .exponent || power < 18 {
            value /= 1000
            power += 3
        }
        if family == .exponent { return power == 0 ? "\(sign)\(value)" : "\(sign)\(value)e\(power)" }
        return "\(sign)\(value)\(decimalSuffixes.first { $0.1 == power }!.0)"
    }
}

extension String {
    fileprivate func trimming(_ character: Character) -> String {
        String(drop { $0 == character }.reversed().drop { $0 == character }.reversed())
    }
}

