// Automatic compaction without a clock: what is compacted to, and when.

import Testing

@testable import Datastore
@testable import DatastoreTracing

@Suite struct AutoCompactorTests {
    private static let minute: UInt64 = 60_000_000_000

    /// Ticks once a minute for some hours; one revision is written per minute. Returns (minute, target).
    private func run(_ compactor: inout AutoCompactor, minutes: Range<UInt64>) -> [[Int64]] {
        var result: [[Int64]] = []
        for minute in minutes {
            // Some revision of the minute, and not at its exact beginning.
            if let target = compactor.tick(now: minute * Self.minute + 17, revision: 100 + Int64(minute)) {
                result.append([Int64(minute), target])
            }
        }
        return result
    }

    private func expectTick(_ compactor: inout AutoCompactor, now: UInt64, revision: Int64, _ expected: Int64?) {
        let target = compactor.tick(now: now, revision: revision)
        #expect(target == expected)
    }

    @Test func offIsNone() { #expect(AutoCompactor(.off) == nil) }

    @Test func anHourKeepsAnHour() throws {
        var compactor = try #require(AutoCompactor(.period(.hours(1))))
        #expect(compactor.samplingNanoseconds == 6 * Self.minute)
        // The first full period ends at minute 60; then every hour, always to what is an hour old.
        let targets11 = run(&compactor, minutes: 0..<241)
        #expect(targets11 == [[60, 100], [120, 160], [180, 220], [240, 280]])
    }

    @Test func tenMinutesKeepTenMinutes() throws {
        var compactor = try #require(AutoCompactor(.period(.minutes(10))))
        #expect(compactor.samplingNanoseconds == Self.minute)
        let targets12 = run(&compactor, minutes: 0..<45)
        #expect(targets12 == [[10, 100], [20, 110], [30, 120], [40, 130]])
    }

    @Test func aDayIsSampledEverySixMinutesAndCompactedHourly() throws {
        var compactor = try #require(AutoCompactor(.period(.hours(24))))
        #expect(compactor.samplingNanoseconds == 6 * Self.minute)
        let day: Int64 = 24 * 60
        let targets13 = run(&compactor, minutes: 0..<UInt64(day) + 181)
        #expect(targets13 == (0..<4).map { [day + $0 * 60, 100 + $0 * 60] })
    }

    @Test func revisionsAreLookedAtEveryFiveMinutes() throws {
        var compactor = try #require(AutoCompactor(.revisions(10)))
        #expect(compactor.samplingNanoseconds == 5 * Self.minute)
        let targets14 = run(&compactor, minutes: 0..<16)
        #expect(targets14 == [[5, 95], [10, 100], [15, 105]])
        // Without news nothing is compacted again, and never below 1.
        var idle = try #require(AutoCompactor(.revisions(10)))
        var targets: [Int64] = []
        for minute in 0..<60 as Range<UInt64> {
            if let target = idle.tick(now: minute * Self.minute, revision: minute < 30 ? 7 : 50) { targets.append(target) }
        }
        #expect(targets == [40])
    }

    @Test func losingTheLeadForgetsTheSamples() throws {
        var compactor = try #require(AutoCompactor(.period(.hours(1))))
        _ = run(&compactor, minutes: 0..<59)
        compactor.pause()
        compactor.pause()
        // A whole period passes again.
        let targets15 = run(&compactor, minutes: 100..<221)
        #expect(targets15 == [[160, 200], [220, 260]])
    }

    @Test func aFailedCompactionIsTriedAgain() throws {
        var compactor = try #require(AutoCompactor(.revisions(10)))
        expectTick(&compactor, now: 0, revision: 50, nil)
        expectTick(&compactor, now: 5 * Self.minute, revision: 50, 40)
        expectTick(&compactor, now: 10 * Self.minute, revision: 50, nil)
        compactor.failed()
        expectTick(&compactor, now: 15 * Self.minute, revision: 50, 40)
    }

    @Test func aFailedPeriodicCompactionIsTriedAtTheNextSample() throws {
        var compactor = try #require(AutoCompactor(.period(.hours(1))))
        let before = run(&compactor, minutes: 0..<62)
        compactor.failed()
        let after = run(&compactor, minutes: 62..<130)
        #expect(before == [[60, 100]])
        #expect(after == [[66, 106], [126, 166]])
    }

    /// A machine that slept does not compact to what only looks old.
    @Test func aLongPauseBetweenTicksIsOneSample() throws {
        var compactor = try #require(AutoCompactor(.period(.hours(1))))
        expectTick(&compactor, now: 0, revision: 10, nil)
        for hour in 1...10 as ClosedRange<UInt64> {
            let target = compactor.tick(now: hour * 60 * Self.minute, revision: 10 + Int64(hour))
            #expect(target == nil || target! <= 10 + Int64(hour) - 1)
        }
    }

    @Test func theShortestPeriodDoesNotSpin() throws {
        var compactor = try #require(AutoCompactor(.period(Nanoseconds(1))))
        #expect(compactor.samplingNanoseconds >= 1)
        for now in 0..<100 as Range<UInt64> { _ = compactor.tick(now: now, revision: Int64(now)) }
    }
}
