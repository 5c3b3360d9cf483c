// A store as etcd's database and back: the second database has the same bytes as the first.

import Storage
import StorageSimulation
import Testing
import Wire

@testable import KeySpace

@Suite struct BackendTests {
    /// The whole file of the present state.
    static func database(_ store: MVCCStore, storageVersion: String? = "3.7.0") throws -> [UInt8] {
        let content = try #require(store.backendContent(storageVersion: storageVersion))
        let measuring = BoltWriter(measuring: 4096)
        while content.measure(into: measuring) {}
        let layout = try measuring.finish()
        content.rewind()
        let sink = ByteSink()
        let writer = BoltWriter(layout, transaction: 2, output: sink)
        while try content.step(into: writer) {}
        try writer.finish()
        #expect(UInt64(sink.count) == layout.size)
        return sink.array()
    }

    private func put(_ store: MVCCStore, _ bucket: MetaBucket, _ key: [UInt8], _ value: [UInt8]) {
        store.beginEntry(raftIndex: store.appliedIndex + 1, term: 3)
        store.metaPut(bucket, key: key, value: value)
        store.endEntry()
    }

    @Test(arguments: 1...6 * soakFactor)
    func thereAndBack(seed: Int) throws {
        let harness = StoreHarness(seed: UInt64(seed) + 900)
        for round in 0..<80 {
            harness.randomEntry()
            harness.publish()
            if round % 7 == 0 { harness.purgeSome(slices: 2) }
        }
        let member = MemberDescription(id: MemberID(0xabc), name: "m", peerURLs: ["http://127.0.0.1:2380"])
        put(harness.store, .members, ClusterKeys.key(member.id), member.json())
        put(harness.store, .lease, LeaseStore.key(7), [8, 7, 16, 60])
        put(harness.store, .cluster, ClusterKeys.clusterVersion, Array("3.7.0".utf8))
        try harness.store.publish()

        let first = try Self.database(harness.store)
        let fileSystem = SimulatedFileSystem(seed: UInt64(seed))
        try fileSystem.install("/db", first)
        let reader = try BackendReader("/db", in: fileSystem)
        #expect(reader.file.check() == [])
        #expect(reader.consistentIndex == harness.store.appliedPosition.index)
        #expect(reader.term == 3)
        #expect(reader.storageVersion == "3.7.0")
        #expect(reader.configuration == ConfigurationState(voters: [member.id]))
        #expect(reader.compactions.finished == harness.store.compactRevision)
        #expect(try reader.strangeBuckets() == [])

        var buckets: [MetaBucket: [[UInt8]: [UInt8]]] = [:]
        for bucket in MetaBucket.allCases where bucket != .meta { buckets[bucket] = try reader.entries(bucket) }
        let result = try MVCCStore.create(
            from: reader, fileSystem: fileSystem, directory: "/copy", index: reader.consistentIndex, term: reader.term ?? 0,
            buckets: buckets)
        #expect(result.revision == harness.store.currentRevision)
        let copy = try MVCCStore.open(fileSystem: fileSystem, directory: "/copy")
        #expect(copy.currentRevision == harness.store.currentRevision)
        #expect(copy.compactRevision == harness.store.compactRevision)
        #expect(copy.table.invariantViolation() == nil)
        #expect(try Self.database(copy) == first, "seed \(seed)")

        // The Hash call sees the same content.
        let hash = BackendHash()
        let content = try #require(copy.backendContent(storageVersion: nil))
        while try content.step(into: hash) {}
        let expected = BackendHash()
        for name in try reader.file.root.bucketNames() {
            expected.beginBucket(String(decoding: name, as: UTF8.self))
            try reader.file.root.bucket(String(decoding: name, as: UTF8.self))!.forEach { key, value, _ in expected.add(key, value) }
            expected.endBucket()
        }
        #expect(hash.value == expected.value)
        copy.close()
    }

    /// A purge that goes on, and entries that are applied meanwhile, do not change a pass that has begun.
    @Test func aPassIsPinned() throws {
        let harness = StoreHarness(seed: 77)
        for _ in 0..<120 { harness.randomEntry() }
        harness.publish()
        let content = try #require(harness.store.backendContent(storageVersion: nil))
        let revision = content.revision
        let measuring = BoltWriter(measuring: 4096)
        while content.measure(into: measuring) {}
        let layout = try measuring.finish()
        content.rewind()
        let writer = BoltWriter(layout, transaction: 2, output: ByteSink())
        var hasMore = true
        while hasMore {
            hasMore = try content.step(into: writer)
            harness.randomEntry()
            harness.publish()
            harness.purgeSome(slices: 3)
        }
        #expect(try writer.finish() == layout)
        #expect(content.revision == revision && harness.store.currentRevision > revision)
    }

    @Test func foreignContentIsRefused() throws {
        func refusal(_ key: [UInt8], _ value: [UInt8]) throws -> BackendError? {
            func give(_ writer: BoltWriter) {
                writer.beginBucket("key")
                key.withUnsafeBytes { key in value.withUnsafeBytes { writer.add(key, $0) } }
                writer.endBucket()
            }
            let measuring = BoltWriter(measuring: 4096)
            give(measuring)
            let sink = ByteSink()
            let writer = BoltWriter(try measuring.finish(), transaction: 2, output: sink)
            give(writer)
            try writer.finish()
            let fileSystem = SimulatedFileSystem()
            try fileSystem.install("/db", sink.array())
            let reader = try BackendReader("/db", in: fileSystem)
            do throws(BackendError) {
                _ = try MVCCStore.create(from: reader, fileSystem: fileSystem, directory: "/s", index: 1, term: 1, buckets: [:])
                return nil
            } catch {
                return error
            }
        }
        let record: [UInt8] = [0x0A, 1, 97, 0x10, 2, 0x18, 2, 0x20, 1]
        #expect(try refusal(BackendKeys.revision(2), record) == nil)
        for (key, value) in [
            ([1, 2, 3], record), (BackendKeys.revision(0), record), (BackendKeys.revision(1), record),
            (BackendKeys.revision(-5), record), (BackendKeys.revision(2, sub: 1 << 40), record),
            (BackendKeys.revision(2) + [0x75], record), (BackendKeys.revision(2), [0x0A, 200, 1]),
            (BackendKeys.revision(2), [0x0A, 1, 97]),
        ] as [([UInt8], [UInt8])] {
            guard case .malformed? = try refusal(key, value) else {
                Issue.record("\(key) \(value) was taken")
                continue
            }
        }
    }
}
