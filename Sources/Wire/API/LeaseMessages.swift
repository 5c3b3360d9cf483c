// Messages of the Lease service and the stored form of a lease. All are a few integers, so requests are
// plain values; the one answer that can be long, the list of leases, is appended item by item.
// Field numbers: rpc.proto and lease.proto of the v3 API.

public struct LeaseGrantRequest: Sendable, Equatable {
    /// Seconds; raised to the server's minimum.
    public var ttl: Int64 = 0
    /// 0: the server picks one.
    public var id: Int64 = 0

    public init(ttl: Int64, id: Int64 = 0) {
        self.ttl = ttl
        self.id = id
    }

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: ttl = try reader.int64(type)
            case 2: id = try reader.int64(type)
            default: try reader.skip(type, field: field)
            }
        }
    }

    public func encode(to sink: ByteSink) {
        sink.field(1, ttl)
        sink.field(2, id)
    }
}

public struct LeaseRevokeRequest: Sendable, Equatable {
    public var id: Int64 = 0

    public init(id: Int64) { self.id = id }

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: id = try reader.int64(type)
            default: try reader.skip(type, field: field)
            }
        }
    }

    public func encode(to sink: ByteSink) { sink.field(1, id) }
}

public struct LeaseKeepAliveRequest: Sendable, Equatable {
    public var id: Int64 = 0

    public init(id: Int64) { self.id = id }

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: id = try reader.int64(type)
            default: try reader.skip(type, field: field)
            }
        }
    }

    public func encode(to sink: ByteSink) { sink.field(1, id) }
}

public struct LeaseTimeToLiveRequest: Sendable, Equatable {
    public var id: Int64 = 0
    /// The answer lists the attached keys.
    public var wantsKeys = false

    public init(id: Int64, wantsKeys: Bool) {
        self.id = id
        self.wantsKeys = wantsKeys
    }

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: id = try reader.int64(type)
            case 2: wantsKeys = try reader.bool(type)
            default: try reader.skip(type, field: field)
            }
        }
    }

    public func encode(to sink: ByteSink) {
        sink.field(1, id)
        sink.field(2, wantsKeys)
    }
}

public struct LeaseCheckpoint: Sendable, Equatable {
    public var id: Int64 = 0
    /// Seconds.
    public var remainingTTL: Int64 = 0

    public init(id: Int64, remainingTTL: Int64) {
        self.id = id
        self.remainingTTL = remainingTTL
    }

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: id = try reader.int64(type)
            case 2: remainingTTL = try reader.int64(type)
            default: try reader.skip(type, field: field)
            }
        }
    }

    public func encode(to sink: ByteSink) {
        sink.field(1, id)
        sink.field(2, remainingTTL)
    }
}

public struct LeaseCheckpointRequest: Sendable, Equatable {
    public var checkpoints: [LeaseCheckpoint] = []

    public init(checkpoints: [LeaseCheckpoint]) { self.checkpoints = checkpoints }

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: checkpoints.append(try LeaseCheckpoint(decoding: try reader.bytes(type)))
            default: try reader.skip(type, field: field)
            }
        }
    }

    public func encode(to sink: ByteSink) {
        for checkpoint in checkpoints { sink.message(1) { checkpoint.encode(to: $0) } }
    }
}

/// leasepb.Lease: what is stored of a lease.
public struct LeaseRecord: Sendable, Equatable {
    public var id: Int64 = 0
    /// Granted seconds.
    public var ttl: Int64 = 0
    /// Seconds left at the last checkpoint; 0 is none.
    public var remainingTTL: Int64 = 0

    public init(id: Int64, ttl: Int64, remainingTTL: Int64 = 0) {
        self.id = id
        self.ttl = ttl
        self.remainingTTL = remainingTTL
    }

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: id = try reader.int64(type)
            case 2: ttl = try reader.int64(type)
            case 3: remainingTTL = try reader.int64(type)
            default: try reader.skip(type, field: field)
            }
        }
    }

    public func encode(to sink: ByteSink) {
        sink.field(1, id)
        sink.field(2, ttl)
        sink.field(3, remainingTTL)
    }
}

/// What follows the header (field 1) in answers of the Lease service.
extension ByteSink {
    /// LeaseGrantResponse.
    public func leaseGrantResponse(id: Int64, ttl: Int64) {
        field(2, id)
        field(3, ttl)
    }

    /// LeaseKeepAliveResponse; a TTL of 0 says that the lease is gone.
    public func leaseKeepAliveResponse(id: Int64, ttl: Int64) {
        field(2, id)
        field(3, ttl)
    }

    /// LeaseTimeToLiveResponse without its keys; a TTL of -1 says that the lease is unknown.
    public func leaseTimeToLiveResponse(id: Int64, ttl: Int64, grantedTTL: Int64) {
        field(2, id)
        field(3, ttl)
        field(4, grantedTTL)
    }

    /// One key of a LeaseTimeToLiveResponse.
    public func leaseTimeToLiveKey(_ key: UnsafeRawBufferPointer) { always(5, key) }

    /// One item of a LeaseLeasesResponse.
    public func leaseStatus(id: Int64) {
        message(2, size: varintFieldSize(UInt64(bitPattern: id))) { $0.field(1, id) }
    }
}

/// leasepb.LeaseInternalRequest and -Response: how members forward LeaseTimeToLive to the leader. Both wrap
/// the public message in field 1.
public enum LeaseInternalMessage {
    /// The wrapped message; empty if the field is missing.
    public static func unwrap(_ bytes: UnsafeRawBufferPointer) throws(ProtobufError) -> UnsafeRawBufferPointer {
        var inner = UnsafeRawBufferPointer(start: nil, count: 0)
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: inner = try reader.bytes(type)
            default: try reader.skip(type, field: field)
            }
        }
        return inner
    }

    public static func wrap(_ message: UnsafeRawBufferPointer, to sink: ByteSink) { sink.always(1, message) }
}
