// The store against its model under random entries: every form of range, past revisions, events, hashes.

import Testing
import Wire

@testable import KeySpace

@Suite struct StoreModelTests {
    @Test(arguments: 1...4 * soakFactor)
    func randomEntriesAgreeWithTheModel(seed: Int) {
        let harness = StoreHarness(seed: UInt64(seed))
        for _ in 0..<120 {
            for _ in 0..<harness.int(1..<4) { harness.randomEntry() }
            harness.publish()
            harness.checkInvariants()
            #expect(harness.store.currentRevision == harness.published.revision)
            #expect(harness.store.compactRevision == harness.published.compacted)
            for _ in 0..<6 { harness.check(harness.randomShape()) }
            // A transaction's view: after its own writes, before anybody else sees them.
            harness.entry {
                harness.put(harness.key(), [1, 2, 3])
                for _ in 0..<2 { harness.check(harness.randomShape(), inEntry: true) }
            }
            harness.publish()
            harness.checkEvents()
            harness.checkHash()
            harness.purgeSome(slices: harness.int(0..<9))
            harness.checkInvariants()
        }
        #expect(!harness.checkedHashes.isEmpty)
        #expect(harness.slicesOfSqueeze > 5)
    }
}
