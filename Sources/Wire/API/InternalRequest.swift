// InternalRaftRequest: what a proposal carries through the Raft log. The client's own bytes are wrapped,
// not decoded and encoded again.

/// The body of a proposal by its field number in InternalRaftRequest.
public enum InternalRequestKind: Int, Sendable {
    case range = 3, put = 4, deleteRange = 5, txn = 6, compaction = 7
    case leaseGrant = 8, leaseRevoke = 9, alarm = 10, leaseCheckpoint = 11
    case authEnable = 1000, authDisable = 1011, authenticate = 1012, authStatus = 1013
    case authUserAdd = 1100, authUserDelete = 1101, authUserGet = 1102, authUserChangePassword = 1103
    case authUserGrantRole = 1104, authUserRevokeRole = 1105, authUserList = 1106, authRoleList = 1107
    case authRoleAdd = 1200, authRoleDelete = 1201, authRoleGet = 1202
    case authRoleGrantPermission = 1203, authRoleRevokePermission = 1204
    case clusterVersionSet = 1300, memberAttributesSet = 1301, downgradeInfoSet = 1302
    case downgradeVersionTest = 9900
}

public struct InternalRequest {
    /// Wakes the waiting caller; unique among the members.
    public var id: UInt64 = 0
    public var kind: InternalRequestKind?
    public var body = UnsafeRawBufferPointer(start: nil, count: 0)
    /// Who asked, as the proposing member has verified it; empty: nobody is known.
    public var username = UnsafeRawBufferPointer(start: nil, count: 0)
    /// The auth revision of that moment; 0: nobody is known.
    public var authRevision: UInt64 = 0

    /// Reads an entry's data in place. A field that is not known leaves `kind` nil.
    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            if field == 1 {
                if id == 0 { id = try reader.uint64(type) } else { _ = try reader.uint64(type) }
            } else if field == 100 {
                var header = ProtobufReader(try reader.bytes(type))
                while let (field, type) = try header.next() {
                    switch field {
                    case 1: id = try header.uint64(type)
                    case 2: username = try header.bytes(type)
                    case 3: authRevision = try header.uint64(type)
                    default: try header.skip(type, field: field)
                    }
                }
            } else if field == 2 {
                // A request of etcd's old key space, wrapped or bare, in a log that etcd up to 3.5 wrote. It has no effect
                // here, and behind it the fields of a bare one mean something else.
                kind = nil
                return
            } else if let known = InternalRequestKind(rawValue: field) {
                kind = known
                body = try reader.bytes(type)
            } else {
                try reader.skip(type, field: field)
            }
        }
    }

    /// A proposal's bytes in one allocation of exact size. Fields in ascending order, as etcd writes them.
    public static func encode(kind: InternalRequestKind, body: UnsafeRawBufferPointer, id: UInt64) -> [UInt8] {
        let bodyTag = UInt64(kind.rawValue) << 3 | 2
        let header = varintFieldSize(id)
        let bodySize = varintSize(bodyTag) + varintSize(UInt64(body.count)) + body.count
        let headerSize = 2 + varintSize(UInt64(header)) + header
        return [UInt8](unsafeUninitializedCapacity: bodySize + headerSize) { buffer, count in
            var at = UnsafeMutableRawPointer(buffer.baseAddress!)
            if kind.rawValue < 100 {
                at = put(tag: bodyTag, bytes: body, at: at)
                at = putHeader(header, id: id, at: at)
            } else {
                at = putHeader(header, id: id, at: at)
                at = put(tag: bodyTag, bytes: body, at: at)
            }
            count = at - UnsafeMutableRawPointer(buffer.baseAddress!)
            precondition(count == bodySize + headerSize)
        }
    }

    /// A proposal in the name of a user, who travels in its header.
    public static func encode(
        kind: InternalRequestKind, body: UnsafeRawBufferPointer, id: UInt64, username: String, authRevision: UInt64
    ) -> [UInt8] {
        let sink = ByteSink(capacity: body.count + username.utf8.count + 48)
        func header() {
            sink.message(100) {
                $0.field(1, id)
                $0.field(2, username)
                $0.field(3, authRevision)
            }
        }
        if kind.rawValue < 100 { sink.always(kind.rawValue, body) }
        header()
        if kind.rawValue >= 100 { sink.always(kind.rawValue, body) }
        return sink.array()
    }

    private static func put(tag: UInt64, bytes: UnsafeRawBufferPointer, at start: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer {
        var at = putVarint(tag, at: start)
        at = putVarint(UInt64(bytes.count), at: at)
        if let source = bytes.baseAddress { at.copyMemory(from: source, byteCount: bytes.count) }
        return at + bytes.count
    }

    private static func putHeader(_ size: Int, id: UInt64, at start: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer {
        var at = putVarint(100 << 3 | 2, at: start)
        at = putVarint(UInt64(size), at: at)
        guard id != 0 else { return at }
        at = putVarint(1 << 3, at: at)
        return putVarint(id, at: at)
    }

    @inline(__always)
    private static func putVarint(_ value: UInt64, at start: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer {
        var at = start
        var value = value
        while value >= 0x80 {
            at.storeBytes(of: UInt8(truncatingIfNeeded: value) | 0x80, as: UInt8.self)
            at += 1
            value >>= 7
        }
        at.storeBytes(of: UInt8(truncatingIfNeeded: value), as: UInt8.self)
        return at + 1
    }
}
