// A store that was carried elsewhere answers as the first one does, also after a restart.

import Storage
import StorageSimulation
import Testing
import Wire

@testable import KeySpace

@Suite struct StoreTransferTests {
    private func copy(_ store: MVCCStore, to fileSystem: SimulatedFileSystem) throws -> MVCCStore {
        let walk = try #require(store.records())
        let target = try MVCCStore.open(fileSystem: fileSystem, directory: "/copy")
        target.beginEntry(raftIndex: walk.appliedIndex, term: walk.appliedTerm)
        var hasMore = true
        while hasMore {
            hasMore = try walk.step { revision, isTombstone, record in
                try target.adopt(revision, isTombstone: isTombstone, record: record)
            }
            // Frames stay small.
            target.endEntry()
            try target.publish()
            target.beginEntry(raftIndex: walk.appliedIndex, term: walk.appliedTerm)
        }
        for bucket in MetaBucket.allCases {
            for (key, value) in walk.metaEntries(bucket) { target.metaPut(bucket, key: key, value: value) }
        }
        target.adopt(currentRevision: walk.revision, compactRevision: walk.compactRevision)
        target.endEntry()
        try target.publish()
        return target
    }

    private func everything(_ store: MVCCStore, at revision: Int64) throws -> [UInt8] {
        var shape = RangeShape(key: [0], end: [0])
        shape.revision = revision
        let sink = ByteSink()
        shape.withQuery { query, _ in
            guard let answer = try? store.range(query) else {
                Issue.record("no answer at \(revision)")
                return
            }
            while !answer.isReady { answer.cursor!.step() }
            try! answer.write(to: sink)
        }
        return sink.array()
    }

    private func hash(_ store: MVCCStore, _ revision: Int64) throws -> UInt32 {
        let job = try store.hashKV(revision: revision)
        while try !job.step() {}
        return job.hash
    }

    private func compare(_ a: MVCCStore, _ b: MVCCStore) throws {
        #expect(b.currentRevision == a.currentRevision)
        #expect(b.compactRevision == a.compactRevision)
        #expect(b.table.invariantViolation() == nil)
        for revision in max(a.compactRevision, 1)...a.currentRevision {
            #expect((try everything(a, at: revision) == everything(b, at: revision)) as Bool, "at \(revision)")
            if revision > a.compactRevision { #expect(try hash(a, revision) == hash(b, revision)) }
        }
        for bucket in MetaBucket.allCases { #expect(a.metaEntries(bucket) == b.metaEntries(bucket)) }
    }

    @Test(arguments: 1...4 * soakFactor)
    func aCopyAnswersAsTheOriginal(seed: Int) throws {
        let harness = StoreHarness(seed: UInt64(seed) + 400)
        for round in 0..<60 {
            harness.randomEntry()
            if round % 10 == 0 {
                harness.store.beginEntry(raftIndex: harness.store.appliedIndex + 1, term: 1)
                harness.store.metaPut(.lease, key: [UInt8(round)], value: [1, 2, 3])
                if round > 20 { harness.store.metaDelete(.lease, key: [UInt8(round - 20)]) }
                harness.store.endEntry()
                harness.noteEntry()
            }
            harness.publish()
            if round % 7 == 0 { harness.purgeSome(slices: 2) }
        }
        let fileSystem = SimulatedFileSystem(seed: UInt64(seed))
        let target = try copy(harness.store, to: fileSystem)
        try compare(harness.store, target)
        target.close()
        let reopened = try MVCCStore.open(fileSystem: fileSystem, directory: "/copy")
        try compare(harness.store, reopened)
        #expect(reopened.appliedPosition.index == harness.store.appliedPosition.index)
        // The interrupted purge of the reopened store takes nothing more.
        let runner = CompactionRunner(store: reopened)
        while true { if case .idle = try runner.step() { break } }
        try compare(harness.store, reopened)
        reopened.close()
    }
}
