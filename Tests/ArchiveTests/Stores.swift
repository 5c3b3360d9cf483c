// The same random history as a model, as a database of etcd's and as a revision log.

import Storage
import StorageSimulation
import Wire

@testable import Archive

struct Write: Equatable {
    var main: Int64
    var sub: Int32
    var key: String
    /// Nil: a delete.
    var value: [UInt8]?
    var created: Int64 = 0
    var version: Int64 = 0
}

struct History {
    var writes: [Write] = []
    var compacted: Int64 = 0
    var revision: Int64 { writes.last?.main ?? 1 }

    static func random(_ random: inout SplitMix64, keys: Int, writes count: Int) -> History {
        var history = History()
        var live: [String: (created: Int64, version: Int64)] = [:]
        var main: Int64 = 1
        while history.writes.count < count {
            main += 1
            var names: Set<String> = []
            for _ in 0..<Int.random(in: 1...3, using: &random) { names.insert("/registry/things/\(Int.random(in: 0..<keys, using: &random))") }
            for (sub, key) in names.sorted().enumerated() {
                if let state = live[key], Int.random(in: 0..<5, using: &random) == 0 {
                    _ = state
                    live[key] = nil
                    history.writes.append(Write(main: main, sub: Int32(sub), key: key))
                } else {
                    let state = live[key].map { ($0.created, $0.version + 1) } ?? (main, 1)
                    live[key] = state
                    let value = (0..<Int.random(in: 0...300, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
                    history.writes.append(Write(main: main, sub: Int32(sub), key: key, value: value, created: state.0, version: state.1))
                }
            }
        }
        if Bool.random(using: &random) { history.compacted = Int64.random(in: 1...main, using: &random) }
        return history
    }

    /// What is kept of a key up to a revision.
    func kept(_ key: String, at revision: Int64) -> [Write] {
        var kept: [Write] = []
        for write in writes where write.key == key && write.main <= revision {
            if write.main <= compacted { kept = [] }
            if write.value != nil || write.main > compacted { kept.append(write) }
        }
        return kept
    }

    func last(_ key: String, at revision: Int64) -> Write? { writes.last { $0.key == key && $0.main <= revision } }

    private static func record(_ write: Write) -> [UInt8] {
        let sink = ByteSink()
        func bytes(_ field: Int, _ bytes: [UInt8]) {
            sink.tag(field, .bytes)
            sink.varint(UInt64(bytes.count))
            sink.append(bytes)
        }
        func number(_ field: Int, _ value: Int64) {
            sink.tag(field, .varint)
            sink.varint(UInt64(value))
        }
        bytes(1, Array(write.key.utf8))
        if let value = write.value {
            number(2, write.created)
            number(3, write.main)
            number(4, write.version)
            bytes(5, value)
        }
        return sink.array()
    }

    /// A database with what a compaction leaves, or all of it.
    func database(purges: Bool) throws -> [UInt8] {
        func give(_ writer: BoltWriter) {
            func add(_ key: [UInt8], _ value: [UInt8]) { key.withUnsafeBytes { key in value.withUnsafeBytes { writer.add(key, $0) } } }
            func revision(_ main: Int64, _ sub: Int32 = 0, isTombstone: Bool = false) -> [UInt8] {
                withUnsafeBytes(of: main.bigEndian, Array.init) + [UInt8(ascii: "_")] + withUnsafeBytes(of: Int64(sub).bigEndian, Array.init)
                    + (isTombstone ? [UInt8(ascii: "t")] : [])
            }
            writer.beginBucket("key")
            for write in writes {
                if purges, write.main <= compacted, last(write.key, at: compacted) != write { continue }
                add(revision(write.main, write.sub, isTombstone: write.value == nil), History.record(write))
            }
            writer.endBucket()
            writer.beginBucket("meta")
            if compacted > 0 { add(Array("finishedCompactRev".utf8), revision(compacted)) }
            writer.endBucket()
        }
        let measuring = BoltWriter(measuring: 4096)
        give(measuring)
        let sink = ByteSink()
        let writer = BoltWriter(try measuring.finish(), transaction: 8, output: sink)
        give(writer)
        try writer.finish()
        return sink.array()
    }

    /// A revision log in a directory of its own.
    func log(_ directory: String, in system: SimulatedFileSystem) throws {
        var options = RevisionLogOptions()
        options.segmentBytes = 4096
        let log = try RevisionLog.open(fileSystem: system, directory: directory, options: options, loadCheckpoint: { _ in }, frame: { _, _ in })
        for (index, write) in writes.enumerated() {
            log.beginFrame(raftIndex: UInt64(index + 1), term: 1)
            let record = History.record(write)
            _ = log.append(kind: write.value == nil ? .tombstone : .put, main: write.main, sub: write.sub, payloadCapacity: record.count) { $0.append(record) }
            log.endFrame()
        }
        if compacted > 0 {
            log.beginFrame(raftIndex: UInt64(writes.count + 1), term: 1)
            _ = log.append(kind: .compaction, main: compacted, sub: 0, payloadCapacity: 0) { _ in }
            log.endFrame()
        }
        try log.flush()
        log.close()
    }
}
