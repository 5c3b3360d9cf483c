// Reads a segment's frames one after the other, and tells a torn end from damage.

import Wire

/// Walks the frames of a segment from an offset.
struct FrameScanner {
    let file: any File
    let segment: UInt32
    /// Where the next frame begins.
    private(set) var offset: UInt64
    /// Bytes that may be looked at.
    let end: UInt64
    private let buffer = ByteSink(capacity: RevisionLogLimits.scanBuffer)
    /// Offset in the file of the buffer's first byte.
    private var bufferStart: UInt64

    /// - Parameter end: may lie before `offset`, in a file that was cut short: then there is no frame.
    init(_ file: any File, segment: UInt32, from offset: UInt64, end: UInt64) {
        self.file = file
        self.segment = segment
        self.offset = offset
        self.end = max(offset, end)
        bufferStart = offset
    }

    struct Frame {
        let header: FrameHeader
        let records: RecordIterator
        /// Where the frame begins, and its size.
        let offset: UInt64
        let size: Int
    }

    enum Step {
        case frame(Frame)
        /// No valid frame begins here: the end of what was written, a torn write, or damage.
        case end
    }

    /// The next frame; its views are valid until the next call.
    mutating func next() throws(StorageError) -> Step {
        guard let header = try view(RecordFormat.frameHeader) else { return .end }
        let length = UInt32(littleEndian: header.loadUnaligned(as: UInt32.self))
        let checksum = UInt32(littleEndian: header.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
        guard length >= UInt32(RecordFormat.frameFixed), UInt64(length) <= end - offset else { return .end }
        let size = Int(length) + RecordFormat.frameHeader - RecordFormat.frameFixed
        guard let frame = try view(size) else { return .end }
        let body = UnsafeRawBufferPointer(rebasing: frame[8...])
        guard RecordFormat.checksum(length: length, body: body) == checksum else { return .end }
        let records = UnsafeRawBufferPointer(rebasing: frame[RecordFormat.frameHeader...])
        guard RecordIterator.isWellFormed(records) else { return .end }
        let start = offset
        offset += UInt64(size)
        return .frame(
            Frame(
                header: FrameHeader(
                    raftIndex: UInt64(littleEndian: body.loadUnaligned(as: UInt64.self)),
                    term: UInt64(littleEndian: body.loadUnaligned(fromByteOffset: 8, as: UInt64.self))),
                records: RecordIterator(records, segment: segment, offset: start + UInt64(RecordFormat.frameHeader)),
                offset: start, size: size))
    }

    /// `count` bytes at `offset`, or nil if the segment ends before.
    private mutating func view(_ count: Int) throws(StorageError) -> UnsafeRawBufferPointer? {
        guard UInt64(count) <= end - offset else { return nil }
        let skipped = Int(offset - bufferStart)
        if buffer.count - skipped < count {
            buffer.removeFirst(min(skipped, buffer.count))
            bufferStart = offset
            let wanted = min(max(count, RevisionLogLimits.scanBuffer), Int(clamping: end - offset)) - buffer.count
            var failure: StorageError?
            buffer.append(uninitializedCapacity: wanted) {
                do throws(StorageError) { return try file.read(into: $0, at: bufferStart + UInt64(buffer.count)) } catch {
                    failure = error
                    return 0
                }
            }
            if let failure { throw failure }
            guard buffer.count >= count else { return nil }
        }
        let start = Int(offset - bufferStart)
        return UnsafeRawBufferPointer(rebasing: buffer.bytes[start..<(start + count)])
    }
}
