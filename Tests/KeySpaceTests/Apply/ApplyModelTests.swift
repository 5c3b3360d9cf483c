// Random requests against the model, with publications, maintenance, restarts and power cuts in between.

import Testing

@testable import KeySpace

@Suite struct ApplyModelTests {
    private func run(_ seed: UInt64, steps: Int, crashes: Bool) {
        let harness = ApplyHarness(seed: testSeed(seed))
        for step in 0..<steps {
            harness.step()
            if harness.int(0..<8) == 0 {
                harness.publish()
                harness.checkState(events: harness.int(0..<6) == 0)
                if harness.int(0..<3) == 0 { harness.maintain() }
            }
            if harness.int(0..<60) == 0 {
                harness.publish()
                if crashes, harness.int(0..<2) == 0 { harness.crash() } else { harness.restart() }
                harness.checkState()
            }
            if step % 200 == 199, harness.model.alarms.contains(where: { $0[1] == 2 }) {
                for alarm in harness.model.alarms { harness.apply(.alarm(action: 2, member: alarm[0], kind: alarm[1])) }
            }
        }
        harness.publish()
        harness.checkState()
        harness.restart()
        harness.checkState()
        #expect(harness.outcomes.done > steps / 4)
        #expect(harness.outcomes.failed > steps / 50)
    }

    @Test(arguments: 1...6) func answersAndStateAreTheModels(seed: Int) {
        run(UInt64(seed), steps: 1500 * soakFactor, crashes: false)
    }

    @Test(arguments: 11...14) func powerCutsLoseNothingThatTheLogHas(seed: Int) {
        run(UInt64(seed), steps: 1000 * soakFactor, crashes: true)
    }
}
