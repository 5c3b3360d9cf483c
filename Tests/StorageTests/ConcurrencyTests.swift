// Readers, the writer and garbage collection at the same time, on the real disk.

import Glibc
import Storage
import StorageSimulation
import Synchronization
import Testing
import Wire

@Suite struct ConcurrencyTests {
    /// An index that threads share: where the version of each revision lies.
    private final class SharedIndex: Sendable {
        let locations = Mutex<[Int64: RecordLocation]>([:])
        let isStopping = Atomic<Bool>(false)
        let reads = Atomic<Int>(0)
        let wrong = Atomic<Int>(0)
    }

    @Test func readersNeverMeetARemovedFile() async throws {
        let directory = TemporaryDirectory()
        var options = RevisionLogOptions()
        options.segmentBytes = 16 << 10
        let log = try RevisionLog.open(
            fileSystem: PosixFileSystem(), directory: directory.path + "/store", options: options, loadCheckpoint: { _ in },
            frame: { _, _ in })
        let index = SharedIndex()
        let path = directory.path
        try await withThrowingTaskGroup(of: Void.self) { group in
            for reader in 0..<3 as Range<UInt64> {
                group.addTask {
                    var random = SplitMix64(seed: reader)
                    while !index.isStopping.load(ordering: .relaxed) {
                        let pin = log.pinReads()
                        let found = index.locations.withLock { locations in locations.randomElement(using: &random) }
                        if let (main, location) = found {
                            let bytes = try? log.payload(at: location)
                            if bytes != payload(UInt64(main), size: 100) { index.wrong.wrappingAdd(1, ordering: .relaxed) }
                            index.reads.wrappingAdd(1, ordering: .relaxed)
                        }
                        log.unpinReads(pin)
                        await Task.yield()
                    }
                }
            }
            group.addTask {
                defer { index.isStopping.store(true, ordering: .relaxed) }
                for main in 1...4000 as ClosedRange<Int64> {
                    log.beginFrame(raftIndex: UInt64(main), term: 1)
                    let location = log.append(main: main, payload(UInt64(main), size: 100))
                    log.endFrame()
                    try log.flush()
                    index.locations.withLock { locations in
                        locations[main] = location
                        // Most versions live for a while only.
                        if main > 50, main % 10 != 0, let old = locations.removeValue(forKey: main - 50) { log.release(old) }
                    }
                    if main % 16 == 0 { await Task.yield() }
                }
            }
            group.addTask {
                while !index.isStopping.load(ordering: .relaxed) {
                    for id in log.victims() {
                        guard let collection = log.beginCollection(of: id) else { continue }
                        while try log.step(
                            collection, maxBytes: 4096,
                            select: { batch in
                                index.locations.withLock { locations in
                                    for item in batch.indices { batch[item].isLive = locations[batch[item].main] == batch[item].from }
                                }
                            },
                            relocate: { moved in
                                index.locations.withLock { locations in
                                    for item in moved.indices {
                                        if locations[moved[item].main] == moved[item].from {
                                            locations[moved[item].main] = moved[item].to
                                        } else {
                                            moved[item].isTaken = false
                                        }
                                    }
                                }
                            })
                        {}
                    }
                    let writer = try log.beginCheckpoint(at: log.flushedPosition)
                    try writer.write([1])
                    try log.finishCheckpoint(writer, compactedRevision: 0)
                    await Task.yield()
                }
            }
            try await group.waitForAll()
        }
        #expect(index.wrong.load(ordering: .relaxed) == 0)
        #expect(index.reads.load(ordering: .relaxed) > 0)
        try log.sync()
        try log.sync()
        let live = index.locations.withLock { locations in locations.values.reduce(0) { $0 + 17 + Int($1.length) } }
        #expect(log.sizeInUse == 20480 + live)
        #expect(log.retiredSegments == 0)
        #expect(log.segmentStatistics.count < 60, "\(log.segmentStatistics.count) segments of \(path)")
        log.close()
    }
}
