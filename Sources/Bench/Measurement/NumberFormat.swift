// Numbers as Go prints them: %4.4f, %g, and durations.

#if canImport(Glibc)
import Glibc
#endif

enum NumberFormat {
    /// With so many digits behind the point.
    static func fixed(_ value: Double, _ digits: Int) -> String {
        guard value.isFinite else { return value.isNaN ? "NaN" : value > 0 ? "+Inf" : "-Inf" }
        var buffer = [CChar](repeating: 0, count: 400)
        let length = withVaList([Int32(digits), value]) { vsnprintf(&buffer, buffer.count, "%.*f", $0) }
        return String(decoding: buffer.prefix(Int(length)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// The shortest digits that read back the same, as `%g` has them: exponents below -4 and from 6 on in exponent form.
    static func shortest(_ value: Double) -> String {
        guard value.isFinite else { return value.isNaN ? "NaN" : value > 0 ? "+Inf" : "-Inf" }
        guard value != 0 else { return "0" }
        let sign = value < 0 ? "-" : ""
        var text = Substring(value.magnitude.description)
        var exponent = 0
        if let e = text.firstIndex(where: { $0 == "e" }) {
            exponent = Int(text[text.index(after: e)...]) ?? 0
            text = text[..<e]
        }
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        var digits = Array((String(parts[0]) + (parts.count > 1 ? String(parts[1]) : "")).utf8)
        exponent += parts[0].utf8.count - 1
        let zeros = digits.prefix { $0 == UInt8(ascii: "0") }.count
        digits.removeFirst(zeros)
        exponent -= zeros
        while digits.last == UInt8(ascii: "0") { digits.removeLast() }
        let all = String(decoding: digits, as: UTF8.self)
        if exponent < -4 || exponent >= 6 {
            let rest = all.dropFirst()
            let size = exponent.magnitude < 10 ? "0\(exponent.magnitude)" : "\(exponent.magnitude)"
            return "\(sign)\(all.prefix(1))\(rest.isEmpty ? "" : ".")\(rest)e\(exponent < 0 ? "-" : "+")\(size)"
        }
        if exponent < 0 { return sign + "0." + String(repeating: "0", count: -exponent - 1) + all }
        if digits.count <= exponent + 1 { return sign + all + String(repeating: "0", count: exponent + 1 - digits.count) }
        return sign + all.prefix(exponent + 1) + "." + all.dropFirst(exponent + 1)
    }

    /// For people: three digits or so, and a unit. `812 µs`, `1.25 ms`, `3.4 s`.
    static func time(_ nanoseconds: Double) -> String {
        func digits(_ value: Double) -> String { fixed(value, value < 10 ? 2 : value < 100 ? 1 : 0) }
        if nanoseconds < 1_000 { return "\(fixed(nanoseconds, 0)) ns" }
        if nanoseconds < 1e6 { return digits(nanoseconds / 1e3) + " µs" }
        if nanoseconds < 1e9 { return digits(nanoseconds / 1e6) + " ms" }
        return digits(nanoseconds / 1e9) + " s"
    }

    /// For people: `950`, `12.3k`, `1.25M`.
    static func count(_ value: Double) -> String {
        func digits(_ value: Double) -> String { fixed(value, value < 10 ? 2 : value < 100 ? 1 : 0) }
        if value < 10 && value != value.rounded() { return fixed(value, 2) }
        if value < 10_000 { return fixed(value, 0) }
        if value < 1e6 { return digits(value / 1e3) + "k" }
        return digits(value / 1e6) + "M"
    }

    /// Bytes in powers of a thousand, as etcd's tools print them: `25 kB`, `1.2 MB`.
    static func bytes(_ count: UInt64) -> String {
        guard count >= 10 else { return "\(count) B" }
        let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"]
        var value = Double(count)
        var unit = 0
        while value >= 1_000, unit < units.count - 1 {
            value /= 1_000
            unit += 1
        }
        let rounded = (value * 10 + 0.5).rounded(.down) / 10
        return "\(fixed(rounded, rounded < 10 ? 1 : 0)) \(units[unit])"
    }
}
