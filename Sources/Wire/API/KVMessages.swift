// Requests of the KV service as views into the received bytes: decoding copies nothing.
// Field numbers: rpc.proto of the v3 API.

public struct RangeRequest {
    public var key = UnsafeRawBufferPointer(start: nil, count: 0)
    public var rangeEnd = UnsafeRawBufferPointer(start: nil, count: 0)
    public var limit: Int64 = 0
    public var revision: Int64 = 0
    /// Raw enum numbers: an unknown one is the caller's error, not the decoder's.
    public var sortOrder: Int32 = 0
    public var sortTarget: Int32 = 0
    public var serializable = false
    public var keysOnly = false
    public var countOnly = false
    public var minModRevision: Int64 = 0
    public var maxModRevision: Int64 = 0
    public var minCreateRevision: Int64 = 0
    public var maxCreateRevision: Int64 = 0

    public init() {}

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: key = try reader.bytes(type)
            case 2: rangeEnd = try reader.bytes(type)
            case 3: limit = try reader.int64(type)
            case 4: revision = try reader.int64(type)
            case 5: sortOrder = try reader.int32(type)
            case 6: sortTarget = try reader.int32(type)
            case 7: serializable = try reader.bool(type)
            case 8: keysOnly = try reader.bool(type)
            case 9: countOnly = try reader.bool(type)
            case 10: minModRevision = try reader.int64(type)
            case 11: maxModRevision = try reader.int64(type)
            case 12: minCreateRevision = try reader.int64(type)
            case 13: maxCreateRevision = try reader.int64(type)
            default: try reader.skip(type, field: field)
            }
        }
    }
}

public struct PutRequest {
    public var key = UnsafeRawBufferPointer(start: nil, count: 0)
    public var value = UnsafeRawBufferPointer(start: nil, count: 0)
    public var lease: Int64 = 0
    public var wantsPrevious = false
    public var ignoreValue = false
    public var ignoreLease = false

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: key = try reader.bytes(type)
            case 2: value = try reader.bytes(type)
            case 3: lease = try reader.int64(type)
            case 4: wantsPrevious = try reader.bool(type)
            case 5: ignoreValue = try reader.bool(type)
            case 6: ignoreLease = try reader.bool(type)
            default: try reader.skip(type, field: field)
            }
        }
    }
}

public struct DeleteRangeRequest {
    public var key = UnsafeRawBufferPointer(start: nil, count: 0)
    public var rangeEnd = UnsafeRawBufferPointer(start: nil, count: 0)
    public var wantsPrevious = false

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: key = try reader.bytes(type)
            case 2: rangeEnd = try reader.bytes(type)
            case 3: wantsPrevious = try reader.bool(type)
            default: try reader.skip(type, field: field)
            }
        }
    }
}

public struct CompactionRequest {
    public var revision: Int64 = 0
    public var physical = false

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: revision = try reader.int64(type)
            case 2: physical = try reader.bool(type)
            default: try reader.skip(type, field: field)
            }
        }
    }
}
