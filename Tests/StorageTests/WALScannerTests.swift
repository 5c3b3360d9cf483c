// Reading a log record by record: what was written comes back, damage is told where it is, and nothing is changed.

import StorageSimulation
import Testing
import Wire

@testable import Storage

@Suite struct WALScannerTests {
    private func log(_ fileSystem: SimulatedFileSystem, entries: UInt64) throws {
        var options = WALOptions()
        options.segmentBytes = 4096
        options.preparesInBackground = false
        options.maximumFiles = 100
        let log = try WriteAheadLog.create(
            fileSystem: fileSystem, directory: "/wal", metadata: WALMetadata(memberID: MemberID(1), clusterID: ClusterID(2)), options: options)
        for index in 1...entries {
            try log.append(hardState: HardState(term: 1, commit: index), entries: [Entry(term: 1, index: index, data: Array(repeating: 7, count: 200))])
            try log.sync()
        }
        try log.close()
    }

    @Test func everythingComesBack() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        try log(fileSystem, entries: 100)
        let scanner = try WALScanner("/wal", in: ReadOnlyFileSystem(fileSystem))
        #expect(scanner.files.count > 3)
        var indexes: [LogIndex] = []
        var commits: [LogIndex] = []
        let ending = try scanner.forEach { record, _ in
            if case .entry(let entry) = record { indexes.append(entry.index) }
            if case .state(let state) = record { commits.append(state.commit) }
            return true
        }
        #expect(ending == .clean && indexes == Array(1...100) && commits.last == 100)
        var later = scanner
        try later.begin(behind: 90, "/wal")
        #expect(later.files.count < scanner.files.count && later.files[0].index <= 90)
    }

    @Test func damageIsTold() throws {
        let fileSystem = SimulatedFileSystem(seed: 2)
        try log(fileSystem, entries: 60)
        let first = try WALScanner("/wal", in: fileSystem).files[0].path
        let file = try fileSystem.open(first, .readWrite)
        try [UInt8(0xee)].withUnsafeBytes { try file.write($0, at: 1000) }
        let scanner = try WALScanner("/wal", in: fileSystem)
        var count = 0
        let ending = try scanner.forEach { _, _ in
            count += 1
            return true
        }
        guard case .damaged(let path, let offset, _) = ending else {
            Issue.record("\(ending)")
            return
        }
        #expect(path == first && offset <= 1000 && offset > 500)
        // Tolerated, everything else comes too, up to the file's end marked as not fitting.
        var all = 0
        var marked = 0
        _ = try scanner.forEach(toleratesMismatch: true) { _, place in
            all += 1
            if place.mismatch != nil { marked += 1 }
            return true
        }
        #expect(all > count + 50 && marked > 0)
    }

    @Test func readingOnly() throws {
        let fileSystem = SimulatedFileSystem(seed: 3)
        try fileSystem.install("/f", [1, 2, 3, 4, 5])
        let system = ReadOnlyFileSystem(fileSystem)
        let file = try system.open("/f", .readWrite)
        try file.truncate(to: 2)
        #expect(try file.size() == 2)
        var bytes = [UInt8](repeating: 0, count: 5)
        #expect(try bytes.withUnsafeMutableBytes { try file.read(into: $0, at: 1) } == 1 && bytes[0] == 2)
        #expect(throws: StorageError.self) { try bytes.withUnsafeBytes { try file.write($0, at: 0) } }
        #expect(throws: StorageError.self) { try system.open("/new", .create) }
        try system.remove("/f")
        #expect(try fileSystem.contents(of: "/f", limit: 10) == [1, 2, 3, 4, 5])
    }

    @Test func snapshotFilesComeBack() throws {
        let fileSystem = SimulatedFileSystem(seed: 4)
        let snapshot = Snapshot(metadata: SnapshotMetadata(index: 9, term: 2, configuration: ConfigurationState(voters: [MemberID(5)])), data: [1, 2])
        let name = SnapFile.name(term: 2, index: 9)
        #expect(name == "0000000000000002-0000000000000009.snap")
        try fileSystem.install("/\(name)", SnapFile.encode(snapshot))
        #expect(try SnapFile.read("/\(name)", in: fileSystem) == snapshot)
    }
}
