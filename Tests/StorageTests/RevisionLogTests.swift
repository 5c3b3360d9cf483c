// The revision log when nothing goes wrong.

import Storage
import StorageSimulation
import Testing
import Wire

@Suite struct RevisionLogTests {
    private func open(
        _ system: any FileSystem, _ directory: String = "/store", segmentBytes: UInt64 = 4096,
        checkpoint: (CheckpointReader) throws -> Void = { _ in }, frame: (FrameHeader, RecordIterator) throws -> Void = { _, _ in }
    ) throws -> RevisionLog {
        var options = RevisionLogOptions()
        options.segmentBytes = segmentBytes
        return try RevisionLog.open(
            fileSystem: system, directory: directory, options: options, loadCheckpoint: checkpoint, frame: frame)
    }

    @Test func recordsAreReadBackBeforeAndAfterFlushAndReopen() throws {
        let directory = TemporaryDirectory()
        for system in [SimulatedFileSystem(), PosixFileSystem()] as [any FileSystem] {
            let path = system is PosixFileSystem ? directory.path + "/a/store" : "/a/store"
            var log = try open(system, path)
            var locations: [RecordLocation] = []
            for index in 1...200 as ClosedRange<UInt64> {
                locations.append(log.put(index, payload(index, size: 64)))
                #expect(try log.payload(at: locations.last!) == payload(index, size: 64))
                if index % 7 == 0 { try log.flush() }
            }
            try log.flush()
            #expect(!log.hasPending)
            for (number, location) in locations.enumerated() {
                #expect(try log.payload(at: location) == payload(UInt64(number) + 1, size: 64))
            }
            #expect(log.segmentStatistics.count > 3)
            #expect(try log.sync() == 200)
            #expect(log.durableIndex == 200)
            log.close()

            var seen: [UInt64] = []
            log = try open(system, path, frame: { header, records in
                seen.append(header.raftIndex)
                for record in records {
                    #expect(record.location == locations[Int(header.raftIndex) - 1])
                    #expect(Array(record.payload) == payload(header.raftIndex, size: 64))
                }
            })
            #expect(seen == Array(1...200))
            #expect(log.appliedIndex == 200 && log.durableIndex == 200)
            log.put(201, [1])
            try log.flush()
            log.close()
        }
    }

    @Test func anEmptyEntryMovesTheAppliedIndexOnly() throws {
        let system = SimulatedFileSystem()
        var log = try open(system)
        log.beginFrame(raftIndex: 1, term: 1)
        log.endFrame()
        #expect(!log.hasPending && log.appliedIndex == 1)
        log.put(2, [1])
        log.beginFrame(raftIndex: 3, term: 4)
        log.endFrame()
        try log.flush()
        #expect(log.appliedIndex == 3)
        try log.sync()
        log.close()
        log = try open(system)
        #expect(log.appliedIndex == 3 && log.flushedPosition.appliedTerm == 4)
    }

    @Test func aCheckpointReplacesTheFramesBeforeIt() throws {
        let system = SimulatedFileSystem()
        var log = try open(system)
        var locations: [RecordLocation] = []
        for index in 1...50 as ClosedRange<UInt64> { locations.append(log.put(index, payload(index, size: 100))) }
        try log.flush()
        let position = log.flushedPosition
        let writer = try log.beginCheckpoint(at: position)
        log.put(51, payload(51, size: 100))
        try log.flush()
        try writer.write(payload(7, size: 5000))
        try writer.write(payload(8, size: 1))
        try log.finishCheckpoint(writer, compactedRevision: 12)
        #expect(log.durableIndex == 51)
        log.close()

        var blocks: [[UInt8]] = []
        var frames: [UInt64] = []
        log = try open(
            system,
            checkpoint: { reader in
                #expect(reader.position == position && reader.compactedRevision == 12)
                while let block = try reader.next() { blocks.append(Array(block)) }
                for location in locations { reader.retain(location) }
            },
            frame: { header, _ in frames.append(header.raftIndex) })
        #expect(blocks == [payload(7, size: 5000), payload(8, size: 1)])
        #expect(frames == [51])
        #expect(log.sizeInUse == 20480 + 51 * 117)
        // A second checkpoint replaces the first.
        try log.checkpoint(at: log.flushedPosition, compactedRevision: 13) { writer in
            try writer.write([1])
        }
        #expect(try system.list("/store").filter { $0.hasPrefix("checkpoint") }.count == 1)
        log.close()
    }

    @Test func framesAfterARotationAndACheckpointAreNotOverlooked() throws {
        let system = SimulatedFileSystem()
        var store = try MiniStore(system, segmentBytes: 1 << 20)
        store.apply(.put(key: 1, size: 10), index: 1)
        try store.log.flush()
        // The checkpoint's position is in a segment that has no file yet.
        store.log.rotate()
        try store.checkpoint()
        for index in 2...4 as ClosedRange<UInt64> {
            store.log.close()
            store = try MiniStore(system, segmentBytes: 1 << 20)
            store.apply(.put(key: 1, size: 10), index: index)
            try store.log.flush()
            try store.log.sync()
            #expect(store.model.versions.count == Int(index))
        }
        let left = try MiniStore(system.afterPowerLoss(seed: 1), segmentBytes: 1 << 20)
        #expect(left.model == store.model && left.log.appliedIndex == 4)
        try left.verify()
    }

    @Test func aSecondProcessIsKeptOut() throws {
        let directory = TemporaryDirectory()
        let log = try open(PosixFileSystem(), directory.path)
        #expect(throws: StorageError(.lock, directory.path, .locked)) { try open(PosixFileSystem(), directory.path) }
        log.close()
        try open(PosixFileSystem(), directory.path).close()
    }

    @Test func sizesFollowWhatIsWrittenAndReleased() throws {
        let log = try open(SimulatedFileSystem(), segmentBytes: 64 << 20)
        #expect(log.size == 20480 && log.sizeInUse == 20480)
        let location = log.put(1, payload(1, size: 64))
        try log.flush()
        #expect(log.size < 53_248 && log.sizeInUse == 20480 + 64 + 17)
        var index: UInt64 = 2
        while log.size < 53_248 {
            log.put(index, payload(index, size: 4096))
            try log.flush()
            index += 1
        }
        #expect(index < 12)
        let before = log.sizeInUse
        log.release(location)
        #expect(log.sizeInUse == before - 81)
    }
}
