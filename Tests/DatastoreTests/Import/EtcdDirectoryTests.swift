// Importing etcd's data directory while the power fails at every step.

import KeySpace
import Storage
import StorageSimulation
import Testing
import Wire

@testable import Datastore

@Suite struct EtcdDirectoryTests {
    private let member = MemberDescription(id: MemberID(0x1234), name: "m", peerURLs: ["http://127.0.0.1:2380"])

    private func directory(_ fileSystem: SimulatedFileSystem) -> EtcdDirectory {
        EtcdDirectory(fileSystem: fileSystem, memberDirectory: "/d/member", walDirectory: "/d/member/wal")
    }

    /// A database with some keys, as of entry `index`.
    private func database(_ index: UInt64, keys: Int = 300) throws -> [UInt8] {
        func give(_ writer: BoltWriter) {
            func add(_ key: [UInt8], _ value: [UInt8]) { key.withUnsafeBytes { key in value.withUnsafeBytes { writer.add(key, $0) } } }
            func number(_ value: UInt64) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }
            writer.beginBucket("cluster")
            add(Array("clusterVersion".utf8), Array("3.5.0".utf8))
            writer.endBucket()
            writer.beginBucket("key")
            for key in 0..<keys {
                let sink = ByteSink()
                sink.field(1, "key\(key)")
                sink.field(2, Int64(key + 2))
                sink.field(3, Int64(key + 2))
                sink.field(4, Int64(1))
                sink.field(5, String(repeating: "v", count: key))
                add(BackendKeys.revision(Int64(key + 2)), sink.array())
            }
            writer.endBucket()
            writer.beginBucket("members")
            add(ClusterKeys.key(member.id), member.json())
            writer.endBucket()
            writer.beginBucket("meta")
            add(BackendKeys.consistentIndex, number(index))
            writer.endBucket()
        }
        let measuring = BoltWriter(measuring: 4096)
        give(measuring)
        let sink = ByteSink()
        let writer = BoltWriter(try measuring.finish(), transaction: 2, output: sink)
        give(writer)
        try writer.finish()
        return sink.array()
    }

    private func etcd(_ index: UInt64 = 4) throws -> SimulatedFileSystem {
        let fileSystem = SimulatedFileSystem(seed: 5)
        try fileSystem.createDirectoryDurably("/d/member/snap")
        try fileSystem.install("/d/member/snap/db", try database(index))
        var options = WALOptions()
        options.segmentBytes = 1 << 20
        options.preparesInBackground = false
        let wal = try WriteAheadLog.create(
            fileSystem: fileSystem, directory: "/d/member/wal", metadata: WALMetadata(memberID: member.id, clusterID: ClusterID(9)),
            options: options)
        let bootstrap = DataDirectory.bootstrap([member])
        var entries = bootstrap.entries
        for index in 2...6 as ClosedRange<UInt64> { entries.append(Entry(term: 2, index: index)) }
        try wal.append(hardState: HardState(term: 2, vote: member.id, commit: 6), entries: entries)
        try wal.close()
        return fileSystem
    }

    private func check(_ fileSystem: SimulatedFileSystem) throws {
        let store = try MVCCStore.open(fileSystem: fileSystem, directory: "/d/member/store")
        defer { store.close() }
        #expect(store.currentRevision == 301)
        #expect(store.appliedPosition == (4, 2))
        #expect(store.metaEntries(.members) == [ClusterKeys.key(member.id): member.json()])
        #expect(store.statistics.liveKeys == 300)
    }

    @Test func imports() throws {
        let fileSystem = try etcd()
        let directory = directory(fileSystem)
        #expect(directory.needsImport)
        let plan = try directory.plan()
        #expect(plan.index == 4 && plan.term == 2 && plan.members == [member])
        let result = try directory.carryOut(plan, logOptions: RevisionLogOptions()) { _ in }
        #expect(result.records == 300 && result.revision == 301 && result.compactRevision == -1)
        #expect(!directory.needsImport)
        try check(fileSystem)
    }

    @Test func powerFailsAtEveryStep() throws {
        let sample = try etcd()
        let before = try sample.bytes(of: "/d/member/snap/db")
        let start = sample.operationCount
        _ = try directory(sample).carryOut(try directory(sample).plan(), logOptions: RevisionLogOptions()) { _ in }
        let steps = sample.operationCount - start
        #expect(steps > 20)
        var imported = 0
        for step in 0...steps {
            let running = try etcd()
            running.cutPower(before: running.operationCount + step)
            do {
                _ = try directory(running).carryOut(try directory(running).plan(), logOptions: RevisionLogOptions()) { _ in }
            } catch {}
            let next = running.afterPowerLoss(seed: UInt64(step))
            #expect(try next.bytes(of: "/d/member/snap/db") == before)
            let again = directory(next)
            if again.needsImport { _ = try again.carryOut(try again.plan(), logOptions: RevisionLogOptions()) { _ in } } else { imported += 1 }
            try check(next)
            #expect(!next.exists(again.workplace), "step \(step)")
        }
        // The last steps are behind the rename.
        #expect(imported >= 1)
    }

    @Test func aFullDiskLeavesNothing() throws {
        let fileSystem = try etcd()
        let directory = directory(fileSystem)
        let plan = try directory.plan()
        fileSystem.capacity = fileSystem.usedBytes + 10_000
        #expect(throws: (any Error).self) { try directory.carryOut(plan, logOptions: RevisionLogOptions()) { _ in } }
        #expect(!fileSystem.exists(directory.workplace) && directory.needsImport)
        fileSystem.capacity = .max
        _ = try directory.carryOut(plan, logOptions: RevisionLogOptions()) { _ in }
        try check(fileSystem)
    }

    @Test func whatDoesNotFitIsRefused() throws {
        func refusal(_ change: (SimulatedFileSystem) throws -> Void) throws -> String {
            let fileSystem = try etcd()
            try change(fileSystem)
            do {
                _ = try directory(fileSystem).plan()
                return ""
            } catch {
                return "\(error)"
            }
        }
        #expect(try refusal { for name in try $0.list("/d/member/wal") { try $0.remove("/d/member/wal/" + name) } }.contains("no write-ahead log"))
        #expect(try refusal { try $0.install("/d/member/snap/db", Array(repeating: 0, count: 20_000)) }.contains("no valid meta page"))
        #expect(try refusal { try $0.install("/d/member/snap/db", Array(try $0.bytes(of: "/d/member/snap/db").dropLast(5000))) }.contains("truncated"))
    }
}
