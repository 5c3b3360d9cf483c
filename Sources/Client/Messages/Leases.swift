// The Lease service's answers.

import Wire

public struct LeaseGrantResponse: ResponseMessage {
    public var header = Header()
    public var id: Int64 = 0
    /// Seconds.
    public var ttl: Int64 = 0
    public var error = ""

    public init(_ bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: header = try Header(try reader.bytes(type))
            case 2: id = try reader.int64(type)
            case 3: ttl = try reader.int64(type)
            case 4: error = try reader.string(type)
            default: try reader.skip(type, field: field)
            }
        }
    }
}

public struct LeaseKeepAliveResponse: ResponseMessage {
    public var header = Header()
    public var id: Int64 = 0
    /// Seconds; 0: there is no such lease.
    public var ttl: Int64 = 0

    public init(_ bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: header = try Header(try reader.bytes(type))
            case 2: id = try reader.int64(type)
            case 3: ttl = try reader.int64(type)
            default: try reader.skip(type, field: field)
            }
        }
    }
}

public struct LeaseTimeToLiveResponse: ResponseMessage {
    public var header = Header()
    public var id: Int64 = 0
    /// Seconds left; -1: the lease is gone.
    public var ttl: Int64 = 0
    public var grantedTTL: Int64 = 0
    public var keys: [[UInt8]] = []

    public init(_ bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: header = try Header(try reader.bytes(type))
            case 2: id = try reader.int64(type)
            case 3: ttl = try reader.int64(type)
            case 4: grantedTTL = try reader.int64(type)
            case 5: keys.append(try reader.array(type))
            default: try reader.skip(type, field: field)
            }
        }
    }
}

public struct LeaseListResponse: ResponseMessage {
    public var header = Header()
    public var leases: [Int64] = []

    public init(_ bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: header = try Header(try reader.bytes(type))
            case 2:
                var id: Int64 = 0
                var inner = ProtobufReader(try reader.bytes(type))
                while let (field, type) = try inner.next() {
                    if field == 1 { id = try inner.int64(type) } else { try inner.skip(type, field: field) }
                }
                leases.append(id)
            default: try reader.skip(type, field: field)
            }
        }
    }
}
