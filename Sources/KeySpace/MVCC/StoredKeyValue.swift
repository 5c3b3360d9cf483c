// Reading fields of a stored `mvccpb.KeyValue` in place. Records were written by this store or come from a peer's
// snapshot; their frame's checksum was verified, so a malformed one is treated as having no such field.

import Wire

/// A decoded view of a stored record.
public struct StoredKeyValue {
    public var key = UnsafeRawBufferPointer(start: nil, count: 0)
    public var created: Int64 = 0
    public var modified: Int64 = 0
    public var version: Int64 = 0
    public var value = UnsafeRawBufferPointer(start: nil, count: 0)
    public var lease: Int64 = 0

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: key = try reader.bytes(type)
            case 2: created = try reader.int64(type)
            case 3: modified = try reader.int64(type)
            case 4: version = try reader.int64(type)
            case 5: value = try reader.bytes(type)
            case 6: lease = try reader.int64(type)
            default: try reader.skip(type, field: field)
            }
        }
    }

    /// The value of an encoded record.
    public static func value(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        guard let record = try? StoredKeyValue(decoding: bytes) else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        return record.value
    }
}
