// Reads one file of the write-ahead log, record by record, and tells a torn end from damage by etcd's rule.

import Wire

struct WALDecoder {
    struct Record {
        let type: UInt64
        let crc: UInt32
        /// Valid until the next call.
        let data: UnsafeRawBufferPointer
    }

    enum Step {
        case record(Record)
        case end
        /// The bytes end in the middle of a record, as a power loss leaves them.
        case torn(String)
        case corrupt(String)
    }

    let file: any File
    let size: UInt64
    /// Torn writes can be told from damage only in the last file; every other was synced before the next began.
    let isLast: Bool
    /// Records whose checksum is wrong are handed out too.
    var toleratesMismatch = false
    /// What was wrong with the checksum of the record handed out last.
    private(set) var mismatch: String?
    /// End of the last valid record.
    private(set) var offset: UInt64 = 0
    /// Running checksum after it.
    private(set) var crc: UInt32
    private let buffer = ByteSink(capacity: WALFormat.scanBytes)
    private var bufferStart: UInt64 = 0

    init(_ file: any File, isLast: Bool, crc: UInt32) throws(StorageError) {
        self.file = file
        self.isLast = isLast
        self.crc = crc
        size = try file.size()
    }

    mutating func next() throws(StorageError) -> Step {
        if offset == size { return .end }
        guard let field = try view(8, at: offset) else { return .torn("half a length field at \(offset)") }
        let length = UInt64(littleEndian: field.loadUnaligned(as: UInt64.self))
        if length == 0 { return .end }
        let recordSize = length & 0x00FF_FFFF_FFFF_FFFF
        let pad = length >> 63 != 0 ? (length >> 56) & 7 : 0
        guard recordSize + pad <= size - offset - 8, let bytes = try view(Int(recordSize + pad), at: offset + 8) else {
            return .torn("the record at \(offset) is longer than the file")
        }
        guard let record = decode(UnsafeRawBufferPointer(rebasing: bytes[..<Int(recordSize)])) else {
            return broken(bytes, "the record at \(offset) cannot be decoded")
        }
        mismatch = nil
        if record.type == WALFormat.RecordType.checksum.rawValue {
            // The first thing in a file; nothing to compare with where reading begins.
            if crc != 0, crc != record.crc {
                mismatch = "crc mismatch: the file does not continue the one before"
                guard toleratesMismatch else { return .corrupt(mismatch!) }
            }
            crc = record.crc
        } else {
            let running = CRC32C.update(crc, record.data)
            if running != record.crc {
                let step = broken(bytes, "crc mismatch in the record at \(offset)")
                guard toleratesMismatch, case .corrupt(let text) = step else { return step }
                mismatch = text
            }
            crc = running
        }
        offset += 8 + recordSize + pad
        return .record(record)
    }

    /// A record that is wrong was torn if one of the sectors it covers holds nothing but zeros.
    private func broken(_ bytes: UnsafeRawBufferPointer, _ text: String) -> Step {
        guard isLast else { return .corrupt(text) }
        var position = 0
        while position < bytes.count {
            let sectorLeft = WALFormat.sectorBytes - (offset + 8 + UInt64(position)) % WALFormat.sectorBytes
            let end = min(bytes.count, position + Int(sectorLeft))
            if bytes[position..<end].allSatisfy({ $0 == 0 }) { return .torn(text) }
            position = end
        }
        return .corrupt(text)
    }

    private func decode(_ bytes: UnsafeRawBufferPointer) -> Record? {
        var reader = ProtobufReader(bytes)
        var type: UInt64 = 0
        var crc: UInt32 = 0
        var data = UnsafeRawBufferPointer(start: nil, count: 0)
        do throws(ProtobufError) {
            while let (field, wireType) = try reader.next() {
                switch field {
                case 1: type = try reader.uint64(wireType)
                case 2: crc = UInt32(truncatingIfNeeded: try reader.uint64(wireType))
                case 3: data = try reader.bytes(wireType)
                default: try reader.skip(wireType, field: field)
                }
            }
        } catch {
            return nil
        }
        return Record(type: type, crc: crc, data: data)
    }

    /// `count` bytes at `position`, which never goes back; nil if the file is shorter.
    private mutating func view(_ count: Int, at position: UInt64) throws(StorageError) -> UnsafeRawBufferPointer? {
        guard UInt64(count) <= size - position else { return nil }
        let skipped = Int(position - bufferStart)
        if buffer.count - skipped < count {
            buffer.removeFirst(min(skipped, buffer.count))
            bufferStart = position
            let wanted = min(max(count, WALFormat.scanBytes), Int(clamping: size - position)) - buffer.count
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
        let start = Int(position - bufferStart)
        return UnsafeRawBufferPointer(rebasing: buffer.bytes[start..<(start + count)])
    }
}
