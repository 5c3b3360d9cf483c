// The store against its model under random entries: every form of range, past revisions, events, hashes.

import Testing
import Wire

@testable import KeySpace

@Suite struct StoreModelTests {
    @Test(arguments: 1...6)
    func randomEntriesAgreeWithTheModel(seed: Int) {
        let harness = StoreHarness(seed: UInt64(seed))
        for _ in 0..<120 {
            for _ in 0..<harness.int(1..<4) { harness.randomEntry() }
            harness.publish()
            harness.checkInvariants()
            #expect(harness.store.currentRevision == harness.model.revision)
            #expect(harness.store.compactRevision == harness.model.compacted)
            for _ in 0..<6 { harness.check(harness.randomShape()) }
            harness.checkEvents()
            harness.checkHash()
            harness.purgeSome(slices: harness.int(0..<4))
            harness.checkInvariants()
        }
    }
}
