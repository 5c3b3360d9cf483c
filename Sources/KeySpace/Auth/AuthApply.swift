// Auth requests at apply, and what every other request must be allowed to do there: the member that proposed it
// has only said who asked.

import DatastoreTracing
import Wire

/// Tokens and hashes: what the auth rules need of the member.
public protocol AuthSecrets: Sendable {
    /// Makes a token for a user whose password was right, for the member that checked it to hand out.
    ///
    /// - Parameters:
    ///   - prefix: random letters, chosen by the member that proposed the request.
    ///   - index: the entry that makes the token.
    func issueToken(user: String, prefix: String, index: UInt64, revision: UInt64)
    /// Nobody is logged in any more by tokens that were issued to this user; nil: to anybody.
    func dropTokens(of user: String?)
    /// The bcrypt text of a password that came in the clear, as members before 3.5 proposed it.
    func hash(password: String) -> [UInt8]
}

extension KeySpace {
    /// Whether the request may be applied for who asks.
    func authorize(_ kind: InternalRequestKind, _ body: UnsafeRawBufferPointer, _ who: AuthInfo) throws {
        switch kind {
        case .put: try auth.check(who, try PutRequest(decoding: body), leases)
        case .deleteRange: try auth.check(who, try DeleteRangeRequest(decoding: body))
        case .range: try auth.check(who, try RangeRequest(decoding: body))
        case .txn: try auth.check(who, try TxnRequest(decoding: body), leases)
        case .leaseGrant: try auth.checkUser(who)
        case .leaseRevoke:
            try auth.checkUser(who)
            let keys = leases.keys(of: try LeaseRevokeRequest(decoding: body).id) ?? []
            try auth.checkLeaseKeys(who, .write, keys)
        case .alarm:
            if try AlarmRequest(decoding: body).action == .get { try auth.checkUser(who) } else { try auth.checkAdmin(who) }
        case .authUserGet:
            guard try NamesRequest(decoding: body).first != who.username else { return }
            try auth.checkAdmin(who)
        case .authRoleGet:
            let role = try NamesRequest(decoding: body).first
            if let user = auth.current.view.users[who.username], user.roles.contains(role) { return }
            try auth.checkAdmin(who)
        case .authEnable, .authDisable, .authUserAdd, .authUserDelete, .authUserChangePassword, .authUserGrantRole,
            .authUserRevokeRole, .authUserList, .authRoleList, .authRoleAdd, .authRoleDelete,
            .authRoleGrantPermission, .authRoleRevokePermission:
            try auth.checkAdmin(who)
        // The server's own requests, and what anybody may ask.
        case .compaction, .leaseCheckpoint, .authenticate, .authStatus, .clusterVersionSet, .memberAttributesSet,
            .downgradeInfoSet, .downgradeVersionTest:
            break
        }
    }

    /// Applies a request of the Auth service.
    func applyAuth(_ kind: InternalRequestKind, _ body: UnsafeRawBufferPointer, index: UInt64, term: Term, to sink: ByteSink?) throws {
        func head() {
            if let sink { headers.append(to: sink, revision: revisionInTxn, term: term) }
        }
        switch kind {
        case .authStatus:
            head()
            sink?.field(2, auth.isEnabled)
            sink?.field(3, auth.revision)
            return
        case .authenticate:
            try authenticate(try InternalAuthenticateRequest(decoding: body), index: index)
            head()
            return
        case .authUserGet:
            let user = try auth.current.view.user(try NamesRequest(decoding: body).first)
            head()
            for role in user.roles { sink?.always(2, role) }
            return
        case .authUserList:
            head()
            for name in auth.current.view.users.keys.sorted(by: Self.ascending) { sink?.always(2, name) }
            return
        case .authRoleList:
            head()
            for name in auth.current.view.roles.keys.sorted(by: Self.ascending) { sink?.always(2, name) }
            return
        case .authRoleGet:
            let role = try auth.current.view.role(try NamesRequest(decoding: body).first)
            head()
            let everything = Permission(kind: .readWrite, key: [], rangeEnd: [0])
            for permission in role.name == AuthUser.root ? [everything] : role.permissions {
                sink?.message(2) { permission.encode(to: $0) }
            }
            return
        default:
            try change(kind, body)
            head()
        }
    }

    private static func ascending(_ a: String, _ b: String) -> Bool { a.utf8.lexicographicallyPrecedes(b.utf8) }

    private func authenticate(_ request: InternalAuthenticateRequest, index: UInt64) throws(CallError) {
        guard auth.isEnabled else { throw .authNotEnabled }
        guard let user = auth.current.view.users[request.name] else { throw .authFailed }
        guard !user.hasNoPassword else { throw .noPasswordUser }
        authSecrets?.issueToken(user: user.name, prefix: request.simpleToken, index: index, revision: auth.revision)
    }

    private func change(_ kind: InternalRequestKind, _ body: UnsafeRawBufferPointer) throws {
        switch kind {
        case .authEnable:
            let records = try auth.update { (view) throws(CallError) in try view.enable() }
            storeAuth(records)
            if records.isEmpty { log?.info("authentication is already enabled; ignored auth enable request") } else { log?.info("enabled authentication") }
        case .authDisable:
            let records = try auth.update { (view) throws(CallError) in view.disable() }
            storeAuth(records)
            authSecrets?.dropTokens(of: nil)
            if !records.isEmpty { log?.info("disabled authentication") }
        case .authUserAdd:
            let request = try PasswordRequest(.add, decoding: body)
            let password = request.hasNoPassword ? [] : try password(of: request)
            storeAuth(
                try auth.update { (view) throws(CallError) in
                    try view.addUser(name: request.name, password: password, hasNoPassword: request.hasNoPassword)
                })
            log?.info("added a user", .string("user-name", request.name))
        case .authUserDelete:
            let name = try NamesRequest(decoding: body).first
            let roles = auth.current.view.users[name]?.roles ?? []
            storeAuth(try auth.update { (view) throws(CallError) in try view.deleteUser(name) })
            authSecrets?.dropTokens(of: name)
            log?.info("deleted a user", .string("user-name", name), .strings("user-roles", roles))
        case .authUserChangePassword:
            let request = try PasswordRequest(.change, decoding: body)
            let password = try password(of: request)
            storeAuth(try auth.update { (view) throws(CallError) in try view.changePassword(request.name, to: password) })
            authSecrets?.dropTokens(of: request.name)
            log?.info(
                "changed a password of a user", .string("user-name", request.name),
                .strings("user-roles", auth.current.view.users[request.name]?.roles ?? []))
        case .authUserGrantRole:
            let request = try NamesRequest(decoding: body)
            let records = try auth.update { (view) throws(CallError) in try view.grant(role: request.second, to: request.first) }
            storeAuth(records)
            let roles = LogField.strings("user-roles", auth.current.view.users[request.first]?.roles ?? [])
            if records.isEmpty {
                log?.warn(
                    "ignored grant role request to a user", .string("user-name", request.first), roles,
                    .string("duplicate-role-name", request.second))
            } else {
                log?.info(
                    "granted a role to a user", .string("user-name", request.first), roles,
                    .string("added-role-name", request.second))
            }
        case .authUserRevokeRole:
            let request = try NamesRequest(decoding: body)
            let old = auth.current.view.users[request.first]?.roles ?? []
            storeAuth(try auth.update { (view) throws(CallError) in try view.revoke(role: request.second, from: request.first) })
            log?.info(
                "revoked a role from a user", .string("user-name", request.first), .strings("old-user-roles", old),
                .strings("new-user-roles", auth.current.view.users[request.first]?.roles ?? []),
                .string("revoked-role-name", request.second))
        case .authRoleAdd:
            let name = try NamesRequest(decoding: body).first
            storeAuth(try auth.update { (view) throws(CallError) in try view.addRole(name) })
            log?.info("created a role", .string("role-name", name))
        case .authRoleDelete:
            let name = try NamesRequest(decoding: body).first
            storeAuth(try auth.update { (view) throws(CallError) in try view.deleteRole(name) })
            log?.info("deleted a role", .string("role-name", name))
        case .authRoleGrantPermission:
            let request = try RoleGrantPermissionRequest(decoding: body)
            storeAuth(try auth.update { (view) throws(CallError) in try view.grant(request.permission, to: request.role) })
            if let permission = request.permission {
                log?.info(
                    "granted/updated a permission to a user", .string("user-name", request.role),
                    .string("permission-name", permission.kind.name), .string("key", String(decoding: permission.key, as: UTF8.self)),
                    .string("range-end", String(decoding: permission.rangeEnd, as: UTF8.self)))
            }
        case .authRoleRevokePermission:
            let request = try RoleRevokePermissionRequest(decoding: body)
            storeAuth(
                try auth.update { (view) throws(CallError) in
                    try view.revoke(key: request.key, rangeEnd: request.rangeEnd, from: request.role)
                })
            log?.info(
                "revoked a permission on range", .string("role-name", request.role),
                .string("key", String(decoding: request.key, as: UTF8.self)),
                .string("range-end", String(decoding: request.rangeEnd, as: UTF8.self)))
        default:
            preconditionFailure("\(kind) is no request of the Auth service")
        }
    }

    /// The bcrypt text that a request stores.
    private func password(of request: PasswordRequest) throws(CallError) -> [UInt8] {
        if !request.password.isEmpty, request.hashedPassword.isEmpty {
            return authSecrets?.hash(password: request.password) ?? []
        }
        guard let text = Base64.decode(request.hashedPassword.utf8) else { throw .noPasswordUser }
        return text
    }
}

extension CallError {
    /// A password for a user that has none, or one that cannot be read.
    public static let noPasswordUser = CallError(
        .unknown, "auth: authentication failed, password was given for no password user")
}
