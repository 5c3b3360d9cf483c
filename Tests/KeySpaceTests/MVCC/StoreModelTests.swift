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

@Suite struct StoreMaintenanceTests {
    /// Restarts, checkpoints, purges and garbage collection at random moments change nothing that anyone sees.
    @Test(arguments: 1...6)
    func maintenanceIsInvisible(seed: Int) {
        let harness = StoreHarness(seed: UInt64(seed) + 100, segmentBytes: 20_000)
        for _ in 0..<150 {
            for _ in 0..<harness.int(1..<4) { harness.randomEntry() }
            harness.publish()
            switch harness.int(0..<8) {
            case 0: harness.restart()
            case 1: harness.checkpoint()
            case 2, 3: harness.purgeSome(slices: harness.int(1..<6))
            case 4:
                harness.collect {
                    guard harness.int(0..<4) == 0 else { return }
                    harness.randomEntry(compacting: false)
                    harness.publish()
                    harness.check(harness.randomShape())
                }
                if harness.int(0..<2) == 0 { harness.checkpoint() }
            default: break
            }
            harness.checkInvariants()
            for _ in 0..<4 { harness.check(harness.randomShape()) }
            harness.checkEvents()
            harness.checkHash()
        }
    }
}
