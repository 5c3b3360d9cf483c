// Reading a revision log that belongs to somebody else: a server that runs, one that has stopped, a copy. Nothing is
// locked, written, truncated or removed. What a running server does meanwhile does no harm: all segments are opened and
// their ends fixed before the first record is handed out, sealed ones never change, and removed ones stay readable.

import Wire

/// The records of keys of a revision log in the order of their revisions, as of the moment it was opened.
///
/// Records of versions that a compaction has purged may still come, for their space is reclaimed later.
public final class RevisionLogReader {
    /// What was found wrong and passed over.
    public struct Problem: Sendable, Equatable, CustomStringConvertible {
        public let path: String
        public let offset: UInt64
        public let text: String
        public var description: String { "\(path), offset \(offset): \(text)" }
    }

    /// One segment as far as it is read.
    struct Part {
        let id: UInt32
        let file: any File
        /// What is wrong before this is damage, not a torn write.
        let vouched: UInt64
        var end: UInt64
    }

    public let directory: String
    /// The last compaction that was asked for; −1: none.
    public private(set) var compactedRevision: Int64
    /// The last revision behind the checkpoint; 0 if there is none.
    public private(set) var revision: Int64 = 0
    /// What the checkpoint's first block begins with, for whoever knows what it means.
    public private(set) var checkpointHead: [UInt8] = []
    /// Bytes of all segments.
    public private(set) var size: UInt64 = 0
    /// What was passed over; only with `isLenient`.
    public private(set) var problems: [Problem] = []
    private let isLenient: Bool
    /// Segments in the order of their entries, and those of garbage collection.
    private var log: [Part] = []
    private var collected: [Part] = []
    private var files: [UInt32: any File] = [:]

    /// - Parameter isLenient: damage is noted and passed over as far as possible.
    /// - Throws: when there is no log, it is damaged, or it keeps changing under the reader.
    public init(_ directory: String, in fileSystem: any FileSystem, isLenient: Bool = false) throws(StorageError) {
        self.directory = directory
        self.isLenient = isLenient
        compactedRevision = -1
        let path = directory + "/" + Manifest.fileName
        var attempt = 0
        while true {
            attempt += 1
            let manifest = try Manifest(decoding: try fileSystem.contents(of: path, limit: RevisionLogLimits.manifestBytes), path: path)
            do throws(StorageError) {
                try open(manifest, fileSystem)
                return
            } catch {
                close()
                // A server has put another manifest in place and removed what this one names.
                guard error.isNotFound, attempt < RevisionLogLimits.readerAttempts else { throw error }
            }
        }
    }

    deinit { close() }

    private func close() {
        for file in files.values { file.close() }
        files = [:]
        log = []
        collected = []
        problems = []
    }

    // MARK: Opening

    private func open(_ manifest: Manifest, _ fileSystem: any FileSystem) throws(StorageError) {
        compactedRevision = manifest.compactedRevision
        try readCheckpointHead(manifest, fileSystem)
        for entry in manifest.segments.sorted(by: { $0.id < $1.id }) {
            let file = try fileSystem.open(directory + "/" + SegmentName.name(entry.id, entry.kind), .readOnly)
            files[entry.id] = file
            let length = try file.size()
            if try header(of: file).map({ $0.id == entry.id && $0.kind == entry.kind }) != true {
                try note(file.path, 0, "its header is not that of segment \(entry.id)")
            }
            if length < entry.syncedLength { try note(file.path, length, "\(length) bytes, \(entry.syncedLength) were durable") }
            // Only the last log segment can have grown since.
            let isTail = entry.kind == .log && entry.id == manifest.tail.segment
            let part = Part(
                id: entry.id, file: file, vouched: min(entry.syncedLength, length), end: isTail ? length : min(entry.syncedLength, length))
            if entry.kind == .log { log.append(part) } else { collected.append(part) }
        }
        try readTail(manifest, fileSystem)
        for part in log + collected { size += part.end }
    }

    /// Reads what the checkpoint does not hold: where the log ends, its last revision, later compactions.
    private func readTail(_ manifest: Manifest, _ fileSystem: any FileSystem) throws(StorageError) {
        let start = manifest.checkpoint?.position
        var tail = LogTail()
        for index in log.indices {
            let part = log[index]
            tail = LogTail(segment: part.id, end: part.end)
            if let start, part.id < start.segment { continue }
            let from = start.map { $0.segment == part.id ? max($0.offset, UInt64(SegmentHeader.size)) : UInt64(SegmentHeader.size) }
            log[index].end = try scan(part, from: from ?? UInt64(SegmentHeader.size))
            tail.end = log[index].end
        }
        // Written since the manifest, if each follows the one before.
        for (id, kind) in try fileSystem.list(directory).compactMap({ SegmentName.parse($0) }).sorted(by: { $0.id < $1.id })
        where kind == .log && id > manifest.tail.segment && files[id] == nil {
            let file = try fileSystem.open(directory + "/" + SegmentName.name(id, kind), .readOnly)
            files[id] = file
            guard let header = try header(of: file), header.id == id, header.previous == tail.segment, header.previousEnd == tail.end else { return }
            var part = Part(id: id, file: file, vouched: 0, end: try file.size())
            part.end = try scan(part, from: UInt64(SegmentHeader.size))
            log.append(part)
            tail = LogTail(segment: id, end: part.end)
        }
    }

    private func scan(_ part: Part, from: UInt64) throws(StorageError) -> UInt64 {
        guard from <= part.end else { return part.end }
        var scanner = FrameScanner(part.file, segment: part.id, from: from, end: part.end)
        while case .frame(let frame) = try scanner.next() {
            for record in frame.records {
                if record.kind.isKeyRecord { revision = max(revision, record.main) }
                if record.kind == .compaction { compactedRevision = max(compactedRevision, record.main) }
            }
        }
        if scanner.offset < part.vouched { try damaged(part, scanner.offset) }
        return scanner.offset
    }

    private func header(of file: any File) throws(StorageError) -> SegmentHeader? {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: SegmentHeader.size, alignment: 8)
        defer { buffer.deallocate() }
        guard try file.read(into: buffer, at: 0) == SegmentHeader.size else { return nil }
        return SegmentHeader(UnsafeRawBufferPointer(buffer))
    }

    private func readCheckpointHead(_ manifest: Manifest, _ fileSystem: any FileSystem) throws(StorageError) {
        guard let checkpoint = manifest.checkpoint else { return }
        let file = try fileSystem.open(directory + "/" + CheckpointFormat.name(checkpoint.sequence), .readOnly)
        defer { file.close() }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: RevisionLogLimits.checkpointHeadBytes, alignment: 8)
        defer { buffer.deallocate() }
        // Behind the file's header and the block's length and checksum.
        let count = try file.read(into: buffer, at: 24)
        checkpointHead = [UInt8](buffer[..<count])
    }

    // MARK: Damage

    private func note(_ path: String, _ offset: UInt64, _ text: String) throws(StorageError) {
        guard isLenient else { throw StorageError(.read, path, .corrupt("offset \(offset): \(text)")) }
        let problem = Problem(path: path, offset: offset, text: text)
        if !problems.contains(problem) { problems.append(problem) }
    }

    fileprivate func damaged(_ part: Part, _ offset: UInt64) throws(StorageError) {
        try note(part.file.path, offset, "the frame is damaged; \(part.vouched - offset) bytes that were durable cannot be read")
    }

    // MARK: Records

    /// Appends the payload of a record that was met before.
    public func append(_ location: RecordLocation, to sink: ByteSink) throws(StorageError) {
        guard let file = files[location.segment] else {
            throw StorageError(.read, directory, .corrupt("there is no segment \(location.segment)"))
        }
        var failure: StorageError?
        var count = 0
        sink.append(uninitializedCapacity: Int(location.length)) {
            do throws(StorageError) { count = try file.read(into: $0, at: location.offset) } catch { failure = error }
            return count
        }
        if let failure { throw failure }
        guard count == Int(location.length) else {
            throw StorageError(.read, file.path, .corrupt("offset \(location.offset): \(Int(location.length) - count) bytes are missing"))
        }
    }

    /// Visits puts and tombstones in the order of their revisions, each revision once; views are valid during the call.
    ///
    /// - Parameter body: answers whether to go on.
    public func forEach(_ body: (RecordView) throws -> Bool) throws {
        let main = RecordStream(log, from: UInt64(SegmentHeader.size), self)
        var active: [RecordStream] = try main.advance() ? [main] : []
        // Begun when their turn comes, so that few have buffers at a time.
        var waiting: [Run] = []
        for part in collected { waiting += try runs(of: part) }
        waiting.sort { $0.first > $1.first }
        var last = RecordStream.Place(main: 0, sub: -1)
        while true {
            if active.isEmpty, !waiting.isEmpty { try begin(waiting.removeLast(), &active) }
            guard let stream = active.min(by: { $0.place < $1.place }) else { return }
            if let run = waiting.last, run.first <= stream.place {
                try begin(waiting.removeLast(), &active)
                continue
            }
            // How far it may go before another one has its turn.
            var limit = waiting.last?.first ?? RecordStream.Place(main: .max, sub: .max)
            for other in active where other !== stream { limit = min(limit, other.place) }
            repeat {
                // What was moved is at both places until the old one is removed.
                if stream.place > last {
                    last = stream.place
                    guard try body(stream.record!) else { return }
                }
                guard try stream.advance() else {
                    active.removeAll { $0 === stream }
                    break
                }
            } while stream.place <= limit
        }
    }

    private func begin(_ run: Run, _ active: inout [RecordStream]) throws(StorageError) {
        var part = run.part
        part.end = run.end
        let stream = RecordStream([part], from: run.offset, self)
        if try stream.advance() { active.append(stream) }
    }

    /// A stretch of a collected segment in which revisions ascend.
    private struct Run {
        let part: Part
        let offset: UInt64
        var end: UInt64
        let first: RecordStream.Place
    }

    /// Garbage collection puts the records of one segment behind those of another, so order holds for stretches only.
    private func runs(of part: Part) throws(StorageError) -> [Run] {
        var runs: [Run] = []
        var last = RecordStream.Place(main: .max, sub: .max)
        var scanner = FrameScanner(part.file, segment: part.id, from: UInt64(SegmentHeader.size), end: part.end)
        while case .frame(let frame) = try scanner.next() {
            var isFirst = true
            for record in frame.records where record.kind.isKeyRecord {
                let place = RecordStream.Place(main: record.main, sub: record.sub)
                if isFirst, place < last { runs.append(Run(part: part, offset: frame.offset, end: 0, first: place)) }
                isFirst = false
                last = place
            }
            if !isFirst { runs[runs.count - 1].end = scanner.offset }
        }
        if scanner.offset < part.vouched { try damaged(part, scanner.offset) }
        return runs
    }
}

/// The records of keys of some segments, one after the other.
private final class RecordStream {
    struct Place: Comparable {
        var main: Int64
        var sub: Int32
        static func < (a: Place, b: Place) -> Bool { a.main != b.main ? a.main < b.main : a.sub < b.sub }
    }

    private unowned let reader: RevisionLogReader
    private var parts: ArraySlice<RevisionLogReader.Part>
    private var from: UInt64
    private var part: RevisionLogReader.Part?
    private var scanner: FrameScanner?
    private var records: RecordIterator?
    /// The current record; its views are valid until the next `advance`.
    private(set) var record: RecordView?
    private(set) var place = Place(main: 0, sub: 0)

    init(_ parts: [RevisionLogReader.Part], from: UInt64, _ reader: RevisionLogReader) {
        self.parts = parts[...]
        self.from = from
        self.reader = reader
    }

    /// To the next record; false at the end.
    func advance() throws(StorageError) -> Bool {
        while true {
            while let next = records?.next() {
                guard next.kind.isKeyRecord else { continue }
                record = next
                place = Place(main: next.main, sub: next.sub)
                return true
            }
            records = nil
            if scanner != nil {
                if case .frame(let frame) = try scanner!.next() {
                    records = frame.records.makeIterator()
                    continue
                }
                if let part, scanner!.offset < min(part.vouched, part.end) { try reader.damaged(part, scanner!.offset) }
                scanner = nil
            }
            guard let next = parts.popFirst() else {
                record = nil
                return false
            }
            part = next
            scanner = FrameScanner(next.file, segment: next.id, from: from, end: next.end)
            from = UInt64(SegmentHeader.size)
        }
    }
}
