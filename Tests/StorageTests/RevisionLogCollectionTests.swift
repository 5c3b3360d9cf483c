// Garbage collection of the revision log.

import Storage
import StorageSimulation
import Testing
import Wire

@Suite struct RevisionLogCollectionTests {
    @Test func deadSegmentsGoWithTheNextCheckpoint() throws {
        let system = SimulatedFileSystem(seed: 1)
        var store = try MiniStore(system)
        for index in 1...400 as ClosedRange<UInt64> { store.apply(.put(key: UInt8(index % 4), size: 50), index: index) }
        store.apply(.compact(400), index: 401)
        try store.log.flush()
        try store.verify()
        #expect(store.log.segmentStatistics.count > 10)
        let before = store.log.size
        try store.collectAll()
        // Collected is not counted any more, but it is still there for a crash to come back to.
        #expect(store.log.size - 20480 < (before - 20480) / 4)
        #expect(store.log.segmentStatistics.count > 10)
        try store.verify()
        try store.checkpoint()
        try store.log.sync()
        #expect(store.log.segmentStatistics.count <= 3 && store.log.retiredSegments == 0)
        #expect(try system.list("/store").filter { $0.hasSuffix(".seg") }.count == store.log.segmentStatistics.count)
        try store.verify()
        let model = store.model
        store.log.close()
        store = try MiniStore(system)
        #expect(store.model == model)
        try store.verify()
    }

    @Test func aRotatedSegmentCanBeCollected() throws {
        let system = SimulatedFileSystem(seed: 1)
        var store = try MiniStore(system, segmentBytes: 1 << 20)
        for index in 1...100 as ClosedRange<UInt64> { store.apply(.put(key: 1, size: 1000), index: index) }
        store.apply(.compact(100), index: 101)
        #expect(!store.log.rotate(), "frames are pending")
        try store.log.flush()
        #expect(store.log.rotate() && store.log.rotate())
        try store.collectAll(.thorough)
        try store.checkpoint()
        #expect(store.log.size < 23_000)
        try store.verify()
        store.log.close()
        store = try MiniStore(system, segmentBytes: 1 << 20)
        try store.verify()
        #expect(store.log.appliedIndex == 101)
        store.apply(.put(key: 2, size: 10), index: 102)
        try store.log.flush()
        try store.log.sync()
        store.log.close()
        store = try MiniStore(system, segmentBytes: 1 << 20)
        #expect(store.model.versions.count == 2)
        try store.verify()
    }

    @Test func aPinnedReaderKeepsItsFile() throws {
        let system = SimulatedFileSystem(seed: 1)
        let store = try MiniStore(system)
        for index in 1...100 as ClosedRange<UInt64> { store.apply(.put(key: 1, size: 100), index: index) }
        try store.log.flush()
        let pin = store.log.pinReads()
        let old = store.locations[5]!
        store.apply(.compact(100), index: 101)
        try store.log.flush()
        try store.collectAll()
        try store.checkpoint()
        #expect(store.log.retiredSegments > 0)
        let names = try system.list("/store").filter { $0.hasSuffix(".seg") }.count
        #expect(names > store.log.segmentStatistics.count)
        #expect(try store.log.payload(at: old) == MiniModel.payload(5, key: 1, size: 100))
        store.log.unpinReads(pin)
        try store.log.sync()
        #expect(throws: StorageError(.read, "/store", .stale)) { try store.log.payload(at: old) }
        #expect(try system.list("/store").filter { $0.hasSuffix(".seg") }.count == store.log.segmentStatistics.count)
        #expect(store.log.retiredSegments == 0)
    }
}
