// The Raft log on disk, byte for byte in etcd's format, so that a member's directory can be read by either.
//
// One thread uses it (the consensus thread). A second one, of its own, only prepares files: it reserves and zeroes the
// next segment, and zeroes the active one ahead of the writer. A sync of zeroed space has no file-system metadata to
// write, which makes it nearly twice as fast.

import CShims
import Wire

public final class WriteAheadLog: @unchecked Sendable {
    // Unchecked: confined to one thread, but for the preparer, which has its own lock.

    struct SegmentFile {
        let sequence: UInt64
        /// The first entry that may be in it.
        let index: LogIndex
        var path: String
        let file: any File
    }

    let fileSystem: any FileSystem
    public let directory: String
    let options: WALOptions
    public let metadata: WALMetadata
    /// The record as it was read, so that all files carry the same bytes.
    let metadataBytes: [UInt8]
    let preparer: SegmentPreparer

    /// Ascending; the last one is written.
    var segments: [SegmentFile]
    /// How many of them, from the front, are no longer needed.
    var releasedCount = 0

    /// Encoded and not yet written.
    let buffer = ByteSink(capacity: WALFormat.bufferBytes)
    /// Offset in the active file of the buffer's first byte.
    var bufferStart: UInt64
    /// A failed write may have left bytes up to here, which the next one replaces or zeroes.
    var dirtyEnd: UInt64 = 0
    var crc: UInt32
    public internal(set) var hardState: HardState
    /// Index of the last entry or snapshot written.
    public internal(set) var lastIndex: LogIndex
    var hasFailed = false
    /// Anything was written since the last sync.
    var isDirty = false
    /// Bytes of records written since the start.
    public internal(set) var writtenBytes: UInt64 = 0
    let scratch = ByteSink(capacity: 256)

    init(
        fileSystem: any FileSystem, directory: String, options: WALOptions, metadata: WALMetadata, metadataBytes: [UInt8],
        segments: [SegmentFile], end: UInt64, crc: UInt32, hardState: HardState, lastIndex: LogIndex
    ) {
        self.fileSystem = fileSystem
        self.directory = directory
        self.options = options
        self.metadata = metadata
        self.metadataBytes = metadataBytes
        self.segments = segments
        bufferStart = end
        self.crc = crc
        self.hardState = hardState
        self.lastIndex = lastIndex
        preparer = SegmentPreparer(fileSystem: fileSystem, directory: directory, options: options)
        preparer.zeroAhead(segments[segments.count - 1].file, from: end)
    }

    var active: SegmentFile { segments[segments.count - 1] }

    /// Where the next record begins in the active file.
    var end: UInt64 { bufferStart + UInt64(buffer.count) }

    /// Files of the log, needed or kept.
    public var fileCount: Int { segments.count }

    /// True if the directory holds a log.
    public static func exists(_ fileSystem: any FileSystem, _ directory: String) -> Bool {
        guard let names = try? fileSystem.list(directory) else { return false }
        return names.contains { $0.hasSuffix(".wal") }
    }

    /// Syncs what is there and closes all files.
    public func close() throws(StorageError) {
        preparer.stop()
        defer { for segment in segments { segment.file.close() } }
        if !hasFailed { try sync() }
    }
}
