// The write-ahead log when nothing goes wrong, and its bytes.

import Storage
import StorageSimulation
import Testing
import Wire

let walMetadata = WALMetadata(memberID: MemberID(0x3744_F86E_18BE_6EFF), clusterID: ClusterID(0x49E3_5C4D_2A1B_0F77))

func walOptions(segmentBytes: UInt64 = 8192) -> WALOptions {
    var options = WALOptions()
    options.segmentBytes = segmentBytes
    options.preparesInBackground = false
    return options
}

func walEntry(_ index: UInt64, term: UInt64 = 1, size: Int = 100) -> Entry {
    Entry(term: term, index: index, data: payload(index &* 31 &+ term, size: size))
}

@Suite struct WriteAheadLogTests {
    @Test func entriesStateAndSnapshotsAreReadBackAcrossFiles() throws {
        let directory = TemporaryDirectory()
        for system in [SimulatedFileSystem(), PosixFileSystem()] as [any FileSystem] {
            let path = (system is PosixFileSystem ? directory.path : "") + "/m/wal"
            var log = try WriteAheadLog.create(fileSystem: system, directory: path, metadata: walMetadata, options: walOptions())
            var next: UInt64 = 1
            for round in 0..<100 {
                let entries = (0..<UInt64(round % 5)).map { walEntry(next + $0) }
                next += UInt64(entries.count)
                try log.append(hardState: HardState(term: 1, vote: MemberID(7), commit: next - 1), entries: entries)
                if round % 3 == 0 { try log.sync() }
            }
            #expect(log.fileCount > 1)
            try log.saveSnapshot(SnapshotMetadata(index: 50, term: 1, configuration: ConfigurationState(voters: [MemberID(7)])))
            try log.close()

            let (reopened, contents) = try WriteAheadLog.open(fileSystem: system, directory: path, options: walOptions())
            log = reopened
            #expect(contents.metadata == walMetadata)
            #expect(contents.hardState == HardState(term: 1, vote: MemberID(7), commit: next - 1))
            #expect(contents.snapshot == WALSnapshot(index: 50, term: 1, configuration: ConfigurationState(voters: [MemberID(7)])))
            #expect(contents.entries == (51..<next).map { walEntry($0) })
            #expect(contents.snapshots.map { $0.index } == [0, 50])
            try log.append(hardState: nil, entries: [walEntry(next)])
            try log.close()
            let again = try WriteAheadLog.open(fileSystem: system, directory: path, options: walOptions()).contents
            #expect(again.entries.last == walEntry(next))
        }
    }

    @Test func aDirectoryThatIsInUseOrCannotBeRemovedIsUsedAsItIs() throws {
        let system = SimulatedFileSystem()
        try system.createDirectoryDurably("/disk/wal")
        try system.install("/disk/wal/lost+found", [])
        var log = try WriteAheadLog.create(fileSystem: system, directory: "/disk/wal", metadata: walMetadata, options: walOptions())
        try log.append(hardState: HardState(term: 1), entries: [walEntry(1)])
        try log.sync()
        let after = system.afterPowerLoss(seed: 1)
        #expect(try after.list("/disk/wal") == ["0000000000000000-0000000000000000.wal", "lost+found"])
        let contents: WALContents
        (log, contents) = try WriteAheadLog.open(fileSystem: after, directory: "/disk/wal", options: walOptions())
        #expect(contents.entries == [walEntry(1)] && contents.ignored == ["lost+found"])
        try log.close()
        #expect(throws: StorageError.self) {
            try WriteAheadLog.create(fileSystem: after, directory: "/disk/wal", metadata: walMetadata, options: walOptions())
        }
        // An empty one is replaced.
        let fresh = SimulatedFileSystem()
        try fresh.createDirectory("/disk/wal")
        try WriteAheadLog.create(fileSystem: fresh, directory: "/disk/wal", metadata: walMetadata, options: walOptions()).close()
        #expect(WriteAheadLog.exists(fresh, "/disk/wal") && !fresh.exists("/disk/wal.tmp"))
    }

    @Test func aSecondProcessIsKeptOutOfTheFiles() throws {
        let directory = TemporaryDirectory()
        let path = directory.path + "/wal"
        let log = try WriteAheadLog.create(fileSystem: PosixFileSystem(), directory: path, metadata: walMetadata, options: walOptions())
        let error = #expect(throws: StorageError.self) { try WriteAheadLog.open(fileSystem: PosixFileSystem(), directory: path, options: walOptions()) }
        #expect(error?.reason == .locked)
        try log.close()
        try WriteAheadLog.open(fileSystem: PosixFileSystem(), directory: path, options: walOptions()).log.close()
    }

    @Test func laterEntriesReplaceEarlierOnes() throws {
        let system = SimulatedFileSystem()
        let log = try WriteAheadLog.create(fileSystem: system, directory: "/wal", metadata: walMetadata, options: walOptions())
        try log.append(hardState: nil, entries: (1...10).map { walEntry($0) })
        try log.append(hardState: HardState(term: 2), entries: [walEntry(5, term: 2), walEntry(6, term: 2)])
        try log.close()
        let contents = try WriteAheadLog.open(fileSystem: system, directory: "/wal", options: walOptions()).contents
        #expect(contents.entries == (1...4).map { walEntry($0) } + [walEntry(5, term: 2), walEntry(6, term: 2)])
    }

    @Test func releasedFilesGoOnceThereAreTooMany() throws {
        let system = SimulatedFileSystem()
        let log = try WriteAheadLog.create(fileSystem: system, directory: "/wal", metadata: walMetadata, options: walOptions())
        for index in 1...1000 as ClosedRange<UInt64> {
            try log.append(hardState: HardState(term: 1, vote: MemberID(1), commit: index), entries: [walEntry(index)])
        }
        let all = log.fileCount
        try log.saveSnapshot(SnapshotMetadata(index: 600, term: 1))
        try log.release(through: 600)
        #expect(log.fileCount < all)
        try log.close()
        let contents = try WriteAheadLog.open(fileSystem: system, directory: "/wal", options: walOptions()).contents
        #expect(contents.entries.first?.index == 601 && contents.entries.count == 400)
        #expect(throws: StorageError.self) {
            try WriteAheadLog.open(fileSystem: system.afterKill(), directory: "/wal", options: walOptions(), at: WALSnapshot(index: 3, term: 1))
        }
    }

    @Test func filesAreRecycledInTheBackground() throws {
        let directory = TemporaryDirectory()
        var options = WALOptions()
        options.segmentBytes = 3 << 20
        options.maximumFiles = 2
        var log = try WriteAheadLog.create(
            fileSystem: PosixFileSystem(), directory: directory.path + "/wal", metadata: walMetadata, options: options)
        for index in 1...120 as ClosedRange<UInt64> {
            try log.append(hardState: HardState(term: 1, vote: MemberID(1), commit: index), entries: [walEntry(index, size: 100_000)])
            try log.sync()
            if index % 20 == 0 {
                try log.saveSnapshot(SnapshotMetadata(index: index, term: 1))
                try log.release(through: index)
                #expect(log.fileCount <= 3)
            }
        }
        try log.close()
        let (reopened, contents) = try WriteAheadLog.open(
            fileSystem: PosixFileSystem(), directory: directory.path + "/wal", options: options)
        log = reopened
        #expect(contents.snapshot.index == 120 && contents.entries.isEmpty && contents.repaired.isEmpty)
        try log.append(hardState: nil, entries: [walEntry(121)])
        try log.close()
    }
}
