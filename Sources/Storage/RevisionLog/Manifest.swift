// The manifest says what the store consists of. It alone makes changes to several files atomic: it is written beside
// the old one, synced and renamed over it.

import Wire

struct Manifest: Equatable {
    static let fileName = "MANIFEST"
    static let magic: UInt64 = 0x314E_414D_5452_414D  // "MARTMAN1"
    static let version: UInt32 = 1
    static let headerSize = 20

    struct SegmentEntry: Equatable {
        var id: UInt32
        var kind: SegmentKind
        /// Bytes that were durable: what is wrong within them is damage, not a torn write.
        var syncedLength: UInt64
    }

    struct Checkpoint: Equatable {
        var sequence: UInt64
        var fileLength: UInt64
        /// Frames from here on are not in the checkpoint.
        var position: LogPosition
    }

    /// Grows with each manifest.
    var sequence: UInt64 = 0
    var appliedIndex: LogIndex = 0
    var appliedTerm: Term = 0
    /// −1: never compacted.
    var compactedRevision: Int64 = -1
    var checkpoint: Checkpoint?
    var tail = LogTail()
    var segments: [SegmentEntry] = []

    func encode() -> ByteSink {
        let sink = ByteSink(capacity: 256 + segments.count * 16)
        sink.append(zeros: Manifest.headerSize)
        func put<T: FixedWidthInteger>(_ value: T) { withUnsafeBytes(of: value.littleEndian) { sink.append($0) } }
        put(sequence)
        put(appliedIndex)
        put(appliedTerm)
        put(compactedRevision)
        put(tail.segment)
        put(tail.end)
        put(UInt32(checkpoint == nil ? 0 : 1))
        if let checkpoint {
            put(checkpoint.sequence)
            put(checkpoint.fileLength)
            put(checkpoint.position.segment)
            put(checkpoint.position.offset)
            put(checkpoint.position.appliedIndex)
            put(checkpoint.position.appliedTerm)
        }
        put(UInt32(segments.count))
        for segment in segments {
            put(segment.id)
            put(UInt32(segment.kind.rawValue))
            put(segment.syncedLength)
        }
        let length = UInt32(sink.count - Manifest.headerSize)
        sink.base.storeBytes(of: Manifest.magic.littleEndian, as: UInt64.self)
        sink.base.storeBytes(of: Manifest.version.littleEndian, toByteOffset: 8, as: UInt32.self)
        sink.base.storeBytes(of: length.littleEndian, toByteOffset: 12, as: UInt32.self)
        sink.base.storeBytes(of: Manifest.checksum(sink.bytes).littleEndian, toByteOffset: 16, as: UInt32.self)
        return sink
    }

    /// Over everything but the checksum itself.
    private static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        CRC32C.update(
            CRC32C.update(0, UnsafeRawBufferPointer(rebasing: bytes[..<16])), UnsafeRawBufferPointer(rebasing: bytes[headerSize...]))
    }

    init() {}

    init(decoding bytes: [UInt8], path: String) throws(StorageError) {
        guard bytes.count >= Manifest.headerSize else { throw StorageError(.decode, path, .corrupt("only \(bytes.count) bytes")) }
        var cursor = Cursor(bytes: bytes)
        guard cursor.take(UInt64.self) == Manifest.magic else { throw StorageError(.decode, path, .corrupt("not a manifest")) }
        let version = cursor.take(UInt32.self)
        let length = cursor.take(UInt32.self)
        let checksum = cursor.take(UInt32.self)
        guard Int(length) == bytes.count - Manifest.headerSize, checksum == bytes.withUnsafeBytes({ Manifest.checksum($0) }) else {
            throw StorageError(.decode, path, .corrupt("checksum does not match"))
        }
        // Whatever a later version changes, the first 20 bytes mean the same: this is not damage.
        guard version == Manifest.version else {
            throw StorageError(.decode, path, .refused("written by another version (format \(version)), this program reads \(Manifest.version)"))
        }
        sequence = cursor.take(UInt64.self)
        appliedIndex = cursor.take(UInt64.self)
        appliedTerm = cursor.take(UInt64.self)
        compactedRevision = cursor.take(Int64.self)
        tail = LogTail(segment: cursor.take(UInt32.self), end: cursor.take(UInt64.self))
        if cursor.take(UInt32.self) != 0 {
            checkpoint = Checkpoint(
                sequence: cursor.take(UInt64.self), fileLength: cursor.take(UInt64.self),
                position: LogPosition(
                    segment: cursor.take(UInt32.self), offset: cursor.take(UInt64.self),
                    appliedIndex: cursor.take(UInt64.self), appliedTerm: cursor.take(UInt64.self)))
        }
        let count = cursor.take(UInt32.self)
        for _ in 0..<min(Int(count), bytes.count / 16) {
            let id = cursor.take(UInt32.self)
            guard let kind = SegmentKind(rawValue: UInt8(truncatingIfNeeded: cursor.take(UInt32.self))) else {
                throw StorageError(.decode, path, .corrupt("segment \(id) is of an unknown kind"))
            }
            segments.append(SegmentEntry(id: id, kind: kind, syncedLength: cursor.take(UInt64.self)))
        }
        guard !cursor.isShort, cursor.position == bytes.count, segments.count == Int(count) else {
            throw StorageError(.decode, path, .corrupt("its length does not fit its content"))
        }
    }

    private struct Cursor {
        let bytes: [UInt8]
        var position = 0
        /// More was taken than there is.
        var isShort = false

        mutating func take<T: FixedWidthInteger>(_ type: T.Type) -> T {
            let size = MemoryLayout<T>.size
            guard position + size <= bytes.count else {
                isShort = true
                return 0
            }
            defer { position += size }
            return T(littleEndian: bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: position, as: T.self) })
        }
    }
}
