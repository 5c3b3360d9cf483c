// Opening damaged files: a clear error or a state that was once true, never a crash, never anything made up.

import Storage
import StorageSimulation
import Testing
import Wire

@Suite struct CorruptionTests {
    /// Damages one file somehow.
    private func damage(_ system: SimulatedFileSystem, _ directory: String, _ random: inout SplitMix64) throws -> String {
        let names = try system.list(directory)
        let path = directory + "/" + names[random.below(names.count)]
        let bytes = try system.bytes(of: path)
        switch random.below(8) {
        case 0:
            try system.remove(path)
            return "\(path) removed"
        case 1 where !bytes.isEmpty:
            let length = random.below(bytes.count)
            try system.install(path, Array(bytes.prefix(length)))
            return "\(path) cut to \(length)"
        case 2 where !bytes.isEmpty:
            let start = random.below(bytes.count)
            let length = min(random.below(600), bytes.count - start)
            var changed = bytes
            changed.replaceSubrange(start..<(start + length), with: repeatElement(0, count: length))
            try system.install(path, changed)
            return "\(path) zeroed \(start)..<\(start + length)"
        case 3:
            let extra = payload(random.next(), size: random.below(300))
            try system.install(path, bytes + extra)
            return "\(path) with \(extra.count) random bytes more"
        case 4:
            // The content of another file.
            let other = directory + "/" + names[random.below(names.count)]
            try system.install(path, try system.bytes(of: other))
            return "\(path) replaced with \(other)"
        default:
            guard !bytes.isEmpty else { return "nothing" }
            let count = 1 + random.below(4)
            for _ in 0..<count { try system.corrupt(path, at: random.below(bytes.count), xor: UInt8(1 + random.below(255))) }
            return "\(path) with \(count) bytes changed"
        }
    }

    @Test func damagedRevisionLogs() throws {
        var refused = 0
        for seed in 1..<UInt64(1 + 12 * soak) {
            let history = MiniHistory(seed: seed, entries: 150)
            let system = SimulatedFileSystem(seed: seed)
            var written = 0
            var durable = 0
            let store = try MiniStore(system)
            try history.run(store, written: &written, durable: &durable)
            for index in 150..<160 as Range<UInt64> { store.apply(.put(key: 3, size: 200), index: index + 1) }
            try store.log.flush()
            var random = SplitMix64(seed: seed)
            for _ in 0..<60 {
                let disk = system.afterKill()
                let what = "seed \(seed): " + (try damage(disk, "/store", &random))
                do {
                    let opened = try MiniStore(disk)
                    let count = Int(opened.log.appliedIndex)
                    #expect(count >= durable && count <= 160, "\(what)")
                    var model = history.model(min(count, 150))
                    if count > 150 { for index in 150..<count { model.apply(.put(key: 3, size: 200), index: UInt64(index) + 1) } }
                    #expect(opened.model == model, "\(what)")
                } catch let error as StorageError {
                    refused += 1
                    #expect(error.isCorrupt || error.isNotFound, "\(what): \(error)")
                }
            }
        }
        #expect(refused > 100)
    }

    private func reopen(_ disk: SimulatedFileSystem, _ options: WALOptions) -> Result<WALContents, StorageError> {
        do throws(StorageError) {
            return .success(try WriteAheadLog.open(fileSystem: disk, directory: "/wal", options: options).contents)
        } catch {
            return .failure(error)
        }
    }

    @Test func damagedWriteAheadLogs() throws {
        var refused = 0
        for seed in 1..<UInt64(1 + 12 * soak) {
            let history = WALHistory(seed: seed)
            let system = SimulatedFileSystem(seed: seed)
            let log = try WriteAheadLog.create(fileSystem: system, directory: "/wal", metadata: walMetadata, options: history.options)
            try history.run(log, steps: 60)
            var random = SplitMix64(seed: seed)
            for _ in 0..<60 {
                let disk = system.afterKill()
                let what = "seed \(seed): " + (try damage(disk, "/wal", &random))
                // Without any file there is no log; that is for the caller to find out.
                guard WriteAheadLog.exists(disk, "/wal") else { continue }
                switch reopen(disk, history.options) {
                case .success(let contents):
                    // Part of the last file may be missing, and nothing tells: what is left must have been true.
                    #expect(history.everExplains(contents), "\(what)")
                case .failure(let error):
                    refused += 1
                    #expect(error.isCorrupt || error.isNotFound, "\(what): \(error)")
                }
            }
        }
        #expect(refused > 100)
    }

    @Test func whatLiesBehindALostLengthFieldIsForgotten() throws {
        let system = SimulatedFileSystem(seed: 1)
        let options = walOptions(segmentBytes: 16_384)
        let log = try WriteAheadLog.create(fileSystem: system, directory: "/wal", metadata: walMetadata, options: options)
        try log.append(hardState: nil, entries: [walEntry(1, size: 40)])
        try log.sync()
        let path = "/wal/0000000000000000-0000000000000000.wal"
        let end = (try system.bytes(of: path).lastIndex { $0 != 0 }! + 8) / 8 * 8
        // Of the following write, the length field that it begins with was lost, and the rest was not.
        try log.append(hardState: nil, entries: (2...30).map { walEntry($0, size: 40) })
        try log.sync()
        var bytes = try system.bytes(of: path)
        bytes.replaceSubrange(end..<(end + 8), with: repeatElement(0, count: 8))
        try system.install(path, bytes)
        var disk = system.afterKill()
        var (again, contents) = try WriteAheadLog.open(fileSystem: disk, directory: "/wal", options: options)
        let kept = contents.entries
        #expect(kept == [walEntry(1, size: 40)])
        for count in 1...12 {
            try again.append(hardState: nil, entries: [Entry(term: 2, index: UInt64(kept.count + count), data: payload(UInt64(count), size: 40))])
            try again.sync()
            disk = disk.afterKill()
            (again, contents) = try WriteAheadLog.open(fileSystem: disk, directory: "/wal", options: options)
            #expect(contents.entries.count == kept.count + count && contents.repaired.isEmpty)
        }
    }

    @Test func aTornEndIsKeptAsideAndCutOff() throws {
        let system = SimulatedFileSystem(seed: 1)
        let options = walOptions(segmentBytes: 16_384)
        let log = try WriteAheadLog.create(fileSystem: system, directory: "/wal", metadata: walMetadata, options: options)
        try log.append(hardState: nil, entries: [walEntry(1), walEntry(2, size: 3000)])
        try log.sync()
        let path = "/wal/0000000000000000-0000000000000000.wal"
        var bytes = try system.bytes(of: path)
        // A sector in the middle of the second entry never reached the disk.
        bytes.replaceSubrange(1536..<2048, with: repeatElement(0, count: 512))
        try system.install(path, bytes)
        let torn = system.afterKill()
        #expect(try WriteAheadLog.contents(fileSystem: torn, directory: "/wal").entries == [walEntry(1)])
        #expect(try torn.bytes(of: path) == bytes)
        let (again, contents) = try WriteAheadLog.open(fileSystem: torn, directory: "/wal", options: options)
        #expect(contents.entries == [walEntry(1)] && contents.repaired == [path])
        #expect(try torn.bytes(of: path + ".broken") == bytes)
        try again.append(hardState: nil, entries: [walEntry(2, term: 2)])
        try again.close()
        #expect(try WriteAheadLog.open(fileSystem: torn, directory: "/wal", options: options).contents.entries == [walEntry(1), walEntry(2, term: 2)])

        // The same with something else than zeros is damage, and nothing is repaired.
        let damaged = system.afterKill()
        for offset in 1536..<2048 { try damaged.corrupt(path, at: offset, xor: 0x55) }
        let error = #expect(throws: StorageError.self) { try WriteAheadLog.open(fileSystem: damaged, directory: "/wal", options: options) }
        #expect(error?.description == "recover \(path): corrupt: crc mismatch in the record at 208")
        #expect(!damaged.exists(path + ".broken"))
    }
}
