// What is left of a write-ahead log after the power failed at any point.

import Storage
import StorageSimulation
import Testing
import Wire

/// What was handed to the log, in order.
enum WALWrite {
    case entry(Entry)
    case state(HardState)
    case snapshot(UInt64)
}

/// What a reader must make of the first writes.
struct WALModel {
    var entries: [Entry] = []
    var state = HardState()
    var snapshots: [UInt64] = [0]

    mutating func apply(_ write: WALWrite) {
        switch write {
        case .entry(let entry):
            entries.removeAll { $0.index >= entry.index }
            entries.append(entry)
        case .state(let state): self.state = state
        case .snapshot(let index): snapshots.append(index)
        }
    }

    func agrees(with contents: WALContents) -> Bool {
        let usable = snapshots.filter { $0 <= state.commit }.max() ?? 0
        return contents.hardState == state && contents.snapshot.index == usable && contents.entries == entries.filter { $0.index > usable }
    }
}

/// A random life of a log.
final class WALHistory {
    private(set) var writes: [WALWrite] = []
    /// How many of the writes were synced.
    private(set) var durable = 0
    private var random: SplitMix64
    private var term: UInt64 = 1
    private var next: UInt64 = 1
    private var commit: UInt64 = 0
    private var released: UInt64 = 0
    let segmentBytes: UInt64

    init(seed: UInt64) {
        random = SplitMix64(seed: seed)
        segmentBytes = [2048, 4096, 8192, 20_000][random.below(4)]
    }

    var options: WALOptions {
        var options = walOptions(segmentBytes: segmentBytes)
        options.maximumFiles = 2
        return options
    }

    func run(_ log: WriteAheadLog, steps: Int, retry: ((StorageError) throws -> Void)? = nil) throws {
        for _ in 0..<steps {
            switch random.below(10) {
            case 0:
                // A new term: uncommitted entries may be replaced.
                term += 1
                next = commit + 1 + UInt64(random.below(Int(next - commit)))
                try append(log, state: true, retry)
            case 1, 2: try sync(log, retry)
            case 3 where commit > released + 3:
                // A snapshot record needs its commit index on the disk first, as consensus does it.
                released += UInt64(random.below(Int(commit - released))) + 1
                writes.append(.snapshot(released))
                try retrying(retry) { try log.saveSnapshot(SnapshotMetadata(index: released, term: term)) }
                durable = writes.count
                try retrying(retry) { try log.release(through: released) }
            case 4:
                commit = max(commit, next - 1)
                try append(log, state: true, retry, entries: 0)
            default: try append(log, state: random.oneIn(3), retry)
            }
        }
        try sync(log, retry)
    }

    private func retrying(_ retry: ((StorageError) throws -> Void)?, _ body: () throws -> Void) throws {
        while true {
            do {
                return try body()
            } catch let error as StorageError where retry != nil && error.isNoSpace {
                try retry!(error)
            }
        }
    }

    private func append(_ log: WriteAheadLog, state: Bool, _ retry: ((StorageError) throws -> Void)?, entries count: Int? = nil) throws {
        let entries = (0..<UInt64(count ?? random.below(5))).map { offset in
            let size = random.oneIn(8) ? random.below(4000) : random.below(150)
            // Zeros in the middle of data must not be taken for a torn write.
            let data = random.oneIn(5) ? [UInt8](repeating: 0, count: size) : payload(random.next(), size: size)
            return Entry(term: term, index: next + offset, data: data)
        }
        next += UInt64(entries.count)
        let hardState = state ? HardState(term: term, vote: MemberID(term % 3), commit: commit) : nil
        writes += entries.map { .entry($0) }
        if let hardState { writes.append(.state(hardState)) }
        try retrying(retry) { try log.append(hardState: hardState, entries: entries) }
    }

    private func sync(_ log: WriteAheadLog, _ retry: ((StorageError) throws -> Void)?) throws {
        try retrying(retry) { try log.sync() }
        durable = writes.count
    }

    /// Whether the contents are those after some number of writes at all.
    func everExplains(_ contents: WALContents) -> Bool {
        var model = WALModel()
        if model.agrees(with: contents) { return true }
        return writes.contains { write in
            model.apply(write)
            return model.agrees(with: contents)
        }
    }

    /// Whether the contents are those after some number of writes, not fewer than were durable.
    func explains(_ contents: WALContents) -> Bool {
        var model = WALModel()
        for write in writes.prefix(durable) { model.apply(write) }
        if model.agrees(with: contents) { return true }
        for write in writes.dropFirst(durable) {
            model.apply(write)
            if model.agrees(with: contents) { return true }
        }
        return false
    }
}

@Suite struct WALPowerLossTests {
    private func crash(seed: UInt64, steps: Int, cut: Int?, writeback: UInt64) throws -> Int {
        let system = SimulatedFileSystem(seed: seed)
        system.setWriteback(every: writeback)
        if let cut { system.cutPower(before: cut) }
        let history = WALHistory(seed: seed)
        let what = "seed \(seed), cut before operation \(cut ?? -1)"
        var isCreated = false
        do {
            let log = try WriteAheadLog.create(fileSystem: system, directory: "/m/wal", metadata: walMetadata, options: history.options)
            isCreated = true
            try history.run(log, steps: steps)
            try log.close()
        } catch {
            #expect(system.isOff, "\(what): \(error)")
        }
        guard let cut else { return system.operationCount }
        var random = SplitMix64(seed: seed ^ UInt64(cut))
        var disk = system.afterPowerLoss(seed: random.next())
        if random.oneIn(3) {
            // And again while it is being opened.
            disk.cutPower(before: disk.operationCount + random.below(15))
            _ = try? WriteAheadLog.open(fileSystem: disk, directory: "/m/wal", options: history.options)
            disk = disk.afterPowerLoss(seed: random.next())
        }
        guard WriteAheadLog.exists(disk, "/m/wal") else {
            #expect(!isCreated, "\(what): the log is gone")
            return system.operationCount
        }
        let log: WriteAheadLog
        let contents: WALContents
        do {
            (log, contents) = try WriteAheadLog.open(fileSystem: disk, directory: "/m/wal", options: history.options)
        } catch {
            Issue.record("\(what): \(error)")
            return system.operationCount
        }
        #expect(history.explains(contents), "\(what): \(contents.entries.count) entries to \(contents.entries.last?.index ?? 0), \(contents.hardState), \(contents.snapshots)")
        // What is appended now must be found next time, whatever the torn end was.
        let next = max(contents.entries.last?.index ?? 0, contents.snapshot.index) + 1
        let size = random.oneIn(2) ? 10 : 700
        let added = (0..<3).map { Entry(term: 99, index: next + $0, data: payload($0, size: size)) }
        try log.append(hardState: nil, entries: added)
        try log.sync()
        let again = try WriteAheadLog.open(
            fileSystem: disk.afterPowerLoss(seed: seed), directory: "/m/wal", options: history.options
        ).contents
        #expect(again.entries == contents.entries + added && again.hardState == contents.hardState, "\(what)")
        return system.operationCount
    }

    @Test(arguments: 1...4) func cutBeforeEveryOperation(seed: UInt64) throws {
        let operations = try crash(seed: seed, steps: 40, cut: nil, writeback: 0)
        for cut in 0..<operations {
            for writeback in [0, 2] as [UInt64] { _ = try crash(seed: seed, steps: 40, cut: cut, writeback: writeback) }
        }
    }

    @Test func cutAnywhereInLongHistories() throws {
        for seed in 1000..<UInt64(1000 + 15 * soak) {
            let operations = try crash(seed: seed, steps: 200, cut: nil, writeback: 0)
            var random = SplitMix64(seed: seed)
            for _ in 0..<6 { _ = try crash(seed: seed, steps: 200, cut: random.below(operations), writeback: random.next() % 4) }
        }
    }

    @Test func aFullDiskIsWaitedOut() throws {
        for seed in 1..<UInt64(1 + 20 * soak) {
            let system = SimulatedFileSystem(seed: seed)
            let history = WALHistory(seed: seed)
            let log = try WriteAheadLog.create(fileSystem: system, directory: "/m/wal", metadata: walMetadata, options: history.options)
            system.capacity = system.usedBytes
            var errors = 0
            try history.run(log, steps: 150) { _ in
                errors += 1
                system.capacity += UInt64(errors % 3) * 700
            }
            #expect(errors > 0)
            let contents = try WriteAheadLog.open(
                fileSystem: system.afterPowerLoss(seed: seed), directory: "/m/wal", options: history.options
            ).contents
            #expect(history.durable == history.writes.count && history.explains(contents), "seed \(seed)")
        }
    }

    @Test func anAppendThatFailedLeavesNoTrace() throws {
        let system = SimulatedFileSystem(seed: 3)
        let options = walOptions(segmentBytes: 1 << 20)
        let log = try WriteAheadLog.create(fileSystem: system, directory: "/wal", metadata: walMetadata, options: options)
        try log.append(hardState: HardState(term: 1), entries: [walEntry(1)])
        try log.sync()
        system.inject(Fault(.write, count: 1, errno: 28))
        #expect(throws: StorageError.self) { try log.append(hardState: HardState(term: 2), entries: [walEntry(2, size: 300_000)]) }
        #expect(log.hardState == HardState(term: 1) && log.lastIndex == 1)
        // Something else and shorter comes in its place.
        try log.append(hardState: nil, entries: [walEntry(2, term: 3)])
        try log.sync()
        let bytes = try system.bytes(of: "/wal/0000000000000000-0000000000000000.wal")
        #expect(bytes[1000...].allSatisfy { $0 == 0 })
        let contents = try WriteAheadLog.open(fileSystem: system.afterKill(), directory: "/wal", options: options).contents
        #expect(contents.entries == [walEntry(1), walEntry(2, term: 3)] && contents.repaired.isEmpty)
    }

    @Test func afterAFailedSyncNothingGoesOn() throws {
        let system = SimulatedFileSystem(seed: 3)
        let log = try WriteAheadLog.create(fileSystem: system, directory: "/wal", metadata: walMetadata, options: walOptions())
        try log.append(hardState: nil, entries: [walEntry(1)])
        system.inject(Fault(.sync, errno: 28))
        // Not even "no space" may be taken for something that passes.
        let first = #expect(throws: StorageError.self) { try log.sync() }
        #expect(first?.isNoSpace == false)
        #expect(throws: StorageError(.sync, "/wal", .failedEarlier)) { try log.sync() }
        #expect(throws: StorageError(.sync, "/wal", .failedEarlier)) { try log.append(hardState: nil, entries: [walEntry(2)]) }
    }
}
