// Users, roles and whether authentication is on: one value, changed by pure functions that return what must be
// stored. The rules are those of etcd's auth store, with its errors in its order.

import Wire

public struct AuthView: Sendable, Equatable {
    public var isEnabled = false
    /// Moves with every change that may alter what somebody is allowed to do.
    public var revision: UInt64 = 1
    public var users: [String: AuthUser] = [:]
    public var roles: [String: AuthRole] = [:]

    public init() {}

    /// Restores the view from stored metadata. What cannot be read is an error: nobody may get in by a damaged rule.
    public mutating func restore(bucket: MetaBucket, key: [UInt8], value: [UInt8]) throws(ProtobufError) {
        switch bucket {
        case .auth where key == AuthKeys.enabled: isEnabled = value == [1]
        case .auth where key == AuthKeys.revision:
            revision = value.reduce(0) { $0 << 8 | UInt64($1) }
        case .authUsers:
            let user = try Self.decode(value) { (bytes) throws(ProtobufError) in try AuthUser(decoding: bytes) }
            users[user.name] = user
        case .authRoles:
            let role = try Self.decode(value) { (bytes) throws(ProtobufError) in try AuthRole(decoding: bytes) }
            roles[role.name] = role
        default: break
        }
    }

    private static func decode<R>(
        _ value: [UInt8], _ body: (UnsafeRawBufferPointer) throws(ProtobufError) -> R
    ) throws(ProtobufError) -> R {
        let result = value.withUnsafeBytes { bytes -> Result<R, ProtobufError> in
            do throws(ProtobufError) { return .success(try body(bytes)) } catch { return .failure(error) }
        }
        return try result.get()
    }

    // MARK: Records

    private mutating func bumpRevision() -> ClusterRecord {
        revision += 1
        return revisionRecord
    }

    private var revisionRecord: ClusterRecord {
        .put(bucket: .auth, key: AuthKeys.revision, value: (0..<8).map { UInt8(truncatingIfNeeded: revision >> (56 - 8 * $0)) })
    }

    private func enabledRecord(_ isOn: Bool) -> ClusterRecord {
        .put(bucket: .auth, key: AuthKeys.enabled, value: [isOn ? 1 : 0])
    }

    private mutating func put(_ user: AuthUser) -> ClusterRecord {
        users[user.name] = user
        let sink = ByteSink(capacity: 128)
        user.encode(to: sink)
        return .put(bucket: .authUsers, key: Array(user.name.utf8), value: sink.array())
    }

    private mutating func put(_ role: AuthRole) -> ClusterRecord {
        roles[role.name] = role
        let sink = ByteSink(capacity: 128)
        role.encode(to: sink)
        return .put(bucket: .authRoles, key: Array(role.name.utf8), value: sink.array())
    }

    // MARK: On and off

    /// Does nothing when it is on already.
    public mutating func enable() throws(CallError) -> [ClusterRecord] {
        guard !isEnabled else { return [] }
        guard let root = users[AuthUser.root] else { throw .rootUserNotExist }
        guard root.isRoot else { throw .rootRoleNotExist }
        isEnabled = true
        // The revision is stored with the first change that anybody could see.
        return [enabledRecord(true), revisionRecord]
    }

    public mutating func disable() -> [ClusterRecord] {
        guard isEnabled else { return [] }
        isEnabled = false
        return [enabledRecord(false), bumpRevision()]
    }

    // MARK: Users

    /// - Parameter password: the bcrypt text.
    public mutating func addUser(name: String, password: [UInt8], hasNoPassword: Bool) throws(CallError) -> [ClusterRecord] {
        guard !name.isEmpty else { throw .userEmpty }
        guard users[name] == nil else { throw .userAlreadyExists }
        let user = AuthUser(name: name, password: hasNoPassword ? [] : password, hasNoPassword: hasNoPassword)
        return [put(user), bumpRevision()]
    }

    public func user(_ name: String) throws(CallError) -> AuthUser {
        guard let user = users[name] else { throw .userNotFound }
        return user
    }

    public func role(_ name: String) throws(CallError) -> AuthRole {
        guard let role = roles[name] else { throw .roleNotFound }
        return role
    }

    public mutating func deleteUser(_ name: String) throws(CallError) -> [ClusterRecord] {
        if isEnabled, name == AuthUser.root { throw .invalidAuthManagement }
        _ = try user(name)
        users[name] = nil
        return [.delete(bucket: .authUsers, key: Array(name.utf8)), bumpRevision()]
    }

    public mutating func changePassword(_ name: String, to password: [UInt8]) throws(CallError) -> [ClusterRecord] {
        var user = try user(name)
        user.password = user.hasNoPassword ? [] : password
        return [put(user), bumpRevision()]
    }

    /// Granting what is granted already changes nothing.
    public mutating func grant(role: String, to name: String) throws(CallError) -> [ClusterRecord] {
        var user = try user(name)
        if role != AuthUser.root { _ = try self.role(role) }
        guard !user.roles.contains(role) else { return [] }
        user.roles.append(role)
        user.roles.sort { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        return [put(user), bumpRevision()]
    }

    public mutating func revoke(role: String, from name: String) throws(CallError) -> [ClusterRecord] {
        if isEnabled, name == AuthUser.root, role == AuthUser.root { throw .invalidAuthManagement }
        var user = try user(name)
        guard let index = user.roles.firstIndex(of: role) else { throw .roleNotGranted }
        user.roles.remove(at: index)
        return [put(user), bumpRevision()]
    }

    // MARK: Roles

    public mutating func addRole(_ name: String) throws(CallError) -> [ClusterRecord] {
        guard !name.isEmpty else { throw .roleEmpty }
        guard roles[name] == nil else { throw .roleAlreadyExists }
        return [put(AuthRole(name: name)), bumpRevision()]
    }

    /// Takes the role from all who hold it, too.
    public mutating func deleteRole(_ name: String) throws(CallError) -> [ClusterRecord] {
        if isEnabled, name == AuthUser.root { throw .invalidAuthManagement }
        _ = try role(name)
        roles[name] = nil
        var records: [ClusterRecord] = [.delete(bucket: .authRoles, key: Array(name.utf8))]
        for var user in users.values.sorted(by: { $0.name < $1.name }) {
            guard let index = user.roles.firstIndex(of: name) else { continue }
            user.roles.remove(at: index)
            records.append(put(user))
        }
        records.append(bumpRevision())
        return records
    }

    public mutating func grant(_ permission: Permission?, to name: String) throws(CallError) -> [ClusterRecord] {
        guard let permission else { throw .permissionNotGiven }
        guard permission.isValid else { throw .invalidAuthManagement }
        var role = try role(name)
        if let index = role.permissions.firstIndex(where: { $0.key == permission.key && $0.rangeEnd == permission.rangeEnd }) {
            role.permissions[index].kind = permission.kind
        } else {
            // Behind those with the same key.
            let index = role.permissions.firstIndex { permission.key.lexicographicallyPrecedes($0.key) }
            role.permissions.insert(permission, at: index ?? role.permissions.count)
        }
        return [put(role), bumpRevision()]
    }

    public mutating func revoke(key: [UInt8], rangeEnd: [UInt8], from name: String) throws(CallError) -> [ClusterRecord] {
        var role = try role(name)
        guard let index = role.permissions.firstIndex(where: { $0.key == key && $0.rangeEnd == rangeEnd }) else {
            throw .permissionNotGranted
        }
        role.permissions.remove(at: index)
        return [put(role), bumpRevision()]
    }

    /// What a user may do by all its roles.
    func permissions(of user: AuthUser) -> PermissionSet {
        PermissionSet(user.roles.lazy.flatMap { roles[$0]?.permissions ?? [] })
    }
}

extension Permission {
    /// A key, and an end that is none, open, or behind the key.
    var isValid: Bool {
        guard !key.isEmpty else { return false }
        return rangeEnd.isEmpty || rangeEnd == [0] || key.lexicographicallyPrecedes(rangeEnd)
    }
}
