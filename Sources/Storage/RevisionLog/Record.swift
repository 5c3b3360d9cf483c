// What the revision log consists of: frames of records, and where a record lies.

import Wire

/// Where a record's payload lies. 16 bytes.
public struct RecordLocation: Sendable, Equatable, Hashable {
    public var segment: UInt32
    public var length: UInt32
    /// Of the payload, from the start of the segment's file.
    public var offset: UInt64

    @inlinable
    public init(segment: UInt32, length: UInt32, offset: UInt64) {
        self.segment = segment
        self.length = length
        self.offset = offset
    }
}

public enum RecordKind: UInt8, Sendable {
    /// Payload: the encoded `mvccpb.KeyValue`.
    case put = 0
    /// Payload: a `mvccpb.KeyValue` with the key only.
    case tombstone = 1
    case leaseGrant = 2
    case leaseRevoke = 3
    case metaPut = 4
    case metaDelete = 5
    case compaction = 6

    /// Records of keys stay in the log until their version is released; all others are contained in every
    /// checkpoint, so that garbage collection drops them.
    @inline(__always)
    public var isKeyRecord: Bool { self == .put || self == .tombstone }
}

/// A record as a scan finds it. The payload is a view that is valid during the call that hands it out.
public struct RecordView {
    public let kind: RecordKind
    public let main: Int64
    public let sub: Int32
    public let payload: UnsafeRawBufferPointer
    public let location: RecordLocation
}

/// What stands before the records of one applied entry.
public struct FrameHeader: Sendable, Equatable {
    public let raftIndex: LogIndex
    public let term: Term
}

/// A position between two frames of the log, and the entry that ends there.
public struct LogPosition: Sendable, Equatable {
    public var segment: UInt32
    public var offset: UInt64
    public var appliedIndex: LogIndex
    public var appliedTerm: Term

    public init(segment: UInt32, offset: UInt64, appliedIndex: LogIndex, appliedTerm: Term) {
        self.segment = segment
        self.offset = offset
        self.appliedIndex = appliedIndex
        self.appliedTerm = appliedTerm
    }
}

/// Sizes of the format (docs/format-revision-log.md).
enum RecordFormat {
    /// kind u8, main i64, sub i32, length u32.
    static let recordHeader = 17
    /// length u32, CRC-32C u32, Raft index u64, term u64.
    static let frameHeader = 24
    /// What `length` of a frame counts besides its records: Raft index and term.
    static let frameFixed = 16

    /// Checksum of a frame: its length field, then everything behind the checksum field.
    @inline(__always)
    static func checksum(length: UInt32, body: UnsafeRawBufferPointer) -> UInt32 {
        withUnsafeBytes(of: length.littleEndian) { CRC32C.update(CRC32C.update(0, $0), body) }
    }
}

/// The records of one frame in order.
public struct RecordIterator: IteratorProtocol, Sequence {
    private var position: UnsafeRawPointer
    private let end: UnsafeRawPointer
    private let segment: UInt32
    private var offset: UInt64

    /// - Parameter records: the records of a frame whose checksum is right.
    /// - Parameter offset: where they begin in the segment.
    init(_ records: UnsafeRawBufferPointer, segment: UInt32, offset: UInt64) {
        position = records.baseAddress ?? UnsafeRawPointer(bitPattern: 1)!
        end = position + records.count
        self.segment = segment
        self.offset = offset
    }

    public mutating func next() -> RecordView? {
        guard position < end else { return nil }
        let length = UInt32(littleEndian: (position + 13).loadUnaligned(as: UInt32.self))
        let view = RecordView(
            kind: RecordKind(rawValue: position.load(as: UInt8.self))!,
            main: Int64(littleEndian: (position + 1).loadUnaligned(as: Int64.self)),
            sub: Int32(littleEndian: (position + 9).loadUnaligned(as: Int32.self)),
            payload: UnsafeRawBufferPointer(start: position + RecordFormat.recordHeader, count: Int(length)),
            location: RecordLocation(
                segment: segment, length: length, offset: offset + UInt64(RecordFormat.recordHeader)))
        position += RecordFormat.recordHeader + Int(length)
        offset += UInt64(RecordFormat.recordHeader) + UInt64(length)
        return view
    }

    /// Whether the bytes are a whole number of well-formed records. Checked once per frame, so that `next` need not.
    static func isWellFormed(_ records: UnsafeRawBufferPointer) -> Bool {
        var left = records.count
        guard var position = records.baseAddress else { return left == 0 }
        while left > 0 {
            guard left >= RecordFormat.recordHeader, RecordKind(rawValue: position.load(as: UInt8.self)) != nil else { return false }
            let size = RecordFormat.recordHeader + Int(UInt32(littleEndian: (position + 13).loadUnaligned(as: UInt32.self)))
            guard size <= left else { return false }
            position += size
            left -= size
        }
        return true
    }
}
