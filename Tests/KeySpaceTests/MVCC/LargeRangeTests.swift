// Answers longer than what a cursor remembers: they walk the index a second time, while the store goes on changing.

import Storage
import StorageSimulation
import Testing
import Wire

@testable import KeySpace

@Suite struct LargeRangeTests {
    private let store: MVCCStore
    private let keyCount = 40_000

    init() throws {
        var options = RevisionLogOptions()
        options.segmentBytes = 1 << 20
        options.skipsSync = true
        store = try MVCCStore.open(fileSystem: SimulatedFileSystem(seed: 1), directory: "/store", logOptions: options)
        apply(1) { for number in 0..<keyCount { put(number, [UInt8(number % 251)]) } }
    }

    private func apply(_ index: UInt64, _ body: () -> Void) {
        store.beginEntry(raftIndex: index, term: 1)
        body()
        store.endEntry()
        try! store.publish()
    }

    private func key(_ number: Int) -> [UInt8] { Array("/large/\(1_000_000 + number)".utf8) }

    private func put(_ number: Int, _ value: [UInt8]) {
        key(number).withUnsafeBytes { key in value.withUnsafeBytes { _ = store.put(key: key, value: $0, lease: 5) } }
    }

    private func answer(_ shape: RangeShape) throws(CallError) -> RangeAnswer {
        var result: Result<RangeAnswer, CallError>!
        shape.withQuery { query, _ in result = Result { () throws(CallError) in try store.range(query) } }
        return try result.get()
    }

    /// Reads the whole answer in pieces, calling `between` after each.
    private func read(_ answer: RangeAnswer, between: () -> Void = {}) throws -> [UInt8] {
        while !answer.isReady { answer.cursor!.step() }
        var bytes: [UInt8] = []
        let sink = ByteSink(capacity: 64 * 1024)
        while try answer.cursor!.read(into: sink, upTo: 64 * 1024) > 0 {
            bytes += sink.bytes
            sink.clear()
            between()
        }
        #expect(bytes.count == answer.encodedLength)
        return bytes
    }

    private func numbers(_ bytes: [UInt8]) throws -> (keys: [[UInt8]], more: Bool, count: Int64) {
        var keys: [[UInt8]] = []
        var more = false
        var count: Int64 = 0
        try bytes.withUnsafeBytes { bytes in
            var reader = ProtobufReader(bytes)
            while let (field, type) = try reader.next() {
                switch field {
                case 2: keys.append(Array(try StoredKeyValue(decoding: try reader.bytes(type)).key))
                case 3: more = try reader.bool(type)
                default: count = try reader.int64(type)
                }
            }
        }
        return (keys, more, count)
    }

    private var everything: RangeShape { RangeShape(key: Array("/large/".utf8), end: Array("/large0".utf8)) }

    @Test func anAnswerKeepsItsRevisionWhileTheStoreMovesOn() throws {
        let quiet = try read(try answer(everything))
        #expect(try numbers(quiet).keys == (0..<keyCount).map { key($0) })
        var index: UInt64 = 1
        let runner = CompactionRunner(store: store)
        // Every piece meets deletions, new keys, new values, a compaction and its purge.
        let moving = try read(try answer(everything)) {
            index += 1
            apply(index) {
                for step in 0..<200 {
                    let number = (Int(index) * 7919 + step * 13) % keyCount
                    if step % 3 == 0 {
                        key(number).withUnsafeBytes { _ = store.deleteRange(key: $0, rangeEnd: UnsafeRawBufferPointer(start: nil, count: 0)) }
                    } else {
                        put(step % 3 == 1 ? number : keyCount + number, [1, 2, 3])
                    }
                }
                try? store.compact(to: store.currentRevision)
            }
            for _ in 0..<50 { _ = try? runner.step() }
        }
        #expect((moving == quiet) as Bool)
        #expect(store.table.invariantViolation() == nil)
        // Without a reader the purge ends.
        for _ in 0..<2000 { if case .idle = try runner.step() { break } }
        #expect(store.statistics.pendingCompactions == 0)
    }

    /// Cut at the ends of elements, each part of the announced length, together the whole.
    @Test func answersAreCutIntoMessages() throws {
        let expected = try read(try answer(everything))
        for wanted in [1, 5_000, 1 << 20, 1 << 30] {
            let cut = try answer(everything)
            while !cut.isReady { cut.cursor!.step() }
            let cursor = cut.cursor!
            var bytes: [UInt8] = []
            var parts = 0
            while wanted > 1 || parts < 100 {
                let part = cursor.nextElements(reaching: wanted)
                let length = part.bytes + (part.isLast ? cursor.trailerLength : 0)
                let sink = ByteSink()
                while sink.count < length { _ = try cursor.read(into: sink, upTo: min(length - sink.count, 3_000)) }
                #expect(sink.count == length && (part.isLast || part.bytes >= min(wanted, 1)))
                bytes += sink.array()
                parts += 1
                if part.isLast { break }
            }
            if wanted > 1 {
                #expect((bytes == expected) as Bool)
                #expect(cursor.isExhausted)
            } else {
                // One element each.
                #expect(try numbers(bytes).keys.count == 100)
            }
        }
    }

    /// Records of all sizes into memory with gaps, as frames are filled: the same bytes, and the gaps stay as they were.
    @Test func recordsGoStraightIntoFrames() throws {
        var random = SplitMix64(seed: 11)
        apply(2) {
            for number in 0..<200 { put(number, [UInt8](repeating: UInt8(number % 251), count: Int(random.next() % 3_000))) }
        }
        // An order in the log that is not the keys'.
        apply(3) {
            for _ in 0..<150 {
                put(Int(random.next() % 200), (0..<Int(random.next() % 20_000)).map { UInt8(truncatingIfNeeded: $0) })
            }
        }
        var shape = everything
        shape.limit = 250
        let expected = ByteSink()
        let whole = try answer(shape)
        while !whole.isReady { whole.cursor!.step() }
        try whole.write(to: expected)
        for round in 0..<12 {
            let pulled = try answer(shape)
            while !pulled.isReady { pulled.cursor!.step() }
            var bytes: [UInt8] = []
            while true {
                let block = round == 0 ? 3 : 1 + Int(random.next() % 20_000)
                let gap = Int(random.next() % 12)
                let start = Int(random.next() % UInt64(block))
                let count = 1 + Int(random.next() % 300_000)
                let blocks = (start + count + block - 1) / block
                var memory = [UInt8](repeating: 0xEE, count: blocks * (block + gap))
                let read = try memory.withUnsafeMutableBytes {
                    try pulled.cursor!.read(
                        into: GappedBuffer(base: $0.baseAddress!, blockBytes: block, gapBytes: gap, start: start, count: count))
                }
                if read == 0 { break }
                for position in 0..<blocks {
                    let first = position * (block + gap)
                    bytes += memory[first + (position == 0 ? start : 0)..<first + min(block, start + read - position * block)]
                    guard start + read > (position + 1) * block else { break }
                    #expect((memory[first + block..<first + block + gap].allSatisfy { $0 == 0xEE }) as Bool)
                }
            }
            #expect((bytes == expected.array()) as Bool, "round \(round)")
        }
    }

    @Test(arguments: [20_000, 39_999, 40_000, 50_000] as [Int64])
    func limitsBeyondOneWindow(limit: Int64) throws {
        for revision in [0, 2] as [Int64] {
            var shape = everything
            shape.limit = limit
            shape.revision = revision
            let found = try numbers(try read(try answer(shape)))
            #expect(found.keys.count == min(Int(limit), keyCount))
            #expect(found.more == (limit < keyCount))
            #expect(found.count == keyCount)
            #expect(found.keys.last == key(min(Int(limit), keyCount) - 1))
        }
    }

    @Test func keysOnlyAndFiltersBeyondOneWindow() throws {
        apply(2) { for number in stride(from: 0, to: keyCount, by: 2) { put(number, [9]) } }
        var shape = everything
        shape.minimumModified = 3
        shape.keysOnly = true
        let found = try numbers(try read(try answer(shape)))
        #expect(found.keys == stride(from: 0, to: keyCount, by: 2).map { key($0) })
        #expect(found.count == keyCount)
        #expect(!found.more)
    }

    @Test func withoutACountAWalkEndsAtTheLimit() throws {
        let snapshot = store.snapshot()
        apply(2) { put(keyCount - 1, [9]) }
        var shape = everything
        shape.limit = 10
        shape.withQuery { query, _ in
            let slice = try! store.range(query, in: snapshot, countsKeys: false)
            // Ready after the first slice of the walk, though the range is eighty times as long.
            #expect(slice.isReady)
            #expect(slice.more)
            #expect(slice.count == 0)
            #expect(slice.keyValueCount == 10)
            let whole = try! store.range(query, in: snapshot)
            #expect(!whole.isReady)
            while !whole.isReady { whole.cursor!.step() }
            #expect(whole.count == keyCount)
        }
    }

    @Test func aSnapshotOutlivesCompaction() throws {
        let snapshot = store.snapshot()
        apply(2) {
            for number in 0..<keyCount { put(number, [7, 7]) }
        }
        apply(3) { try! store.compact(to: store.currentRevision) }
        let runner = CompactionRunner(store: store)
        for _ in 0..<1000 { if case .blocked = try runner.step() { break } }
        var seen = 0
        key(0).withUnsafeBytes { key in
            [0].withUnsafeBytes { zero in
                store.forEach(key: key, rangeEnd: UnsafeRawBufferPointer(rebasing: zero[..<1]), in: snapshot) { version in
                    if version.modified.main != 2 { Issue.record("a version of revision \(version.modified.main)") }
                    seen += 1
                    return seen < 2000
                }
            }
            #expect(store.get(key, in: snapshot)?.modified.main == 2)
            #expect(store.get(key)?.modified.main == 3)
        }
        #expect(seen == 2000)
        var shape = everything
        shape.revision = 2
        #expect(throws: CallError.compacted) { try answer(shape) }
        #expect(throws: CallError.compacted) { try store.checkTransactionRevision(-1, in: snapshot) }
        #expect(throws: CallError.futureRevision) { try store.checkTransactionRevision(3, in: snapshot) }
    }

    @Test func sortedByValue() throws {
        var shape = everything
        shape.sortTarget = 4
        shape.sortOrder = 2
        shape.limit = 3
        let answer = try answer(shape)
        var slices = 0
        while !answer.isReady {
            answer.cursor!.step()
            slices += 1
        }
        // Sliced: no step reads all values.
        #expect(slices > 100)
        #expect(answer.more)
        #expect(answer.keyValueCount == 3)
    }
}
