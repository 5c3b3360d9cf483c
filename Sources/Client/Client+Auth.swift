// Users, roles, permissions.

import Wire

extension Client {
    private func names(
        _ method: Method, _ first: String, _ second: String = "", timeout: Duration?
    ) async throws(ClientError) -> Answer<HeaderResponse> {
        try await answer(method, timeout: timeout) {
            $0.field(1, first)
            $0.field(2, second)
        }
    }

    public func enableAuth(timeout: Duration? = nil) async throws(ClientError) -> Answer<HeaderResponse> {
        try await answer(.authEnable, timeout: timeout)
    }
    public func disableAuth(timeout: Duration? = nil) async throws(ClientError) -> Answer<HeaderResponse> {
        try await answer(.authDisable, timeout: timeout)
    }
    public func authStatus(timeout: Duration? = nil) async throws(ClientError) -> Answer<AuthStatusResponse> {
        try await answer(.authStatus, timeout: timeout)
    }

    /// - Parameter password: nil for a user who comes with a certificate only.
    public func addUser(_ name: String, password: String?, timeout: Duration? = nil) async throws(ClientError) -> Answer<HeaderResponse> {
        try await answer(.userAdd, timeout: timeout) { sink in
            sink.field(1, name)
            sink.field(2, password ?? "")
            sink.message(3) { $0.field(1, password == nil) }
        }
    }
    public func deleteUser(_ name: String, timeout: Duration? = nil) async throws(ClientError) -> Answer<HeaderResponse> {
        try await names(.userDelete, name, timeout: timeout)
    }
    public func changePassword(
        of name: String, to password: String, timeout: Duration? = nil
    ) async throws(ClientError) -> Answer<HeaderResponse> {
        try await names(.userChangePassword, name, password, timeout: timeout)
    }
    public func grantRole(_ role: String, to user: String, timeout: Duration? = nil) async throws(ClientError) -> Answer<HeaderResponse> {
        try await names(.userGrantRole, user, role, timeout: timeout)
    }
    public func revokeRole(_ role: String, from user: String, timeout: Duration? = nil) async throws(ClientError) -> Answer<HeaderResponse> {
        try await names(.userRevokeRole, user, role, timeout: timeout)
    }
    /// The roles of a user.
    public func user(_ name: String, timeout: Duration? = nil) async throws(ClientError) -> Answer<NamesResponse> {
        try await answer(.userGet, timeout: timeout) { $0.field(1, name) }
    }
    public func users(timeout: Duration? = nil) async throws(ClientError) -> Answer<NamesResponse> {
        try await answer(.userList, timeout: timeout)
    }
    public func addRole(_ name: String, timeout: Duration? = nil) async throws(ClientError) -> Answer<HeaderResponse> {
        try await names(.roleAdd, name, timeout: timeout)
    }
    public func deleteRole(_ name: String, timeout: Duration? = nil) async throws(ClientError) -> Answer<HeaderResponse> {
        try await names(.roleDelete, name, timeout: timeout)
    }
    /// The permissions of a role.
    public func role(_ name: String, timeout: Duration? = nil) async throws(ClientError) -> Answer<RoleResponse> {
        try await answer(.roleGet, timeout: timeout) { $0.field(1, name) }
    }
    public func roles(timeout: Duration? = nil) async throws(ClientError) -> Answer<NamesResponse> {
        try await answer(.roleList, timeout: timeout)
    }
    public func grantPermission(
        _ permission: Permission, to role: String, timeout: Duration? = nil
    ) async throws(ClientError) -> Answer<HeaderResponse> {
        try await answer(.roleGrantPermission, timeout: timeout) { sink in
            sink.field(1, role)
            sink.message(2) { permission.encode(to: $0) }
        }
    }
    public func revokePermission(
        key: [UInt8], rangeEnd: [UInt8] = [], from role: String, timeout: Duration? = nil
    ) async throws(ClientError) -> Answer<HeaderResponse> {
        try await answer(.roleRevokePermission, timeout: timeout) {
            $0.field(1, role)
            $0.field(2, key)
            $0.field(3, rangeEnd)
        }
    }
}
