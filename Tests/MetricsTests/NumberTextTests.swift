// Numbers in the exposition.

import Testing

@testable import DatastoreMetrics

private func number(_ value: Double) -> String {
    var bytes: [UInt8] = []
    appendNumber(value, to: &bytes)
    return String(decoding: bytes, as: UTF8.self)
}

@Test(arguments: [
    (0, "0"), (-0.0, "-0"), (1, "1"), (-1, "-1"), (10, "10"), (524_288, "524288"), (999_999, "999999"),
    (1_000_000, "1e+06"), (1_048_576, "1.048576e+06"), (2_147_483_648, "2.147483648e+09"),
    (18_446_744_073_709_551_616, "1.8446744073709552e+19"), (0.001, "0.001"), (0.0001, "0.0001"),
    (0.00001, "1e-05"), (0.000012345, "1.2345e-05"), (819_200, "819200"), (8.192, "8.192"),
    (123_456.75, "123456.75"), (1_234_567.5, "1.2345675e+06"), (1e100, "1e+100"), (.leastNonzeroMagnitude, "5e-324"),
    (1.7976931348623157e308, "1.7976931348623157e+308"), (0.1 + 0.2, "0.30000000000000004"),
    (100, "100"), (-2.5, "-2.5"), (1763679085.406028, "1.763679085406028e+09"),
    (.infinity, "+Inf"), (-.infinity, "-Inf"), (.nan, "NaN"),
] as [(Double, String)])
func numbersHaveTheShortestForm(value: Double, expected: String) {
    #expect(number(value) == expected)
}

@Test func numbersReadBackAsThemselves() {
    var random = SeededGenerator(seed: 0x5EED_0002)
    for _ in 0..<5_000 {
        let value = Double(bitPattern: random.next())
        guard value.isFinite else { continue }
        #expect(Double(number(value)) == value, "\(value) bits \(value.bitPattern)")
    }
}
