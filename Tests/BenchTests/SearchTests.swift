// The search for capacity against servers of known strength, and promises as text.

import Testing

@testable import Bench

@Suite struct SearchTests {
    private func find(_ search: CapacitySearch, _ isGood: (Double) -> Bool) -> (found: Double?, steps: Int) {
        var search = search
        var steps = 0
        while case .measure(let rate) = search.next {
            search.took(isGood: isGood(rate))
            steps += 1
        }
        guard case .done(let found) = search.next else { return (nil, steps) }
        return (found, steps)
    }

    @Test(arguments: [30.0, 500, 1_000, 1_001, 18_000, 987_654])
    func findsWhatAServerBears(limit: Double) throws {
        let (found, steps) = find(CapacitySearch(first: 1_000)) { $0 <= limit }
        let rate = try #require(found)
        #expect(rate <= limit && rate * 1.05 >= limit && steps < 64)
    }

    @Test func aHiccupIsForgiven() throws {
        var calls = 0
        let (found, _) = find(CapacitySearch(first: 1_000)) { rate in
            calls += 1
            return rate <= 10_000 && calls % 5 != 0
        }
        #expect(try #require(found) >= 9_500)
    }

    @Test func stopsAtTheCeilingAndAtNothing() {
        #expect(find(CapacitySearch(first: 100, ceiling: 5_000)) { _ in true }.found == 5_000)
        let nothing = find(CapacitySearch(first: 100)) { _ in false }
        #expect(nothing.found == nil && nothing.steps < 64)
    }

    @Test func promises() {
        #expect(Objective("p99<25ms") == Objective(percent: 99, nanoseconds: 25_000_000))
        #expect(Objective("p99.9 = 1.5s") == Objective(percent: 99.9, nanoseconds: 1_500_000_000))
        #expect(Objective("max<2s") == Objective(percent: 100, nanoseconds: 2_000_000_000))
        for wrong in ["", "p99", "p<1s", "q9<1s", "p101<1s", "p0<1s", "p99<x", "p99<0s", "p99<1s<2s"] { #expect(Objective(wrong) == nil) }
        #expect("\(Objective("p99<25ms")!)" == "p99 < 25 ms" && "\(Objective("p99.9<1500us")!)" == "p99.9 < 1.5 ms")
    }

    @Test func medians() {
        #expect(Median.of([]) == 0 && Median.of([3, 1, 2]) == 2 && Median.of([4, 1, 2, 3]) == 2.5)
    }
}
