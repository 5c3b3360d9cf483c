// The write-ahead log's bytes, as etcd defines them: file names, frames, records. docs/wal.md tells the whole.

import Wire

enum WALFormat {
    /// 64 × 1000 × 1000, not 64 MiB.
    static let segmentBytes: UInt64 = 64_000_000
    static let pageBytes: UInt64 = 4096
    static let bufferBytes = 128 * 1024
    /// Buffer of a reader; grows to the largest record met.
    static let scanBytes = 1 << 20
    /// Disks write sectors of at least this size whole or not at all.
    static let sectorBytes: UInt64 = 512

    /// `SEQUENCE-INDEX.wal`: INDEX is the first entry that may be in the file.
    static func name(sequence: UInt64, index: LogIndex) -> String {
        hex(sequence, digits: 16) + "-" + hex(index, digits: 16) + ".wal"
    }

    static func parse(_ name: String) -> (sequence: UInt64, index: LogIndex)? {
        let bytes = Array(name.utf8)
        guard bytes.count == 37, name.hasSuffix(".wal"), bytes[16] == UInt8(ascii: "-"),
            let sequence = UInt64(name.prefix(16), radix: 16), let index = UInt64(name.dropFirst(17).prefix(16), radix: 16)
        else { return nil }
        return (sequence, index)
    }

    enum RecordType: UInt64 {
        case metadata = 1, entry = 2, state = 3, checksum = 4, snapshot = 5
    }

    /// Appends a frame with a record whose data is `head` followed by `body`; returns the new running checksum.
    ///
    /// - Parameter crc: the running checksum before this record.
    static func append(
        _ type: RecordType, head: UnsafeRawBufferPointer, body: UnsafeRawBufferPointer, crc: UInt32, to sink: ByteSink
    ) -> UInt32 {
        let crc = CRC32C.update(CRC32C.update(crc, head), body)
        let length = head.count + body.count
        let size = 2 + 1 + varintSize(UInt64(crc)) + lengthDelimitedSize(length)
        let pad = appendLength(size, to: sink)
        sink.always(1, type.rawValue)
        sink.always(2, UInt64(crc))
        sink.tag(3, .bytes)
        sink.varint(UInt64(length))
        sink.append(head)
        sink.append(body)
        sink.append(zeros: pad)
        return crc
    }

    /// Appends the record that carries the running checksum over from the file before.
    static func appendChecksum(_ crc: UInt32, to sink: ByteSink) {
        let pad = appendLength(2 + 1 + varintSize(UInt64(crc)), to: sink)
        sink.always(1, RecordType.checksum.rawValue)
        sink.always(2, UInt64(crc))
        sink.append(zeros: pad)
    }

    /// The length field: 56 bits of length; if there is padding, its size with the top bit set. Returns the padding.
    private static func appendLength(_ size: Int, to sink: ByteSink) -> Int {
        let pad = (8 - size % 8) % 8
        var field = UInt64(size)
        if pad != 0 { field |= UInt64(0x80 | pad) << 56 }
        withUnsafeBytes(of: field.littleEndian) { sink.append($0) }
        return pad
    }
}

/// Who wrote the log; the same in all its files.
public struct WALMetadata: Sendable, Equatable {
    public var memberID: MemberID
    public var clusterID: ClusterID

    public init(memberID: MemberID, clusterID: ClusterID) {
        self.memberID = memberID
        self.clusterID = clusterID
    }

    func encode(to sink: ByteSink) {
        sink.always(1, memberID.rawValue)
        sink.always(2, clusterID.rawValue)
    }

    init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        self.init(memberID: .none, clusterID: ClusterID(0))
        while let (field, type) = try reader.next() {
            switch field {
            case 1: memberID = MemberID(try reader.uint64(type))
            case 2: clusterID = ClusterID(try reader.uint64(type))
            default: try reader.skip(type, field: field)
            }
        }
    }
}

/// A point up to which the log is no longer needed, because the state at it is kept elsewhere.
public struct WALSnapshot: Sendable, Equatable {
    public var index: LogIndex
    public var term: Term
    /// Required behind index 0 since etcd 3.5.
    public var configuration: ConfigurationState?

    public init(index: LogIndex = 0, term: Term = 0, configuration: ConfigurationState? = nil) {
        self.index = index
        self.term = term
        self.configuration = configuration
    }

    func encode(to sink: ByteSink) {
        sink.always(1, index)
        sink.always(2, term)
        if let configuration { sink.message(3) { configuration.encode(to: $0) } }
    }

    init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        self.init()
        while let (field, type) = try reader.next() {
            switch field {
            case 1: index = try reader.uint64(type)
            case 2: term = try reader.uint64(type)
            case 3: configuration = try ConfigurationState(decoding: try reader.bytes(type))
            default: try reader.skip(type, field: field)
            }
        }
    }
}

/// Settings of a write-ahead log.
public struct WALOptions: Sendable {
    public var segmentBytes: UInt64 = WALFormat.segmentBytes
    /// Files that are kept at least, needed or not; what is above that and no longer needed is used again or removed.
    public var maximumFiles = 5
    /// `--unsafe-no-fsync`.
    public var skipsSync = false
    /// Prepare the next file, and fill it with zeros, on a thread of the log's own.
    public var preparesInBackground = true

    public init() {}
}
