// What is left of a revision log after the power failed at any point: everything that was synced, nothing that was
// not written, entries whole, in order, without a gap.

import Storage
import StorageSimulation
import Testing
import Wire

/// A history of a store: entries in chunks, with syncs, checkpoints and collections between them.
struct MiniHistory {
    enum Step {
        case entries(Range<Int>)
        case sync, checkpoint, rotate, collect(thorough: Bool), collectSome(Int)
    }

    let entries: [MiniEntry]
    var steps: [Step] = []

    init(seed: UInt64, entries count: Int) {
        var random = SplitMix64(seed: seed)
        entries = miniEntries(count, &random)
        var next = 0
        while next < count {
            let end = min(next + 1 + random.below(8), count)
            steps.append(.entries(next..<end))
            next = end
            switch random.below(12) {
            case 0, 1, 2: steps.append(.sync)
            case 3: steps.append(.checkpoint)
            case 4: steps += [.rotate, .collect(thorough: true)]
            case 5: steps.append(.collect(thorough: false))
            case 6: steps += [.rotate, .checkpoint]
            case 7, 8: steps += [.collectSome(1 + random.below(4)), .checkpoint]
            default: break
            }
        }
        steps += [.collect(thorough: false), .checkpoint, .sync]
    }

    /// The model after the first `count` entries.
    func model(_ count: Int) -> MiniModel {
        var model = MiniModel()
        for index in 0..<count { model.apply(entries[index], index: UInt64(index) + 1) }
        return model
    }

    /// Runs on a store that already holds the first `from` entries; says how far it came in `written` and `durable`.
    func run(_ store: MiniStore, from: Int = 0, written: inout Int, durable: inout Int) throws {
        for step in steps {
            switch step {
            case .entries(let range):
                guard range.upperBound > from else { continue }
                for index in range where index >= from { store.apply(entries[index], index: UInt64(index) + 1) }
                written = range.upperBound
                if store.log.hasPending { try store.log.flush() }
            case .sync:
                if written > 0 { durable = max(durable, Int(try store.log.sync())) }
            case .checkpoint:
                if written > from || from == 0 { try store.checkpoint() }
                durable = max(durable, Int(store.log.durableIndex))
            case .rotate: store.log.rotate()
            case .collect(let thorough): try store.collectAll(thorough ? .thorough : .init())
            case .collectSome(let slices): try store.collectSome(slices: slices)
            }
        }
    }
}

@Suite struct RevisionLogPowerLossTests {
    /// Opens what a power loss left and compares it with the model; then goes on with the history.
    private func check(
        _ system: SimulatedFileSystem, _ history: MiniHistory, written: Int, durable: Int, _ what: String
    ) throws -> (store: MiniStore, count: Int)? {
        let store: MiniStore
        do {
            store = try MiniStore(system)
        } catch {
            Issue.record("\(what): \(error)")
            return nil
        }
        let count = Int(store.log.appliedIndex)
        guard count >= durable, count <= written else {
            Issue.record("\(what): \(count) entries are left, \(durable) were durable, \(written) written")
            return nil
        }
        if store.model != history.model(count) {
            Issue.record("\(what): the state is not that after \(count) entries")
            return nil
        }
        try store.verify()
        return (store, count)
    }

    private func crash(_ history: MiniHistory, seed: UInt64, cut: Int?, writeback: UInt64) throws -> Int {
        let system = SimulatedFileSystem(seed: seed)
        system.setWriteback(every: writeback)
        if let cut { system.cutPower(before: cut) }
        var written = 0
        var durable = 0
        do {
            let store = try MiniStore(system)
            try history.run(store, written: &written, durable: &durable)
        } catch {
            #expect(system.isOff, "seed \(seed), cut \(cut ?? -1): \(error)")
        }
        let operations = system.operationCount
        guard cut != nil else { return operations }
        // The power may fail again while the log recovers, and later; then the history is finished.
        var disk = system.afterPowerLoss(seed: seed &* 7919 &+ UInt64(cut!))
        var random = SplitMix64(seed: seed ^ UInt64(cut!))
        if random.oneIn(3) {
            disk.cutPower(before: random.below(30))
            _ = try? MiniStore(disk)
            disk = disk.afterPowerLoss(seed: random.next())
        }
        let what = "seed \(seed), cut before operation \(cut!)"
        guard let (store, count) = try check(disk, history, written: written, durable: durable, what) else { return operations }
        if random.oneIn(4) {
            var writtenAgain = count
            var durableAgain = max(durable, 0)
            disk.cutPower(before: disk.operationCount + random.below(60))
            _ = try? history.run(store, from: count, written: &writtenAgain, durable: &durableAgain)
            let last = disk.afterPowerLoss(seed: random.next())
            _ = try check(last, history, written: writtenAgain, durable: durableAgain, what + ", and again")
        } else {
            var writtenAgain = count
            var durableAgain = durable
            try history.run(store, from: count, written: &writtenAgain, durable: &durableAgain)
            #expect(store.model == history.model(history.entries.count), "\(what)")
            try store.verify()
            let whole = history.entries.count
            _ = try check(disk.afterPowerLoss(seed: random.next()), history, written: whole, durable: whole, what + ", then finished")
        }
        return operations
    }

    @Test(arguments: 1...2) func cutBeforeEveryOperation(seed: UInt64) throws {
        let history = MiniHistory(seed: seed, entries: 60)
        let operations = try crash(history, seed: seed, cut: nil, writeback: 0)
        #expect(operations > 50)
        for cut in 0..<operations {
            for round in 0..<2 as Range<UInt64> { _ = try crash(history, seed: seed &+ round &* 1000, cut: cut, writeback: round * 2) }
        }
    }

    @Test func cutAnywhereInLongHistories() throws {
        for seed in 100..<UInt64(100 + 10 * soak) {
            let history = MiniHistory(seed: seed, entries: 400)
            let operations = try crash(history, seed: seed, cut: nil, writeback: 0)
            var random = SplitMix64(seed: seed)
            for _ in 0..<6 { _ = try crash(history, seed: random.next(), cut: random.below(operations), writeback: random.next() % 5) }
        }
    }

    @Test func aKilledProcessLosesNothingThatItWrote() throws {
        for seed in 500..<UInt64(500 + 20 * soak) {
            let history = MiniHistory(seed: seed, entries: 200)
            let operations = try crash(history, seed: seed, cut: nil, writeback: 0)
            var random = SplitMix64(seed: seed)
            let system = SimulatedFileSystem(seed: seed)
            system.cutPower(before: random.below(operations))
            var written = 0
            var durable = 0
            do { try history.run(try MiniStore(system), written: &written, durable: &durable) } catch {}
            _ = try check(system.afterKill(), history, written: written, durable: durable, "seed \(seed)")
        }
    }

    @Test func aFullDiskLosesNothing() throws {
        for seed in 1..<UInt64(1 + 15 * soak) {
            let history = MiniHistory(seed: seed, entries: 200)
            let system = SimulatedFileSystem(seed: seed)
            var random = SplitMix64(seed: seed)
            let store = try MiniStore(system)
            var errors = 0
            /// Repeats a step that meets a full disk after some space has come.
            func persist(_ body: () throws -> Void) throws {
                while true {
                    do {
                        try body()
                        return
                    } catch let error as StorageError where error.isNoSpace {
                        errors += 1
                        try store.verify()
                        system.capacity += UInt64(random.below(3000))
                    }
                }
            }
            system.capacity = system.usedBytes + 1000
            for step in history.steps {
                switch step {
                case .entries(let range):
                    for index in range { store.apply(history.entries[index], index: UInt64(index) + 1) }
                    try persist { try store.log.flush() }
                case .sync: try persist { try store.log.sync() }
                case .checkpoint: try persist { try store.checkpoint() }
                case .rotate: store.log.rotate()
                case .collect(let thorough): try persist { try store.collectAll(thorough ? .thorough : .init()) }
                case .collectSome(let slices): try persist { try store.collectSome(slices: slices) }
                }
            }
            #expect(errors > 0)
            #expect(store.model == history.model(200), "seed \(seed)")
            try store.verify()
            store.log.close()
            let again = try MiniStore(system.afterPowerLoss(seed: seed))
            #expect(again.model == history.model(200), "seed \(seed)")
            try again.verify()
        }
    }

    @Test func afterAFailedSyncNothingIsPromised() throws {
        let system = SimulatedFileSystem(seed: 1)
        let store = try MiniStore(system)
        store.apply(.put(key: 1, size: 10), index: 1)
        try store.log.flush()
        system.inject(Fault(.sync, path: ".seg"))
        #expect(throws: StorageError.self) { try store.log.sync() }
        #expect(store.log.durableIndex == 0)
        // The disk works again, and still no sync may succeed.
        let failure = #expect(throws: StorageError.self) { try store.log.sync() }
        #expect(failure?.reason == .failedEarlier && failure?.isNoSpace == false)
        try store.verify()
    }
}
