// Messages of the Auth service: users, roles, permissions. Rare, so read and written as plain values.

/// authpb.Permission: what a role may do with one key or one interval of keys.
public struct Permission: Sendable, Equatable {
    public enum Kind: Int32, Sendable {
        case read = 0, write = 1, readWrite = 2

        /// The name in log lines.
        public var name: String {
            switch self {
            case .read: "READ"
            case .write: "WRITE"
            case .readWrite: "READWRITE"
            }
        }
    }

    public var kind: Kind
    public var key: [UInt8]
    /// Empty: one key; one zero byte: no end.
    public var rangeEnd: [UInt8]

    public init(kind: Kind, key: [UInt8], rangeEnd: [UInt8] = []) {
        self.kind = kind
        self.key = key
        self.rangeEnd = rangeEnd
    }

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        self.init(kind: .read, key: [])
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            // A number that is none of them grants nothing but reading.
            case 1: kind = Kind(rawValue: try reader.int32(type)) ?? .read
            case 2: key = try reader.array(type)
            case 3: rangeEnd = try reader.array(type)
            default: try reader.skip(type, field: field)
            }
        }
    }

    public func encode(to sink: ByteSink) {
        sink.field(1, Int64(kind.rawValue))
        sink.field(2, key)
        sink.field(3, rangeEnd)
    }
}

/// AuthUserAddRequest, AuthUserChangePasswordRequest and AuthenticateRequest: a name with a secret.
public struct PasswordRequest: Sendable, Equatable {
    public var name = ""
    public var password = ""
    /// Of a new user only.
    public var hasNoPassword = false
    /// Base64 of the bcrypt text, made by the member that proposes the request.
    public var hashedPassword = ""

    /// Which of the three messages the bytes are: their fields differ after the first two.
    public enum Message: Sendable { case authenticate, add, change }

    public init(_ message: Message, decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch (field, message) {
            case (1, _): name = try reader.string(type)
            case (2, _): password = try reader.string(type)
            case (3, .add):
                var options = ProtobufReader(try reader.bytes(type))
                while let (field, type) = try options.next() {
                    if field == 1 { hasNoPassword = try options.bool(type) } else { try options.skip(type, field: field) }
                }
            case (3, .change), (4, .add): hashedPassword = try reader.string(type)
            default: try reader.skip(type, field: field)
            }
        }
    }

    public func encode(_ message: Message, to sink: ByteSink) {
        sink.field(1, name)
        sink.field(2, password)
        switch message {
        case .authenticate: break
        case .add:
            if hasNoPassword { sink.message(3) { $0.field(1, true) } }
            sink.field(4, hashedPassword)
        case .change: sink.field(3, hashedPassword)
        }
    }
}

/// InternalAuthenticateRequest: a password was right, so every member makes the token.
public struct InternalAuthenticateRequest: Sendable, Equatable {
    public var name: String
    /// What the token begins with.
    public var simpleToken: String

    public init(name: String, simpleToken: String) {
        self.name = name
        self.simpleToken = simpleToken
    }

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        self.init(name: "", simpleToken: "")
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: name = try reader.string(type)
            case 3: simpleToken = try reader.string(type)
            default: try reader.skip(type, field: field)
            }
        }
    }

    public func encode(to sink: ByteSink) {
        sink.field(1, name)
        sink.field(3, simpleToken)
    }
}

/// Requests that name a user, a role, or a user and a role, in this order.
public struct NamesRequest: Sendable, Equatable {
    public var first = ""
    public var second = ""

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: first = try reader.string(type)
            case 2: second = try reader.string(type)
            default: try reader.skip(type, field: field)
            }
        }
    }
}

/// AuthRoleGrantPermissionRequest
public struct RoleGrantPermissionRequest: Sendable, Equatable {
    public var role = ""
    public var permission: Permission?

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: role = try reader.string(type)
            case 2: permission = try Permission(decoding: try reader.bytes(type))
            default: try reader.skip(type, field: field)
            }
        }
    }
}

/// AuthRoleRevokePermissionRequest
public struct RoleRevokePermissionRequest: Sendable, Equatable {
    public var role = ""
    public var key: [UInt8] = []
    public var rangeEnd: [UInt8] = []

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: role = try reader.string(type)
            case 2: key = try reader.array(type)
            case 3: rangeEnd = try reader.array(type)
            default: try reader.skip(type, field: field)
            }
        }
    }
}
