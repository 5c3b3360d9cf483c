// A store beside its model: both take the same operations, and every read is compared.

import Storage
import StorageSimulation
import Testing
import Wire

@testable import KeySpace

final class StoreHarness {
    private(set) var fileSystem: SimulatedFileSystem
    private(set) var store: MVCCStore
    /// What the apply thread has done, and what readers may see of it.
    private(set) var model = StoreModel()
    private(set) var published = StoreModel()
    /// The model after each entry.
    private var states: [StoreModel] = [StoreModel()]
    var random: SeededRandom
    private var raftIndex: UInt64 { UInt64(states.count - 1) }
    private let logOptions: RevisionLogOptions
    /// Purge, squeeze and garbage collection happen only when the test says so.
    private var runner: CompactionRunner
    private(set) var collectedSegments = 0
    private(set) var slicesOfSqueeze = 0
    private(set) var checkedHashes: Set<Int64> = []

    init(seed: UInt64, segmentBytes: UInt64 = 64 << 20) {
        random = SeededRandom(seed: testSeed(seed))
        var logOptions = RevisionLogOptions()
        logOptions.segmentBytes = segmentBytes
        self.logOptions = logOptions
        fileSystem = SimulatedFileSystem(seed: seed)
        fileSystem.setWriteback(every: 5)
        store = try! MVCCStore.open(fileSystem: fileSystem, directory: "/store", logOptions: logOptions)
        runner = CompactionRunner(store: store)
        makeSlicesSmall()
    }

    /// So that tests meet the states between two slices.
    private func makeSlicesSmall() {
        runner.sliceBudget = 5
        store.table.deadVersionsKept = 6
    }

    deinit { store.close() }

    // MARK: Lives

    /// Closes the store and opens it again.
    func restart() {
        store.close()
        reopen(durable: 0)
    }

    /// Opens the store on what a loss of power leaves; entries that were durable must be there.
    func loseAndRestorePower() {
        let durable = store.durableIndex
        fileSystem = fileSystem.afterPowerLoss(seed: random.next())
        fileSystem.setWriteback(every: 5)
        reopen(durable: durable)
    }

    private func reopen(durable: UInt64) {
        do {
            store = try MVCCStore.open(fileSystem: fileSystem, directory: "/store", logOptions: logOptions)
        } catch {
            Issue.record("the store does not open: \(error)")
            return
        }
        runner = CompactionRunner(store: store)
        makeSlicesSmall()
        checkedHashes = []
        // Entries that changed nothing may have left no trace; they change nothing when they are applied again.
        let applied = store.appliedPosition.index
        #expect(applied >= durable)
        #expect(applied <= raftIndex)
        model = states[Int(applied)]
        published = model
        states.removeLast(states.count - 1 - Int(applied))
        #expect(store.currentRevision == model.revision)
        #expect(store.compactRevision == model.compacted)
    }

    // MARK: Random material

    func key() -> [UInt8] {
        let stems = ["/registry/pods/", "/registry/pods/a", "/registry/leases/", "z", "\u{0}"]
        return Array((stems[int(0..<stems.count)] + String(int(0..<12))).utf8)
    }

    func int(_ range: Range<Int>) -> Int { Int.random(in: range, using: &random) }

    func bounds() -> (start: [UInt8], end: [UInt8]) {
        switch int(0..<6) {
        case 0: (key(), [])
        case 1: ([0], [0])
        case 2: (key(), [0])
        case 3: (Array("/registry/pods/".utf8), Array("/registry/pods0".utf8))
        default: (key(), key())
        }
    }

    // MARK: Operations

    func entry(_ body: () -> Void) {
        store.beginEntry(raftIndex: raftIndex + 1, term: 1)
        body()
        #expect(store.entryRevision == model.entryRevision)
        store.endEntry()
        model.endEntry()
        states.append(model)
    }

    /// An entry was applied that changed no key.
    func noteEntry() { states.append(model) }

    /// Whether it worked.
    @discardableResult
    func publish() -> Bool {
        do throws(StorageError) { try store.publish() } catch {
            #expect(fileSystem.isOff || error.isNoSpace, "\(error)")
            return false
        }
        published = model
        return true
    }

    func put(_ key: [UInt8], _ value: [UInt8], lease: Int64 = 0) {
        let expected = model.live(key, at: .max)
        let previous = key.withUnsafeBytes { key in value.withUnsafeBytes { store.put(key: key, value: $0, lease: lease) } }
        #expect(previous?.modified.main == expected?.main)
        #expect(previous?.version == expected?.version)
        model.put(key, value, lease: lease)
    }

    func delete(_ start: [UInt8], _ end: [UInt8]) {
        let doomed = model.range(start, end, at: .max)
        var seen: [[UInt8]] = []
        let deleted = start.withUnsafeBytes { start in
            end.withUnsafeBytes { end in
                store.deleteRange(key: start, rangeEnd: end) { version in
                    seen.append(Array(version.key.bytes))
                    #expect(!version.isTombstone)
                }
            }
        }
        #expect(seen == doomed.map(\.key))
        #expect(deleted == model.delete(start, end))
    }

    func compact(to revision: Int64) {
        let expected: CallError? =
            revision <= model.compacted ? .compacted : revision > model.revision ? .futureRevision : nil
        do throws(CallError) {
            try store.compact(to: revision)
            #expect(expected == nil)
            model.compacted = revision
        } catch {
            #expect(error == expected)
        }
    }

    /// A random entry: puts, deletes, a compaction, or nothing.
    func randomEntry(compacting: Bool = true) {
        entry {
            switch int(0..<12) {
            case 0: break
            case 1:
                let (start, end) = bounds()
                delete(start, end)
            case 2, 3:
                let victim = key()
                delete(victim, [])
                if int(0..<3) == 0 { put(victim, [1], lease: 0) }
            case 4 where compacting:
                compact(to: model.revision - Int64(int(0..<8)) + 1)
            default:
                for _ in 0..<int(1..<4) {
                    let size = [0, 1, 20, 300, 5000][int(0..<5)]
                    put(key(), Array(repeating: UInt8(int(0..<256)), count: size), lease: Int64(int(0..<3)))
                }
            }
        }
    }

    // MARK: Comparisons

    func check(_ query: RangeShape, inEntry: Bool = false) {
        query.withQuery { query, shape in
            let expected = Result { () throws(CallError) in try (inEntry ? model : published).answer(shape, inEntry: inEntry) }
            do throws(CallError) {
                let answer = inEntry ? try store.rangeInEntry(query) : try store.range(query)
                while !answer.isReady { answer.cursor!.step() }
                guard case .success(let wanted) = expected else {
                    Issue.record("an answer to \(shape) instead of an error")
                    return
                }
                #expect(answer.revision == wanted.revision)
                #expect(answer.count == wanted.count, "count of \(shape)")
                #expect(answer.more == wanted.more, "more of \(shape)")
                var bytes: [UInt8]
                if let cursor = answer.cursor, int(0..<2) == 0 {
                    // In pieces of an odd size.
                    bytes = []
                    let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: [1, 7, 100, 3000][int(0..<4)], alignment: 1)
                    defer { piece.deallocate() }
                    while true {
                        let count = try! cursor.read(into: piece)
                        if count == 0 { break }
                        bytes += piece[..<count]
                    }
                    #expect(cursor.isExhausted)
                } else {
                    let sink = ByteSink()
                    try! answer.write(to: sink)
                    bytes = sink.array()
                }
                #expect(bytes.count == answer.encodedLength)
                #expect((bytes == wanted.bytes) as Bool, "bytes of \(shape)")
            } catch {
                guard case .failure(let wanted) = expected else {
                    Issue.record("\(error) instead of an answer to \(shape)")
                    return
                }
                #expect(error == wanted)
            }
        }
    }

    func randomShape() -> RangeShape {
        var shape = RangeShape()
        (shape.key, shape.end) = bounds()
        shape.limit = Int64([0, 0, -1, 1, 2, 5, 100][int(0..<7)])
        if int(0..<2) == 0 { shape.revision = Int64(int(-1..<Int(model.revision) + 2)) }
        if int(0..<2) == 0 {
            shape.sortOrder = Int32(int(0..<3))
            shape.sortTarget = Int32(int(0..<5))
        }
        shape.keysOnly = int(0..<4) == 0
        shape.countOnly = int(0..<6) == 0
        if int(0..<4) == 0 {
            let bound = { Int64(self.int(0..<Int(self.model.revision) + 1)) }
            switch int(0..<4) {
            case 0: shape.maximumModified = bound()
            case 1: shape.minimumModified = bound()
            case 2: shape.maximumCreated = bound()
            default: shape.minimumCreated = bound()
            }
        }
        return shape
    }

    func checkEvents() {
        let from = Int64(int(max(Int(published.compacted) - 1, 1)..<Int(published.revision) + 2))
        let batch = EventBatch()
        var expected = published.history.filter { $0.main >= from }
        // Changes at the compacted revision that were replaced within it are shown until they are purged.
        func isOptional(_ version: StoreModel.Version) -> Bool {
            version.main == published.compacted && published.newest(version.key, at: published.compacted) != version
        }
        var next = from
        do throws(CallError) {
            while true {
                try store.events(from: next, into: batch, maximumEvents: int(1..<20), maximumBytes: int(1..<20000))
                next = batch.nextRevision
                guard !batch.events.isEmpty else { break }
                for event in batch.events {
                    while let first = expected.first, isOptional(first), event.version.modified != Revision(main: first.main, sub: first.sub) {
                        expected.removeFirst()
                    }
                    guard !expected.isEmpty else {
                        Issue.record("an event too many")
                        return
                    }
                    let wanted = expected.removeFirst()
                    guard event.version.modified == Revision(main: wanted.main, sub: wanted.sub) else {
                        Issue.record("event \(event.version.modified) instead of \(wanted.main).\(wanted.sub)")
                        return
                    }
                    #expect(event.version.modified == Revision(main: wanted.main, sub: wanted.sub))
                    #expect(Array(batch.key(event)) == wanted.key)
                    let sink = ByteSink()
                    try! store.appendRecord(of: event.version, to: sink)
                    #expect((sink.array() == wanted.encoded) as Bool, "record of \(wanted.main)")
                    let previous = wanted.main - 1 >= published.compacted ? published.live(wanted.key, at: wanted.main - 1) : nil
                    #expect((event.previous == nil) == (previous == nil))
                    if let found = event.previous, let previous {
                        sink.clear()
                        try! store.appendRecord(of: found, to: sink)
                        #expect((sink.array() == previous.encoded) as Bool)
                    }
                }
                // Main revisions are whole.
                if let last = batch.events.last { #expect(expected.first?.main != last.version.modified.main) }
            }
            expected.removeAll(where: isOptional)
            #expect(expected.isEmpty, "events from \(from)")
            #expect(next == max(from, published.revision + 1))
        } catch {
            #expect(error == .compacted)
            #expect(from < published.compacted)
        }
    }

    func checkHash() {
        for known in store.lock.withLock({ store.compaction.hashes }) where !checkedHashes.contains(known.revision) {
            checkedHashes.insert(known.revision)
            #expect(
                known.hash == published.hash(at: known.revision, compacted: known.compactRevision, whileCompacting: true),
                "remembered at \(known.revision)")
        }
        let revision = Int64(int(-1..<Int(published.revision) + 2))
        if store.lock.withLock({ store.compaction.hashes.contains { $0.revision == revision } }) { return }
        do throws(CallError) {
            let job = try store.hashKV(revision: revision)
            while try! !job.step() {}
            #expect(job.compactRevision == published.compacted)
            let effective = revision == 0 ? published.revision : revision
            #expect(job.revision == effective)
            #expect(job.hash == published.hash(at: effective, compacted: published.compacted), "hash at \(effective), compacted \(published.compacted)")
        } catch {
            #expect(error == (revision > published.revision ? .futureRevision : .compacted))
            #expect(revision > published.revision || revision > 0 && revision < published.compacted)
        }
    }

    func checkInvariants() {
        if let violation = store.lock.withLock({ store.table.invariantViolation() }) { Issue.record("\(violation)") }
    }
}

extension StoreHarness {
    /// Works off some of the compactions.
    func purgeSome(slices: Int) {
        for _ in 0..<slices {
            do throws(StorageError) {
                if store.table.order.isSqueezing { slicesOfSqueeze += 1 }
                if case .idle = try runner.step() { return }
            } catch {
                #expect(fileSystem.isOff, "\(error)")
                return
            }
        }
    }

    func sync() {
        do throws(StorageError) { try store.log.sync() } catch { expectPowerOff(error) }
    }

    func checkpoint() {
        do throws(StorageError) { try CheckpointRunner(store: store).write {} } catch { expectPowerOff(error) }
    }

    /// Moves everything that is not almost wholly alive, in slices with entries and reads in between.
    func collect(between: () -> Void) {
        store.lock.withLock { _ = store.log.rotate() }
        let collection = CollectionRunner(store: store)
        collection.begin(isThorough: true)
        do throws(StorageError) {
            while try collection.step() { between() }
            collectedSegments += collection.collectedSegments
        } catch {
            expectPowerOff(error)
        }
    }

    private func expectPowerOff(_ error: StorageError) { #expect(fileSystem.isOff || error.isNoSpace, "\(error)") }
}
