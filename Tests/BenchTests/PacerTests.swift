// Paces with a clock that the test moves.

import Testing

@testable import Bench

@Suite struct PacerTests {
    @Test func withoutARateCallsAreAlwaysDue() {
        var pacer = Pacer(start: 100, rate: 0)
        #expect(pacer.due == nil && pacer.take(500) == 500 && pacer.take(500) == 500)
    }

    @Test func callsAreDueAtTheirMoments() {
        var pacer = Pacer(start: 1_000, rate: 1_000)
        #expect(pacer.take(999) == nil)
        #expect(pacer.take(1_000) == 1_000)
        #expect(pacer.take(1_000_999) == nil)
        #expect(pacer.due == 1_001_000)
        #expect(pacer.take(1_001_000) == 1_001_000)
    }

    @Test func aLongWaitIsMadeUpForAndCounted() {
        // A server that answers nothing for a second: the calls of that second are made afterwards, each from its own moment.
        var pacer = Pacer(start: 0, rate: 100)
        #expect(pacer.take(0) == 0)
        let late = (1...100).map { _ in pacer.take(1_000_000_000) }
        #expect(late == (1...100).map { UInt64($0) * 10_000_000 })
        #expect(pacer.take(1_000_000_000) == nil)
    }

    @Test func momentsDoNotDrift() {
        var pacer = Pacer(start: 0, rate: 3)
        var last: UInt64 = 0
        for _ in 0..<30_000 { last = pacer.take(.max)! }
        #expect(last == UInt64(29_999.0 * 1e9 / 3))
    }

    @Test func independentArrivalsHaveTheirRate() {
        let seed = UInt64.random(in: .min ... .max)
        var pacer = Pacer(start: 0, rate: 1_000, arrivals: .poisson, seed: seed)
        var moments: [UInt64] = []
        for _ in 0..<20_000 { moments.append(pacer.take(.max)!) }
        #expect(moments == moments.sorted(), "seed \(seed)")
        // Ten deviations from the mean.
        #expect(abs(Double(moments.last!) / 1e9 - 20) < 10 * 20_000.0.squareRoot() / 1_000, "seed \(seed)")
        let short = zip(moments, moments.dropFirst()).filter { $1 - $0 < 693_147 }.count
        #expect(abs(Double(short) - 10_000) < 1_000, "half of the distances are below ln 2 of the mean, seed \(seed)")
        var again = Pacer(start: 0, rate: 1_000, arrivals: .poisson, seed: seed)
        #expect(again.take(.max) == moments[0])
    }
}

/// What a recorder makes of a load whose server stands still: the omission that coordination would cause is not there.
@Suite struct CoordinatedOmissionTests {
    /// One client, a call each 10 ms, the server answers in 1 ms but stands still from 1 s to 2 s.
    private func run(paced: Bool) -> OperationRecorder {
        var pacer = Pacer(start: 0, rate: paced ? 100 : 0)
        var recorder = OperationRecorder("put", start: 0, wallStart: 0, isPaced: paced)
        var now: UInt64 = 0
        while now < 3_000_000_000 {
            guard let intended = pacer.take(now) else {
                now = pacer.due!
                continue
            }
            let started = now
            now = started >= 1_000_000_000 && started < 2_000_000_000 ? 2_001_000_000 : started + 1_000_000
            recorder.record(intended: intended, started: started, ended: now)
            if !paced { now += 9_000_000 }
        }
        recorder.finish()
        return recorder
    }

    @Test func latencyIsCountedFromTheIntendedMoment() {
        let honest = run(paced: true)
        let fooled = run(paced: false)
        // Without a pace the stand-still is one call of two hundred, with it a third of all.
        #expect(fooled.latencies.percentile(99) < 2_000_000)
        #expect(honest.latencies.percentile(75) > 100_000_000)
        #expect(honest.latencies.maximum == 1_001_000_000)
        // How long the server took once it was asked is told apart.
        #expect(honest.serviceTimes.percentile(99) < 2_000_000)
        #expect(honest.latencies.count == 300)
    }
}
