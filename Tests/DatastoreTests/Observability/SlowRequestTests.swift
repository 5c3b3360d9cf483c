// How many slow requests are looked at, and the line about reads that waited for a quorum.

import DatastoreTracing
import Testing

@testable import Datastore

@Suite struct SlowRequestTests {
    @Test func asManyASecondAreLookedAtAsThereIsABudgetFor() {
        var budget = SlowRequestBudget(perSecond: 3)
        let second: UInt64 = 1_000_000_000
        var admitted: [UInt64: Int] = [:]
        for now in stride(from: 5 * second, to: 8 * second, by: 1_000_000) where budget.admits(at: now) { admitted[now / second, default: 0] += 1 }
        #expect(admitted == [5: 3, 6: 3, 7: 3])
        var none = SlowRequestBudget(perSecond: 0)
        #expect(!none.admits(at: 0) && !none.admits(at: 9 * second))
    }

    @Test func aSlowReadIndexIsToldWithAllOfItsSteps() {
        let fields = TraceLine.readLoop(index: 7, applied: 9, asked: 1_000, confirmed: 120_001_000, ended: 150_001_000)
        #expect(fields.map(\.name) == ["trace_id", "operation", "detail", "duration", "start", "end", "steps", "step_count"])
        #expect(fields[1].value == .string("linearizableReadLoop") && fields[2].value == .string("{readStateIndex:7; appliedIndex:9; }"))
        #expect(fields[3].value == .duration(150_000_000))
        #expect(
            fields[6].value
                == .strings([
                    "'read index received'  (duration: 120ms)", "'applied index is now lower than readState.Index'  (duration: 30ms)",
                ]))
        #expect(fields[7].value == .integer(2))
    }
}
