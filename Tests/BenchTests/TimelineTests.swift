// The table by second and the points of plots.

import Testing

@testable import Bench

@Suite struct TimelineTests {
    @Test func secondsWithoutCallsAreThere() {
        var table = SecondTable()
        table.record(second: 100, latency: 5)
        table.record(second: 103, latency: 7)
        table.record(second: 103, latency: 9)
        #expect(table.first == 100 && table.rows.map(\.count) == [1, 0, 0, 2])
        #expect(table.rows[3] == SecondTable.Row(count: 2, minimum: 7, maximum: 9, total: 16) && table.rows[3].mean == 8)
    }

    @Test func earlierSecondsMayComeLater() {
        var table = SecondTable()
        table.record(second: 100, latency: 5)
        table.record(second: 98, latency: 6)
        #expect(table.first == 98 && table.rows.map(\.count) == [1, 0, 1])
    }

    @Test func theTableHasABound() {
        var table = SecondTable()
        table.record(second: 0, latency: 1)
        table.record(second: 10_000_000, latency: 1)
        table.record(second: -10_000_000, latency: 1)
        #expect(table.rows.count == BenchLimits.secondsMax && table.rows.reduce(0) { $0 + $1.count } == 3)
    }

    @Test func pointsAreJoinedAndNothingIsLost() {
        let seed = UInt64.random(in: .min ... .max)
        var random = SplitMix(seed)
        var timeline = Timeline(start: 1_000)
        var (count, errors): (UInt64, UInt64) = (0, 0)
        var now: UInt64 = 1_000
        for _ in 0..<5_000 {
            now += UInt64(random.below(400_000_000))
            if random.below(20) == 0 {
                timeline.recordErrors(at: now)
                errors += 1
            } else {
                timeline.record(at: now, latency: 1_000)
                count += 1
            }
        }
        timeline.close()
        #expect(timeline.points.count <= BenchLimits.intervalsMax, "seed \(seed)")
        #expect(timeline.points.reduce(0) { $0 + $1.count } == count, "seed \(seed)")
        #expect(timeline.points.reduce(0) { $0 + $1.errors } == errors, "seed \(seed)")
        #expect(UInt64(timeline.points.count) * timeline.length >= now - 1_000, "seed \(seed)")
    }

    @Test func aPointHasItsOwnPercentiles() {
        var timeline = Timeline(start: 0)
        for index in 0..<100 { timeline.record(at: 50_000_000, latency: UInt64(index) * 1_000) }
        timeline.record(at: 350_000_000, latency: 77_000)
        timeline.close()
        #expect(timeline.points.map(\.count) == [100, 0, 0, 1])
        #expect(timeline.points[0].median > 49_000 && timeline.points[0].median < 51_000 && timeline.points[3].p99 == 77_000 && timeline.points[3].median == 77_000)
    }

    @Test func errorTextsHaveABound() {
        var recorder = OperationRecorder("put", start: 0, wallStart: 0)
        for index in 0..<1_000 { recorder.record(error: "error \(index)", at: 1) }
        #expect(recorder.errors.count == BenchLimits.errorTextsMax + 1 && recorder.errorCount == 1_000)
        #expect(recorder.errors["other errors"] == UInt64(1_000 - BenchLimits.errorTextsMax))
    }
}
