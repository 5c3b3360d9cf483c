// The system's logarithms by names of our own.

#if canImport(Glibc)
import Glibc
#endif

enum Logarithm {
    static func of(_ value: Double) -> Double { log(value) }
    static func decimal(of value: Double) -> Double { log10(value) }
}

enum Exponential {
    static func ofTen(_ exponent: Double) -> Double { pow(10, exponent) }
}
