// The container of an index checkpoint: a file of blocks, each with its checksum. What is in the blocks is the
// caller's business.

import Wire

#if canImport(Glibc)
import Glibc
#endif

enum CheckpointFormat {
    static let magic: UInt64 = 0x3150_4B43_5452_414D  // "MARTCKP1"
    static let version: UInt32 = 1
    /// Magic u64, version u32, checksum of both u32.
    static let headerSize = 16
    /// Length u32, checksum u32.
    static let blockHeaderSize = 8

    static func name(_ sequence: UInt64) -> String { "checkpoint-" + hex(sequence, digits: 16) }
    static func isName(_ name: String) -> Bool { name.hasPrefix("checkpoint-") }

    /// A block's checksum covers its number, so that blocks cannot change places unnoticed.
    static func checksum(_ block: UnsafeRawBufferPointer, number: UInt64) -> UInt32 {
        withUnsafeBytes(of: number.littleEndian) { CRC32C.update(CRC32C.update(0, $0), block) }
    }
}

/// Writes a checkpoint block by block, beside everything else that goes on. Nothing of it counts before
/// `RevisionLog.finishCheckpoint`.
public final class CheckpointWriter {
    let file: any File
    let path: String
    let sequence: UInt64
    let position: LogPosition
    /// Segments that nothing in this checkpoint points to.
    let drops: [Segment]
    private(set) var length: UInt64
    private var blocks: UInt64 = 0
    private var syncedLength: UInt64 = 0
    private let skipsSync: Bool
    private let sink = ByteSink(capacity: 64 * 1024)

    init(_ fileSystem: any FileSystem, directory: String, sequence: UInt64, position: LogPosition, drops: [Segment], skipsSync: Bool)
        throws(StorageError)
    {
        path = directory + "/" + CheckpointFormat.name(sequence)
        self.sequence = sequence
        self.position = position
        self.drops = drops
        self.skipsSync = skipsSync
        file = try fileSystem.open(path, .create)
        length = UInt64(CheckpointFormat.headerSize)
        sink.append(zeros: CheckpointFormat.headerSize)
        sink.base.storeBytes(of: CheckpointFormat.magic.littleEndian, as: UInt64.self)
        sink.base.storeBytes(of: CheckpointFormat.version.littleEndian, toByteOffset: 8, as: UInt32.self)
        let checksum = CRC32C.update(0, UnsafeRawBufferPointer(rebasing: sink.bytes[..<12]))
        sink.base.storeBytes(of: checksum.littleEndian, toByteOffset: 12, as: UInt32.self)
        try file.write(sink.bytes, at: 0)
    }

    /// Appends one block; the reader gets the same blocks. Not empty; at most 64 MiB; some hundred KiB are a good size.
    public func write(_ block: UnsafeRawBufferPointer) throws(StorageError) {
        precondition(block.count > 0 && block.count <= RevisionLogLimits.checkpointBlockBytes, "a checkpoint block of \(block.count) bytes")
        try append(block)
        if length - syncedLength >= RevisionLogLimits.checkpointSyncStep, !skipsSync {
            try file.sync()
            syncedLength = length
        }
    }

    private func append(_ block: UnsafeRawBufferPointer) throws(StorageError) {
        sink.clear(keeping: RevisionLogLimits.pendingBytesKept)
        sink.append(zeros: CheckpointFormat.blockHeaderSize)
        sink.append(block)
        sink.base.storeBytes(of: UInt32(block.count).littleEndian, as: UInt32.self)
        sink.base.storeBytes(of: CheckpointFormat.checksum(block, number: blocks).littleEndian, toByteOffset: 4, as: UInt32.self)
        try file.write(sink.bytes, at: length)
        length += UInt64(sink.count)
        blocks += 1
    }

    /// An empty block is the end: a file without it is not whole.
    func finish() throws(StorageError) {
        try append(UnsafeRawBufferPointer(start: nil, count: 0))
        if !skipsSync { try file.sync() }
        file.close()
    }
}

/// Reads a checkpoint's blocks in the order in which they were written.
public final class CheckpointReader {
    private let file: any File
    private var offset: UInt64
    private let length: UInt64
    private var blocks: UInt64 = 0
    private(set) var isAtEnd = false
    private let sink = ByteSink(capacity: 64 * 1024)
    /// Live bytes by segment, as the caller counts them.
    private(set) var live: [UInt32: Int] = [:]

    /// The frame after which the checkpoint was begun.
    public let position: LogPosition
    /// The compacted revision that the manifest knows.
    public let compactedRevision: Int64

    init(_ fileSystem: any FileSystem, directory: String, _ checkpoint: Manifest.Checkpoint, compactedRevision: Int64) throws(StorageError) {
        let path = directory + "/" + CheckpointFormat.name(checkpoint.sequence)
        file = try fileSystem.open(path, .readOnly)
        position = checkpoint.position
        length = checkpoint.fileLength
        self.compactedRevision = compactedRevision
        offset = UInt64(CheckpointFormat.headerSize)
        guard try file.size() == length else {
            throw StorageError(.recover, path, .corrupt("\(try file.size()) bytes, \(length) were written"))
        }
        let header = try take(CheckpointFormat.headerSize, at: 0)
        let checksum = CRC32C.update(0, UnsafeRawBufferPointer(rebasing: header[..<12]))
        guard UInt64(littleEndian: header.loadUnaligned(as: UInt64.self)) == CheckpointFormat.magic,
            UInt32(littleEndian: header.loadUnaligned(fromByteOffset: 12, as: UInt32.self)) == checksum
        else {
            throw StorageError(.recover, path, .corrupt("not a checkpoint"))
        }
        let version = UInt32(littleEndian: header.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
        guard version == CheckpointFormat.version else {
            throw StorageError(.recover, path, .refused("written by another version (format \(version))"))
        }
    }

    deinit { file.close() }

    /// The next block, valid until the next call; nil at the end.
    public func next() throws(StorageError) -> UnsafeRawBufferPointer? {
        guard !isAtEnd else { return nil }
        let header = try take(CheckpointFormat.blockHeaderSize, at: offset)
        let size = Int(UInt32(littleEndian: header.loadUnaligned(as: UInt32.self)))
        let checksum = UInt32(littleEndian: header.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
        offset += UInt64(CheckpointFormat.blockHeaderSize)
        guard size <= RevisionLogLimits.checkpointBlockBytes, offset + UInt64(size) <= length else {
            throw StorageError(.recover, file.path, .corrupt("block \(blocks) is longer than the file"))
        }
        let block = try take(size, at: offset)
        guard CheckpointFormat.checksum(block, number: blocks) == checksum else {
            throw StorageError(.recover, file.path, .corrupt("the checksum of block \(blocks) does not match"))
        }
        offset += UInt64(size)
        blocks += 1
        if size == 0 {
            isAtEnd = true
            guard offset == length else { throw StorageError(.recover, file.path, .corrupt("something follows its last block")) }
            return nil
        }
        return block
    }

    /// Counts a version's record as live. Call it for every version that the checkpoint contains.
    @inline(__always)
    public func retain(_ location: RecordLocation) {
        live[location.segment, default: 0] += RecordFormat.recordHeader + Int(location.length)
    }

    private func take(_ count: Int, at offset: UInt64) throws(StorageError) -> UnsafeRawBufferPointer {
        sink.clear()
        var failure: StorageError?
        var read = 0
        sink.append(uninitializedCapacity: count) {
            do throws(StorageError) { read = try file.read(into: $0, at: offset) } catch { failure = error }
            return count
        }
        if let failure { throw failure }
        guard read == count else { throw StorageError(.recover, file.path, .corrupt("the file ends at \(offset + UInt64(read))")) }
        return sink.bytes
    }
}
