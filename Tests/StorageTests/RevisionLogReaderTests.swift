// Reading a log beside the store that writes to it.

import Storage
import StorageSimulation
import Testing
import Wire

@Suite struct RevisionLogReaderTests {
    /// Everything the store knows is there, in order, once; what is there beside is below the last compaction.
    private func check(_ system: SimulatedFileSystem, _ store: MiniStore, _ seed: UInt64) throws {
        let before = system.operationCount
        let reader = try RevisionLogReader("/store", in: system)
        #expect(reader.compactedRevision == store.compacted, "seed \(seed)")
        var last: Int64 = 0
        var found: Set<Int64> = []
        let sink = ByteSink()
        try reader.forEach { record in
            #expect(record.main > last, "seed \(seed)")
            last = record.main
            found.insert(record.main)
            if let key = store.model.versions[record.main] {
                let payload = MiniModel.payload(record.main, key: key, size: store.model.sizes[record.main]!)
                #expect(record.payload.elementsEqual(payload), "seed \(seed), revision \(record.main)")
                sink.clear()
                try reader.append(record.location, to: sink)
                #expect(sink.array() == payload)
            } else {
                #expect(record.main <= store.compacted, "seed \(seed), revision \(record.main)")
            }
            return true
        }
        #expect(Set(store.model.versions.keys).subtracting(found).isEmpty, "seed \(seed)")
        let touched = system.log[before...].filter { ![.open, .read, .list, .stat].contains($0.operation) }
        #expect(touched.isEmpty, "\(touched)")
    }

    @Test(arguments: 1...8 as ClosedRange<UInt64>)
    func besideAStore(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let system = SimulatedFileSystem(seed: seed)
        var store = try MiniStore(system)
        var index: UInt64 = 0
        for _ in 0..<40 {
            for _ in 0..<Int.random(in: 0...30, using: &random) {
                index += 1
                let entry: MiniEntry =
                    switch Int.random(in: 0..<20, using: &random) {
                    case 0: .compact(Int64.random(in: max(store.compacted, 0)...Int64(index), using: &random))
                    case 1: .noop
                    default: .put(key: UInt8.random(in: 0...6, using: &random), size: Int.random(in: 0...200, using: &random))
                    }
                store.apply(entry, index: index)
            }
            try store.log.flush()
            switch Int.random(in: 0..<6, using: &random) {
            case 0: try store.collectAll(.thorough)
            case 1: try store.checkpoint()
            case 2: try store.log.sync()
            case 3:
                store.log.close()
                store = try MiniStore(system)
            default: break
            }
            try check(system, store, seed)
        }
    }

    @Test func theEndOfTheTailMayBeTorn() throws {
        let system = SimulatedFileSystem(seed: 1)
        let store = try MiniStore(system, segmentBytes: 1 << 20)
        for index in 1...50 as ClosedRange<UInt64> { store.apply(.put(key: 1, size: 100), index: index) }
        try store.log.flush()
        try store.log.sync()
        for index in 51...60 as ClosedRange<UInt64> { store.apply(.put(key: 2, size: 100), index: index) }
        try store.log.flush()
        let path = try #require(try system.list("/store").first { $0.hasSuffix(".seg") }.map { "/store/" + $0 })
        let whole = try system.bytes(of: path)
        func revisions(isLenient: Bool = false) throws -> [Int64] {
            var found: [Int64] = []
            try RevisionLogReader("/store", in: system, isLenient: isLenient).forEach { record in
                found.append(record.main)
                return true
            }
            return found
        }
        // Behind what was synced: torn by a power loss, or still being written.
        try system.corrupt(path, at: whole.count - 150, xor: 1)
        #expect(try revisions() == Array(1...58))
        // Before that it is damage.
        try system.corrupt(path, at: 2000, xor: 1)
        #expect(throws: StorageError.self) { try revisions() }
        let lenient = try revisions(isLenient: true)
        #expect(lenient.count < 20 && lenient == Array(1...Int64(lenient.count)))
    }

    @Test func aSegmentMayBeCutShorterThanItsHeader() throws {
        let system = SimulatedFileSystem(seed: 1)
        let store = try MiniStore(system, segmentBytes: 1 << 20)
        for index in 1...20 as ClosedRange<UInt64> { store.apply(.put(key: 1, size: 100), index: index) }
        try store.log.flush()
        try store.log.sync()
        try store.checkpoint()
        store.log.close()
        let path = try #require(try system.list("/store").first { $0.hasSuffix(".seg") }.map { "/store/" + $0 })
        let file = try system.open(path, .readWrite)
        for length in (0...128 as ClosedRange<UInt64>).reversed() {
            try file.truncate(to: length)
            #expect(throws: StorageError.self, "\(length) bytes") { try RevisionLogReader("/store", in: system) }
            let reader = try RevisionLogReader("/store", in: system, isLenient: true)
            #expect(!reader.problems.isEmpty)
            var found = 0
            try reader.forEach { _ in
                found += 1
                return true
            }
            #expect(found <= 1, "\(length) bytes")
        }
    }

    @Test func noLog() {
        let system = SimulatedFileSystem(seed: 1)
        #expect(throws: StorageError.self) { try RevisionLogReader("/store", in: system) }
    }
}
