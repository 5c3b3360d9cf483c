// Restarts, checkpoints, purges, garbage collection, full disks and power cuts at random moments change nothing that
// anyone sees.

import StorageSimulation
import Testing

@testable import KeySpace

@Suite struct StoreMaintenanceTests {
    private func randomMaintenance(_ harness: StoreHarness, mayLosePower: Bool = false) {
        switch harness.int(0..<9) {
        case 0: harness.checkpoint()
        case 1, 2: harness.purgeSome(slices: harness.int(1..<6))
        case 3:
            harness.collect {
                guard !harness.fileSystem.isOff, harness.int(0..<4) == 0 else { return }
                harness.randomEntry(compacting: false)
                guard harness.publish(), !mayLosePower else { return }
                harness.check(harness.randomShape())
            }
            if harness.int(0..<2) == 0 { harness.checkpoint() }
        case 4, 5: harness.sync()
        default: break
        }
    }

    private func compare(_ harness: StoreHarness, reads: Int) {
        harness.checkInvariants()
        for _ in 0..<reads { harness.check(harness.randomShape()) }
        harness.checkEvents()
        harness.checkHash()
    }

    @Test(arguments: 1...5 * soakFactor)
    func maintenanceIsInvisible(seed: Int) {
        let harness = StoreHarness(seed: UInt64(seed) + 100, segmentBytes: 20_000)
        for _ in 0..<100 {
            for _ in 0..<harness.int(1..<4) { harness.randomEntry() }
            harness.publish()
            if harness.int(0..<8) == 0 { harness.restart() }
            randomMaintenance(harness)
            compare(harness, reads: 4)
        }
        #expect(harness.collectedSegments > 0)
    }

    /// Power fails at a random operation of the disk; what was durable is there, and what is there is consistent.
    @Test(arguments: 1...12 * soakFactor)
    func powerLossKeepsWhatWasDurable(seed: Int) {
        let harness = StoreHarness(seed: UInt64(seed) + 200, segmentBytes: 15_000)
        for _ in 0..<8 {
            harness.fileSystem.cutPower(before: harness.fileSystem.operationCount + harness.int(1..<120))
            while !harness.fileSystem.isOff {
                for _ in 0..<harness.int(1..<4) { harness.randomEntry() }
                guard harness.publish() else { break }
                randomMaintenance(harness, mayLosePower: true)
            }
            harness.loseAndRestorePower()
            compare(harness, reads: 6)
        }
    }

    /// A full disk: readers stay at the old state, entries wait, and nothing is lost once there is space.
    @Test(arguments: 1...4 * soakFactor)
    func aFullDiskHoldsBackPublicationOnly(seed: Int) {
        let harness = StoreHarness(seed: UInt64(seed) + 300, segmentBytes: 15_000)
        for _ in 0..<40 {
            for _ in 0..<harness.int(1..<4) { harness.randomEntry() }
            if harness.int(0..<3) == 0 { harness.fileSystem.capacity = harness.fileSystem.usedBytes }
            while !harness.publish() {
                // The count of the range must not be taken from the index, which is ahead.
                compare(harness, reads: 6)
                harness.checkpoint()
                harness.purgeSome(slices: 2)
                if harness.int(0..<3) == 0 { harness.fileSystem.capacity = .max }
            }
            harness.fileSystem.capacity = .max
            randomMaintenance(harness)
            compare(harness, reads: 2)
        }
        harness.restart()
        compare(harness, reads: 10)
    }
}
