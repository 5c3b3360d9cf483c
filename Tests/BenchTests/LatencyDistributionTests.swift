// Distributions against sorted lists.

import Testing

@testable import Bench

@Suite struct LatencyDistributionTests {
    /// What etcd's benchmark does with a sorted list.
    private func reference(_ sorted: [UInt64], _ percents: [Double]) -> [UInt64?] {
        percents.map { percent in sorted.indices.first { Double($0) * 100 / Double(sorted.count) >= percent }.map { sorted[$0] } }
    }

    @Test(arguments: [1, 2, 9, 10, 50, 99, 100, 101, 1_000, 12_345])
    func percentilesAreThoseOfASortedList(count: Int) {
        let seed = UInt64.random(in: .min ... .max)
        var random = SplitMix(seed)
        var distribution = LatencyDistribution()
        let values = (0..<count).map { _ in UInt64(random.exponential() * 1e6) + 1_000 }
        for value in values { distribution.record(value) }
        let sorted = values.sorted()
        let wanted = reference(sorted, RunReport.percents)
        for ((want, have), percent) in zip(zip(wanted, distribution.percentiles(RunReport.percents)), RunReport.percents) {
            #expect((want == nil) == (have == nil), "p\(percent) of \(count), seed \(seed)")
            // Three digits.
            if let want, let have { #expect(Double(max(want, have) - min(want, have)) <= Double(want) * 0.001 + 1, "p\(percent) of \(count), seed \(seed)") }
        }
        #expect(distribution.minimum == sorted.first && distribution.maximum == sorted.last)
        let mean = values.reduce(0) { $0 + Double($1) } / Double(count)
        let deviation = (values.reduce(0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / Double(count)).squareRoot()
        #expect(abs(distribution.mean - mean) < mean * 1e-9, "seed \(seed)")
        #expect(abs(distribution.deviation - deviation) <= deviation * 1e-6 + 1e-6, "seed \(seed)")
    }

    @Test func fiftyValuesHaveNo99thPercentile() {
        var distribution = LatencyDistribution()
        for value in 1...50 { distribution.record(UInt64(value) * 1_000_000) }
        #expect(distribution.percentiles([98, 99, 99.9]) == [50_000_000, nil, nil])
        #expect(distribution.percentile(99) == 50_000_000)
    }

    @Test func rowsHoldEveryValueOnce() {
        let seed = UInt64.random(in: .min ... .max)
        var random = SplitMix(seed)
        for _ in 0..<50 {
            var distribution = LatencyDistribution()
            let count = 1 + random.below(500)
            for _ in 0..<count { distribution.record(UInt64(random.below(1 << (1 + random.below(40))))) }
            let rows = distribution.rows()
            #expect(rows.count == 11 && rows.reduce(0) { $0 + $1.count } == UInt64(count), "seed \(seed)")
            #expect(rows[0].count >= 1 && rows[0].bound == Double(distribution.minimum) && rows[10].bound == Double(distribution.maximum), "seed \(seed)")
        }
    }

    @Test func oneValueFillsTheFirstRow() {
        var distribution = LatencyDistribution()
        for _ in 0..<7 { distribution.record(5_000) }
        #expect(distribution.rows()[0].count == 7)
        #expect(distribution.percentile(100) == 5_000)
    }

    @Test func sumsAreAsIfAllHadBeenRecordedInOne() {
        var (a, b, both) = (LatencyDistribution(), LatencyDistribution(), LatencyDistribution())
        var random = SplitMix(7)
        for index in 0..<3_000 {
            let value = UInt64(random.below(50_000_000))
            if index % 3 == 0 { a.record(value) } else { b.record(value) }
            both.record(value)
        }
        a.add(b)
        a.add(LatencyDistribution())
        #expect(a.count == both.count && a.minimum == both.minimum && a.maximum == both.maximum)
        #expect(abs(a.mean - both.mean) < 1 && abs(a.deviation - both.deviation) < 1)
        #expect(a.percentiles(RunReport.percents) == both.percentiles(RunReport.percents))
    }

    @Test func nothingIsNothing() {
        let empty = LatencyDistribution()
        #expect(empty.percentile(50) == 0 && empty.rows().isEmpty && empty.deviation == 0)
        #expect(empty.percentiles([50]) == [nil])
    }
}
