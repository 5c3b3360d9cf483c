// Users and roles as the store keeps them: authpb.User and authpb.Role, etcd's encodings.

import Wire

/// authpb.User
public struct AuthUser: Sendable, Equatable {
    public var name: String
    /// The bcrypt text; empty when no password can be right.
    public var password: [UInt8]
    /// Sorted.
    public var roles: [String] = []
    /// Only a client certificate logs this user in.
    public var hasNoPassword: Bool

    public init(name: String, password: [UInt8], hasNoPassword: Bool) {
        self.name = name
        self.password = password
        self.hasNoPassword = hasNoPassword
    }

    /// Reads a stored user.
    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        self.init(name: "", password: [], hasNoPassword: false)
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: name = try reader.string(type)
            case 2: password = try reader.array(type)
            case 3: roles.append(try reader.string(type))
            case 4:
                var options = ProtobufReader(try reader.bytes(type))
                while let (field, type) = try options.next() {
                    if field == 1 { hasNoPassword = try options.bool(type) } else { try options.skip(type, field: field) }
                }
            default: try reader.skip(type, field: field)
            }
        }
    }

    /// The options stand there even when they say nothing, as in etcd's files.
    public func encode(to sink: ByteSink) {
        sink.field(1, name)
        sink.field(2, password)
        for role in roles { sink.always(3, role) }
        sink.message(4) { $0.field(1, hasNoPassword) }
    }

    /// Holders of this role may do everything.
    public static let root = "root"
    public var isRoot: Bool { roles.contains(Self.root) }
}

/// authpb.Role
public struct AuthRole: Sendable, Equatable {
    public var name: String
    /// In ascending order of their keys.
    public var permissions: [Permission] = []

    public init(name: String) { self.name = name }

    /// Reads a stored role.
    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        self.init(name: "")
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: name = try reader.string(type)
            case 2: permissions.append(try Permission(decoding: try reader.bytes(type)))
            default: try reader.skip(type, field: field)
            }
        }
    }

    public func encode(to sink: ByteSink) {
        sink.field(1, name)
        for permission in permissions { sink.message(2) { permission.encode(to: $0) } }
    }
}

/// Keys of the `auth` bucket.
public enum AuthKeys {
    public static let enabled = Array("authEnabled".utf8)
    public static let revision = Array("authRevision".utf8)
}
