// Reading a log back.

import Wire

/// What a log held when it was opened.
public struct WALContents: Sendable {
    public var metadata: WALMetadata
    public var hardState = HardState()
    /// The point that `entries` begin behind.
    public var snapshot = WALSnapshot()
    /// Without gaps, from `snapshot.index + 1`.
    public var entries: [Entry] = []
    /// Every recorded snapshot that is committed, ascending.
    public var snapshots: [WALSnapshot] = []
    /// Files whose torn end was cut off; a copy lies beside them with `.broken` appended.
    public var repaired: [String] = []
    /// Names that are no log files.
    public var ignored: [String] = []

    public init(metadata: WALMetadata) { self.metadata = metadata }
}

extension WriteAheadLog {
    /// Opens a log for appending.
    ///
    /// A torn end of the last file, as a power loss leaves it, is cut off after a copy was made. Any other damage is an
    /// error that says what and where.
    ///
    /// - Parameter wanted: the snapshot to begin behind; without one it is the last that is committed.
    public static func open(
        fileSystem: any FileSystem, directory: String, options: WALOptions = .init(), at wanted: WALSnapshot? = nil
    ) throws(StorageError) -> (log: WriteAheadLog, contents: WALContents) {
        let names = try fileSystem.list(directory)
        let chosen = try choose(names, directory, wanted)
        var segments: [SegmentFile] = []
        do throws(StorageError) {
            for file in chosen.files {
                let path = directory + "/" + WALFormat.name(sequence: file.sequence, index: file.index)
                let handle = try fileSystem.open(path, .readWrite)
                segments.append(SegmentFile(sequence: file.sequence, index: file.index, path: path, file: handle))
                try handle.lock()
            }
            for name in names where name.hasSuffix(".tmp") { try fileSystem.remove(directory + "/" + name) }
            var reader = WALReader(wanted: wanted, directory: directory)
            var repaired: [String] = []
            for index in segments.indices {
                let isLast = index == segments.count - 1
                let end = try reader.read(segments[index].file, isLast: isLast)
                if case .torn = end, isLast {
                    try repair(fileSystem, directory, segments[index], end: reader.end)
                    repaired.append(segments[index].path)
                }
            }
            var contents = try reader.finish(lowestIndex: chosen.files.map { $0.index }.min()!)
            contents.repaired = repaired
            contents.ignored = chosen.ignored
            let last = segments[segments.count - 1].file
            try prepareTail(last, end: reader.end, options)
            let log = WriteAheadLog(
                fileSystem: fileSystem, directory: directory, options: options, metadata: contents.metadata,
                metadataBytes: reader.metadataBytes!, segments: segments, end: reader.end, crc: reader.crc,
                hardState: contents.hardState, lastIndex: max(contents.entries.last?.index ?? 0, contents.snapshot.index))
            if reader.end == 0 { log.encodeHead(to: log.buffer, crc: &log.crc) }
            return (log, contents)
        } catch {
            for segment in segments { segment.file.close() }
            throw error
        }
    }

    /// What a log holds, without locking, repairing or changing anything: for tools. A torn end is left out.
    public static func contents(
        fileSystem: any FileSystem, directory: String, at wanted: WALSnapshot? = nil
    ) throws(StorageError) -> WALContents {
        let chosen = try choose(try fileSystem.list(directory), directory, wanted)
        var reader = WALReader(wanted: wanted, directory: directory)
        for (number, file) in chosen.files.enumerated() {
            let path = directory + "/" + WALFormat.name(sequence: file.sequence, index: file.index)
            let handle = try fileSystem.open(path, .readOnly)
            defer { handle.close() }
            _ = try reader.read(handle, isLast: number == chosen.files.count - 1)
        }
        var contents = try reader.finish(lowestIndex: chosen.files.map { $0.index }.min()!)
        contents.ignored = chosen.ignored
        return contents
    }

    /// The files to read: those without a gap in their numbers up to the last, from the one that the wanted snapshot
    /// lies in.
    private static func choose(
        _ names: [String], _ directory: String, _ wanted: WALSnapshot?
    ) throws(StorageError) -> (files: [(sequence: UInt64, index: LogIndex)], ignored: [String]) {
        var files: [(sequence: UInt64, index: LogIndex)] = []
        var ignored: [String] = []
        for name in names {
            if let file = WALFormat.parse(name) { files.append(file) } else if !name.hasSuffix(".tmp") { ignored.append(name) }
        }
        guard !files.isEmpty else { throw StorageError(.recover, directory, .refused("there is no log")) }
        files.sort { $0.sequence < $1.sequence }
        // Removing old files is not synced: a power loss may bring one back and not its successor. What lies before a gap
        // was released.
        var first = files.count - 1
        while first > 0, files[first - 1].sequence + 1 == files[first].sequence { first -= 1 }
        files.removeFirst(first)
        if let wanted {
            guard let start = files.lastIndex(where: { $0.index <= wanted.index }) else {
                throw StorageError(.recover, directory, .corrupt("no file contains index \(wanted.index)"))
            }
            files.removeFirst(start)
        }
        return (files, ignored)
    }

    private static func repair(
        _ fileSystem: any FileSystem, _ directory: String, _ segment: SegmentFile, end: UInt64
    ) throws(StorageError) {
        let copy = try fileSystem.open(segment.path + ".broken", .create)
        defer { copy.close() }
        let size = try segment.file.size()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
        defer { buffer.deallocate() }
        var position: UInt64 = 0
        while position < size {
            let count = try segment.file.read(into: buffer, at: position)
            if count == 0 { break }
            try copy.write(UnsafeRawBufferPointer(rebasing: buffer[..<count]), at: position)
            position += UInt64(count)
        }
        try copy.sync()
        try segment.file.truncate(to: end)
        try segment.file.sync()
        try fileSystem.syncDirectory(directory)
    }

    /// Makes the rest of the last file zeros, so that nothing of an interrupted write is ever taken for a record.
    private static func prepareTail(_ file: any File, end: UInt64, _ options: WALOptions) throws(StorageError) {
        try file.truncate(to: end)
        do throws(StorageError) {
            if end < options.segmentBytes { try file.preallocate(options.segmentBytes, extending: true) }
        } catch {
            // Reserving is a courtesy; without space the first append says so.
            guard error.isNoSpace else { throw error }
        }
        if !options.skipsSync { try file.sync() }
    }
}
