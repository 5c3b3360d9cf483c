// Garbage collection comes upon a damaged segment: it says so, copies nothing of it, and goes on with the others.

import Dispatch
import Storage
import StorageSimulation
import Synchronization
import Testing
import Wire

@testable import KeySpace

@Suite struct CollectionDamageTests {
    private static let keys = 300

    private func name(_ key: Int) -> [UInt8] { Array("key/\(1000 + key)".utf8) }
    private func value(_ key: Int, _ round: Int) -> [UInt8] { Array("value \(key) of round \(round) ".utf8) + Array(repeating: 0x2e, count: 100) }

    private func put(_ store: MVCCStore, _ key: Int, _ round: Int, _ index: inout UInt64) throws {
        index += 1
        store.beginEntry(raftIndex: index, term: 1)
        name(key).withUnsafeBytes { name in value(key, round).withUnsafeBytes { _ = store.put(key: name, value: $0, lease: 0) } }
        store.endEntry()
        try store.publish()
    }

    /// The value of a key as the store reads it; nil for a damaged record.
    private func read(_ store: MVCCStore, _ key: Int) -> [UInt8]? {
        name(key).withUnsafeBytes { name in
            var query = RangeQuery()
            query.key = name
            guard let answer = try? store.range(query) else { return nil }
            let sink = ByteSink()
            guard (try? answer.write(to: sink)) != nil, let message = try? MessageView(decoding: sink.bytes),
                let record = message.messages(2).first.flatMap({ try? StoredKeyValue(decoding: $0) })
            else { return nil }
            return withExtendedLifetime(sink) { [UInt8](record.value) }
        }
    }

    private func defragment(_ maintenance: StoreMaintenance) -> StorageError? {
        let outcome = Mutex<StorageError?>(nil)
        let done = DispatchSemaphore(value: 0)
        maintenance.defragment { error in
            outcome.withLock { $0 = error }
            done.signal()
        }
        done.wait()
        return outcome.withLock { $0 }
    }

    @Test func theRestIsCollected() throws {
        let disk = SimulatedFileSystem(seed: 3)
        var options = RevisionLogOptions()
        options.segmentBytes = 8_000
        options.preallocates = false
        let store = try MVCCStore.open(fileSystem: disk, directory: "/store", logOptions: options)
        var index: UInt64 = 0
        for key in 0..<Self.keys { try put(store, key, 0, &index) }
        // Of the first segments every second record is garbage now.
        for key in stride(from: 0, to: Self.keys, by: 2) { try put(store, key, 1, &index) }
        index += 1
        store.beginEntry(raftIndex: index, term: 1)
        try store.compact(to: store.currentRevision)
        store.endEntry()
        try store.publish()

        // A record that is alive, in a segment that is worth collecting.
        let victim = 51
        let path = try #require(
            try disk.list("/store").map { "/store/" + $0 }.first { try find(value(victim, 0), in: disk.bytes(of: $0)) != nil })
        let offset = try #require(find(value(victim, 0), in: try disk.bytes(of: path)))
        try disk.corrupt(path, at: offset + 30, xor: 0x10)

        let damaged = Mutex<[String]>([])
        let others = Mutex<[String]>([])
        let maintenance = StoreMaintenance(store: store) { report in
            switch report {
            case .damaged(let error): damaged.withLock { $0.append(error.path) }
            case .failed(let error), .willRetry(let error): others.withLock { $0.append("\(error)") }
            default: break
            }
        }
        maintenance.start()
        // The first round may end with the damage, the next one leaves the segment out.
        for _ in 0..<3 { #expect(defragment(maintenance) == nil) }
        #expect(Set(damaged.withLock { $0 }) == [path])
        #expect(others.withLock { $0 } == [])
        #expect(disk.exists(path))
        let victims = store.log.victims(.thorough)
        #expect(victims.count <= 1, "only the damaged segment is left with garbage: \(victims)")
        // Whatever is not in the damaged segment reads as it was, and of that one at most a record is lost.
        var lost: [Int] = []
        for key in 0..<Self.keys where read(store, key) != value(key, key % 2 == 0 ? 1 : 0) { lost.append(key) }
        #expect(lost == [victim])
        // Writes go on.
        try put(store, 7, 2, &index)
        #expect(read(store, 7) == value(7, 2))
        maintenance.stop()
        store.close()

        let reopened = try MVCCStore.open(fileSystem: disk, directory: "/store", logOptions: options)
        defer { reopened.close() }
        for key in 0..<Self.keys where key != victim && key != 7 {
            #expect(read(reopened, key) == value(key, key % 2 == 0 ? 1 : 0), "key \(key)")
        }
        #expect(throws: StorageError.self) { try reopened.verifyLog() }
    }

    private func find(_ wanted: [UInt8], in bytes: [UInt8]) -> Int? {
        guard bytes.count >= wanted.count else { return nil }
        return (0...(bytes.count - wanted.count)).first { bytes[$0] == wanted[0] && bytes[$0..<($0 + wanted.count)].elementsEqual(wanted) }
    }
}
