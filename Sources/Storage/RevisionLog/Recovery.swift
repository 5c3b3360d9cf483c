// Opening a revision log: manifest, checkpoint, then every good frame behind it, up to the first bad checksum.
//
// What the manifest vouches for must be there; anything wrong with it is damage, and the log refuses to open. What
// lies behind may be torn by a power loss: the first frame that is not whole ends the log, and everything after it goes.

import Wire

struct Recovery {
    struct Result {
        var manifest: Manifest
        var segments: [Segment]
        var active: Segment
        var tail: LogTail
        var nextSegment: UInt32
        var hasNewFiles: Bool
        var appliedIndex: LogIndex
        var appliedTerm: Term
    }

    let fileSystem: any FileSystem
    let directory: String
    let options: RevisionLogOptions
    private var manifest = Manifest()
    /// All segments that survive, by number.
    private var segments: [Segment] = []
    private var tail = LogTail()
    private var appliedIndex: LogIndex = 0
    private var appliedTerm: Term = 0
    private var lastFrame: LogIndex = 0
    private var highestNumber: UInt32 = 0
    private var mustSyncDirectory = false
    /// A log segment ends before what was found of it: nothing may follow.
    private var isCut = false

    init(fileSystem: any FileSystem, directory: String, options: RevisionLogOptions) {
        self.fileSystem = fileSystem
        self.directory = directory
        self.options = options
    }

    mutating func run(
        loadCheckpoint: (CheckpointReader) throws -> Void, frame: (FrameHeader, RecordIterator) throws -> Void
    ) throws -> Result {
        var names = try fileSystem.list(directory)
        try readManifest(&names)
        let found = names.compactMap { SegmentName.parse($0) }
        highestNumber = max(found.map { $0.id }.max() ?? 0, manifest.segments.map { $0.id }.max() ?? 0, manifest.tail.segment)
        if let checkpoint = manifest.checkpoint { highestNumber = max(highestNumber, checkpoint.position.segment) }
        try openListed()
        try removeStrays(names)

        var live: [UInt32: Int] = [:]
        if let checkpoint = manifest.checkpoint {
            let reader = try CheckpointReader(fileSystem, directory: directory, checkpoint, compactedRevision: manifest.compactedRevision)
            try loadCheckpoint(reader)
            if !reader.isAtEnd {
                guard try reader.next() == nil else {
                    throw StorageError(.recover, directory, .refused("the checkpoint was not read to its end"))
                }
            }
            live = reader.live
            appliedIndex = checkpoint.position.appliedIndex
            appliedTerm = checkpoint.position.appliedTerm
            lastFrame = appliedIndex
        }
        let unlisted = found.filter { $0.kind == .log && $0.id > manifest.tail.segment && !isListed($0.id) }.map { $0.id }.sorted()
        try replay(unlisted: unlisted, live: &live, frame)
        if manifest.appliedIndex > appliedIndex {
            appliedIndex = manifest.appliedIndex
            appliedTerm = manifest.appliedTerm
        }
        for segment in segments { segment.addLive(live[segment.id] ?? 0) }
        if mustSyncDirectory, !options.skipsSync { try fileSystem.syncDirectory(directory) }
        return finish()
    }

    // MARK: Manifest

    private mutating func readManifest(_ names: inout [String]) throws(StorageError) {
        let path = directory + "/" + Manifest.fileName
        guard names.contains(Manifest.fileName) else {
            if let stray = names.first(where: { SegmentName.parse($0) != nil }) {
                throw StorageError(.recover, path, .corrupt("missing, but there is \(stray)"))
            }
            // The directory may be new as well; its name must last before anything in it is promised to.
            if !options.skipsSync { try fileSystem.syncDirectory(parentDirectory(of: directory)) }
            try RevisionLog.write(manifest, fileSystem, directory, skipsSync: options.skipsSync)
            names.removeAll { $0 == Manifest.fileName + ".tmp" }
            return
        }
        manifest = try Manifest(decoding: try fileSystem.contents(of: path, limit: RevisionLogLimits.manifestBytes), path: path)
    }

    private func isListed(_ id: UInt32) -> Bool { manifest.segments.contains { $0.id == id } }

    private mutating func openListed() throws(StorageError) {
        for entry in manifest.segments.sorted(by: { $0.id < $1.id }) {
            let segment = Segment(id: entry.id, kind: entry.kind, directory: directory)
            let file: any File
            do throws(StorageError) {
                file = try fileSystem.open(segment.path, .readWrite)
            } catch {
                if error.isNotFound { throw StorageError(.recover, segment.path, .corrupt("missing, the manifest names it")) }
                throw error
            }
            let size = try file.size()
            guard size >= entry.syncedLength else {
                throw StorageError(.recover, segment.path, .corrupt("\(size) bytes, \(entry.syncedLength) were durable"))
            }
            guard try header(of: file).map({ $0.id == entry.id && $0.kind == entry.kind }) == true else {
                throw StorageError(.recover, segment.path, .corrupt("its header is not that of segment \(entry.id)"))
            }
            segment.attach(file)
            segment.publish(written: entry.syncedLength)
            segment.isSealed = true
            segments.append(segment)
        }
    }

    private func header(of file: any File) throws(StorageError) -> SegmentHeader? {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: SegmentHeader.size, alignment: 8)
        defer { buffer.deallocate() }
        guard try file.read(into: buffer, at: 0) == SegmentHeader.size else { return nil }
        return SegmentHeader(UnsafeRawBufferPointer(buffer))
    }

    /// Removes what an interrupted change left: temporary files, checkpoints and segments that no manifest names.
    private mutating func removeStrays(_ names: [String]) throws(StorageError) {
        for name in names {
            var isStray = name.hasSuffix(".tmp")
            if CheckpointFormat.isName(name) {
                isStray = manifest.checkpoint.map { CheckpointFormat.name($0.sequence) } != name
            } else if let (id, kind) = SegmentName.parse(name), !isListed(id) {
                isStray = kind == .collected || id <= manifest.tail.segment
            }
            guard isStray else { continue }
            try fileSystem.remove(directory + "/" + name)
            mustSyncDirectory = true
        }
    }

    // MARK: Frames

    private mutating func replay(
        unlisted: [UInt32], live: inout [UInt32: Int], _ frame: (FrameHeader, RecordIterator) throws -> Void
    ) throws {
        tail = manifest.tail
        let start = manifest.checkpoint?.position
        // Listed log segments from the checkpoint's on; the manifest vouches for their order.
        for segment in segments where segment.kind == .log {
            if let start, segment.id < start.segment { continue }
            let from = start.map { $0.segment == segment.id ? max($0.offset, UInt64(SegmentHeader.size)) : UInt64(SegmentHeader.size) }
            let vouched = segment.written
            // Only the last one can have grown since.
            let limit = segment.id == manifest.tail.segment ? try segment.file!.size() : vouched
            let end = try scan(segment, from: from ?? UInt64(SegmentHeader.size), limit: limit, live: &live, frame)
            guard end >= vouched else {
                throw StorageError(.recover, segment.path, .corrupt("the frame at \(end) is damaged; \(vouched) bytes were durable"))
            }
            if segment.id == manifest.tail.segment {
                try cut(segment, at: end)
                tail.end = end
            }
        }
        // The checkpoint may begin behind the last listed segment's end; then that segment may still have grown, by
        // what a rotation left there. It has not: a rotation seals only what is written and listed.
        for id in unlisted {
            let segment = Segment(id: id, kind: .log, directory: directory)
            let file = try fileSystem.open(segment.path, .readWrite)
            let follows = try header(of: file).map {
                $0.id == id && $0.kind == .log && $0.previous == tail.segment && $0.previousEnd == tail.end
            }
            guard !isCut, follows == true else {
                // Written behind something that the power loss took.
                isCut = true
                file.close()
                try fileSystem.remove(segment.path)
                mustSyncDirectory = true
                continue
            }
            segment.attach(file)
            let end = try scan(segment, from: UInt64(SegmentHeader.size), limit: try file.size(), live: &live, frame)
            try cut(segment, at: end)
            segments.append(segment)
            tail = LogTail(segment: id, end: end)
            mustSyncDirectory = true
        }
    }

    private mutating func scan(
        _ segment: Segment, from: UInt64, limit: UInt64, live: inout [UInt32: Int],
        _ body: (FrameHeader, RecordIterator) throws -> Void
    ) throws -> UInt64 {
        guard from <= limit else {
            throw StorageError(.recover, segment.path, .corrupt("frames are to begin at \(from), it ends at \(limit)"))
        }
        var scanner = FrameScanner(segment.file!, segment: segment.id, from: from, end: limit)
        var bytes = 0
        while case .frame(let frame) = try scanner.next() {
            guard frame.header.raftIndex >= lastFrame else {
                throw StorageError(
                    .recover, segment.path,
                    .corrupt("entry \(frame.header.raftIndex) at \(frame.offset) follows entry \(lastFrame)"))
            }
            lastFrame = frame.header.raftIndex
            appliedIndex = lastFrame
            appliedTerm = frame.header.term
            for record in frame.records where record.kind.isKeyRecord { bytes += RecordFormat.recordHeader + record.payload.count }
            try body(frame.header, frame.records)
        }
        live[segment.id, default: 0] += bytes
        return scanner.offset
    }

    /// Makes a log segment end where its last good frame ends, so that nothing torn is ever met again.
    private func cut(_ segment: Segment, at end: UInt64) throws(StorageError) {
        if try segment.file!.size() > end {
            try segment.file!.truncate(to: end)
            if !options.skipsSync { try segment.file!.sync() }
        }
        segment.publish(written: end)
    }

    // MARK: The end

    private mutating func finish() -> Result {
        // Appending goes on in the last log segment, unless the checkpoint says that its frames begin behind it.
        let last = segments.last { $0.kind == .log && $0.id == tail.segment }
        var next = highestNumber + 1
        let active: Segment
        if let last, last.written < options.segmentBytes, last.id >= manifest.checkpoint?.position.segment ?? 0 {
            active = last
            last.isSealed = false
        } else {
            active = Segment(id: next, kind: .log, directory: directory)
            segments.append(active)
            next += 1
        }
        for segment in segments where segment !== active { segment.isSealed = true }
        segments.sort { $0.id < $1.id }
        return Result(
            manifest: manifest, segments: segments, active: active, tail: tail, nextSegment: next,
            hasNewFiles: mustSyncDirectory, appliedIndex: appliedIndex, appliedTerm: appliedTerm)
    }
}

extension RevisionLog {
    /// Opens a log, or creates an empty one.
    ///
    /// - Parameter loadCheckpoint: called first, if there is a checkpoint; must read it to its end, and `retain` the
    ///   location of every version.
    /// - Parameter frame: called for every entry behind the checkpoint, in order. Its records of keys count as live;
    ///   `release` later what turns out to be purged.
    public static func open(
        fileSystem: any FileSystem, directory: String, options: RevisionLogOptions = .init(),
        loadCheckpoint: (CheckpointReader) throws -> Void, frame: (FrameHeader, RecordIterator) throws -> Void
    ) throws -> RevisionLog {
        try fileSystem.createDirectoryDurably(directory)
        let lock = try fileSystem.lockDirectory(directory)
        var recovery = Recovery(fileSystem: fileSystem, directory: directory, options: options)
        do {
            let result = try recovery.run(loadCheckpoint: loadCheckpoint, frame: frame)
            return RevisionLog(fileSystem: fileSystem, directory: directory, options: options, recovered: result, lock: lock)
        } catch {
            lock.release()
            throw error
        }
    }
}
