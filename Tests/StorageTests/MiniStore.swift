// A key space as small as can be on a revision log: enough to find out whether the log keeps its promises.

import Storage
import StorageSimulation
import Testing
import Wire

/// What an entry does.
enum MiniEntry: Equatable {
    case put(key: UInt8, size: Int)
    case compact(Int64)
    /// Nothing that leaves a record.
    case noop
}

/// The state after some entries, without any storage: version by revision.
struct MiniModel: Equatable {
    /// Key by revision; the payload follows from the revision.
    var versions: [Int64: UInt8] = [:]
    var sizes: [Int64: Int] = [:]

    static func payload(_ main: Int64, key: UInt8, size: Int) -> [UInt8] {
        [key] + StorageTests.payload(UInt64(main), size: size)
    }

    mutating func apply(_ entry: MiniEntry, index: UInt64) {
        switch entry {
        case .put(let key, let size):
            versions[Int64(index)] = key
            sizes[Int64(index)] = size
        case .compact(let revision):
            for main in dropped(revision) {
                versions[main] = nil
                sizes[main] = nil
            }
        case .noop: break
        }
    }

    /// What a compaction at `revision` drops: versions that a newer one not above it has replaced.
    func dropped(_ revision: Int64) -> [Int64] {
        var newest: [UInt8: Int64] = [:]
        for (main, key) in versions where main <= revision { newest[key] = max(newest[key] ?? 0, main) }
        return versions.filter { $0.key <= revision && newest[$0.value] != $0.key }.map { $0.key }
    }
}

/// The same on a revision log.
final class MiniStore {
    private(set) var log: RevisionLog!
    private(set) var model = MiniModel()
    private(set) var locations: [Int64: RecordLocation] = [:]
    var compacted: Int64 = -1
    private var purgedInReplay: [RecordLocation] = []

    init(_ system: any FileSystem, _ directory: String = "/store", segmentBytes: UInt64 = 2048) throws {
        var options = RevisionLogOptions()
        options.segmentBytes = segmentBytes
        options.preallocates = segmentBytes % 4096 == 0
        log = try RevisionLog.open(
            fileSystem: system, directory: directory, options: options,
            loadCheckpoint: { try self.load($0) }, frame: { self.replay($0, $1) })
        for location in purgedInReplay { log.release(location) }
    }

    // MARK: Recovery

    private func load(_ reader: CheckpointReader) throws {
        compacted = reader.compactedRevision
        while let block = try reader.next() {
            var fields = ProtobufReader(block)
            let main = Int64(bitPattern: try fields.varint())
            let location = RecordLocation(
                segment: UInt32(try fields.varint()), length: UInt32(try fields.varint()), offset: try fields.varint())
            locations[main] = location
            model.versions[main] = UInt8(try fields.varint())
            model.sizes[main] = Int(location.length) - 1
            reader.retain(location)
        }
    }

    private func replay(_ header: FrameHeader, _ records: RecordIterator) {
        for record in records {
            switch record.kind {
            case .put:
                locations[record.main] = record.location
                model.apply(.put(key: record.payload[0], size: record.payload.count - 1), index: UInt64(record.main))
            case .compaction:
                drop(record.main)
            default: Issue.record("a record of kind \(record.kind)")
            }
        }
    }

    // MARK: Applying

    func apply(_ entry: MiniEntry, index: UInt64) {
        log.beginFrame(raftIndex: index, term: 1 + index / 50)
        switch entry {
        case .put(let key, let size):
            locations[Int64(index)] = log.append(main: Int64(index), MiniModel.payload(Int64(index), key: key, size: size))
            model.apply(entry, index: index)
        case .compact(let revision):
            log.append(kind: .compaction, main: revision, [])
            drop(revision)
        case .noop: break
        }
        log.endFrame()
    }

    private func drop(_ revision: Int64) {
        compacted = max(compacted, revision)
        for main in model.dropped(revision) {
            if let log { log.release(locations[main]!) } else { purgedInReplay.append(locations[main]!) }
            locations[main] = nil
            model.versions[main] = nil
            model.sizes[main] = nil
        }
    }

    func checkpoint() throws {
        let writer = try log.beginCheckpoint(at: log.flushedPosition)
        do {
            for (main, location) in locations.sorted(by: { $0.key < $1.key }) {
                let sink = ByteSink()
                for value in [UInt64(main), UInt64(location.segment), UInt64(location.length), location.offset, UInt64(model.versions[main]!)] {
                    sink.varint(value)
                }
                try writer.write(sink.bytes)
            }
        } catch {
            log.abandonCheckpoint(writer)
            throw error
        }
        try log.finishCheckpoint(writer, compactedRevision: compacted)
    }

    /// A collection on its way.
    private var current: SegmentCollection?

    /// Moves some records, as a maintenance thread does between other things.
    func collectSome(slices: Int) throws {
        for _ in 0..<slices {
            if current == nil { current = log.victims().first.flatMap { log.beginCollection(of: $0) } }
            guard let collection = current else { return }
            do {
                if try !step(collection, 300) { current = nil }
            } catch {
                current = nil
                throw error
            }
        }
    }

    func collectAll(_ policy: CollectionPolicy = .init()) throws {
        // One at a time: what was begun is finished first.
        while current != nil { try collectSome(slices: 1) }
        for id in log.victims(policy) {
            guard let collection = log.beginCollection(of: id) else { continue }
            while try step(collection, 700) {}
        }
    }

    private func step(_ collection: SegmentCollection, _ maxBytes: Int) throws -> Bool {
        try log.step(
            collection, maxBytes: maxBytes,
            select: { batch in for index in batch.indices { batch[index].isLive = locations[batch[index].main] == batch[index].from } },
            relocate: { moved in
                for index in moved.indices {
                    if locations[moved[index].main] == moved[index].from {
                        locations[moved[index].main] = moved[index].to
                    } else {
                        moved[index].isTaken = false
                    }
                }
            })
    }

    // MARK: Checking

    /// Every version is readable, and the log's accounts agree with what there is.
    func verify() throws {
        for (main, key) in model.versions {
            let bytes = try log.payload(at: locations[main]!)
            #expect(bytes == MiniModel.payload(main, key: key, size: model.sizes[main]!))
        }
        let live = locations.values.reduce(0) { $0 + 17 + Int($1.length) }
        #expect(log.sizeInUse == 20480 + live)
        #expect(log.size == log.segmentStatistics.reduce(20480) { $0 + Int($1.written) - Int($1.collected) })
    }
}

/// A random history of entries.
func miniEntries(_ count: Int, _ random: inout SplitMix64) -> [MiniEntry] {
    (1...count).map { index in
        switch random.below(20) {
        case 0: .noop
        case 1 where index > 10: .compact(Int64(index - random.below(10)))
        default: .put(key: UInt8(random.below(12)), size: random.oneIn(20) ? random.below(3000) : random.below(120))
        }
    }
}
