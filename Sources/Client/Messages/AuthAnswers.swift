// The answers of the Auth, Lock and Election services.

import Wire

public struct AuthStatusResponse: ResponseMessage {
    public var header = Header()
    public var isEnabled = false
    public var authRevision: UInt64 = 0

    public init(_ bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: header = try Header(try reader.bytes(type))
            case 2: isEnabled = try reader.bool(type)
            case 3: authRevision = try reader.uint64(type)
            default: try reader.skip(type, field: field)
            }
        }
    }
}

struct AuthenticateResponse: ResponseMessage {
    var token = ""

    init(_ bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            if field == 2 { token = try reader.string(type) } else { try reader.skip(type, field: field) }
        }
    }
}

/// Names of users or roles.
public struct NamesResponse: ResponseMessage {
    public var header = Header()
    public var names: [String] = []

    public init(_ bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: header = try Header(try reader.bytes(type))
            case 2: names.append(try reader.string(type))
            default: try reader.skip(type, field: field)
            }
        }
    }
}

public struct RoleResponse: ResponseMessage {
    public var header = Header()
    public var permissions: [Permission] = []

    public init(_ bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: header = try Header(try reader.bytes(type))
            case 2: permissions.append(try Permission(decoding: try reader.bytes(type)))
            default: try reader.skip(type, field: field)
            }
        }
    }
}

public struct LockResponse: ResponseMessage {
    public var header = Header()
    /// Exists as long as the lock is held.
    public var key: [UInt8] = []

    public init(_ bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: header = try Header(try reader.bytes(type))
            case 2: key = try reader.array(type)
            default: try reader.skip(type, field: field)
            }
        }
    }
}

/// Stands for a won election.
public struct LeadershipKey: Sendable, Equatable {
    public var name: [UInt8] = []
    public var key: [UInt8] = []
    public var revision: Int64 = 0
    public var lease: Int64 = 0

    public init() {}

    init(_ bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: name = try reader.array(type)
            case 2: key = try reader.array(type)
            case 3: revision = try reader.int64(type)
            case 4: lease = try reader.int64(type)
            default: try reader.skip(type, field: field)
            }
        }
    }

    func encode(to sink: ByteSink) {
        sink.field(1, name)
        sink.field(2, key)
        sink.field(3, revision)
        sink.field(4, lease)
    }
}

public struct CampaignResponse: ResponseMessage {
    public var header = Header()
    public var leader = LeadershipKey()

    public init(_ bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: header = try Header(try reader.bytes(type))
            case 2: leader = try LeadershipKey(try reader.bytes(type))
            default: try reader.skip(type, field: field)
            }
        }
    }
}

public struct LeaderResponse: ResponseMessage {
    public var header = Header()
    public var kv: KeyValue?

    public init(_ bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: header = try Header(try reader.bytes(type))
            case 2: kv = try KeyValue(try reader.bytes(type))
            default: try reader.skip(type, field: field)
            }
        }
    }
}
