// auth, user, role.

import Client
import CommandLineTools
import Wire

extension ControlTool {
    // MARK: auth

    func authCommand() -> Command {
        let enable = Command("enable", "Enables authentication")
        enable.runAsync = { [unowned self] invocation in
            guard invocation.arguments.isEmpty else { throw badArguments("auth enable command does not accept any arguments") }
            let client = try await self.client(invocation.console)
            let limit = self.timeout
            try await attempt {
                do throws(ClientError) { _ = try await client.enableAuth(timeout: limit) } catch where error.matches(.rootRoleNotExist) {
                    do throws(ClientError) { _ = try await client.addRole("root", timeout: limit) } catch where error.matches(.roleAlreadyExists) {}
                    _ = try await client.grantRole("root", to: "root", timeout: limit)
                    _ = try await client.enableAuth(timeout: limit)
                }
            }
            invocation.console.print("Authentication Enabled")
        }
        let disable = Command("disable", "Disables authentication")
        disable.runAsync = { [unowned self] invocation in
            guard invocation.arguments.isEmpty else { throw badArguments("auth disable command does not accept any arguments") }
            let client = try await self.client(invocation.console)
            _ = try await attempt { try await client.disableAuth(timeout: self.timeout) }
            invocation.console.print("Authentication Disabled")
        }
        let status = Command("status", "Returns authentication status")
        status.runAsync = { [unowned self] invocation in
            guard invocation.arguments.isEmpty else { throw badArguments("auth status command does not accept any arguments") }
            let client = try await self.client(invocation.console)
            let answer = try await attempt { try await client.authStatus(timeout: self.timeout) }
            let printer = self.printer(invocation.console)
            try printer.show(answer, "AuthStatusResponse", fields: nil) { response in
                printer.line("Authentication Status: \(response.isEnabled)")
                printer.line("AuthRevision: \(response.authRevision)")
            }
        }
        return parent("auth <enable or disable>", "Enable or disable authentication", disable, enable, status)
    }

    /// A change that is told in one line.
    private func told(_ answer: Answer<HeaderResponse>, _ type: String, _ text: String, _ console: Console) throws {
        let printer = printer(console)
        try printer.show(answer, type) { printer.header($0.header) } simple: { _ in printer.line(text) }
    }

    private func arguments(_ invocation: Invocation, _ count: Int, _ text: String) throws -> [String] {
        guard invocation.arguments.count == count else { throw badArguments(text) }
        return invocation.arguments
    }

    // MARK: user

    func userCommand() -> Command {
        parent(
            "user <subcommand>", "User related commands", userAddCommand(), userDeleteCommand(), userGetCommand(), userListCommand(),
            passwordCommand(), userRoleCommand(isGrant: true), userRoleCommand(isGrant: false))
    }

    private func newPassword(of name: String, interactive: Bool, _ console: Console) throws -> String {
        guard interactive else {
            guard let line = readLine() else { throw badArguments("failed to read password from stdin") }
            return trim(line)
        }
        let first = Terminal.password("Password of \(name): ", console) ?? ""
        let second = Terminal.password("Type password of \(name) again for confirmation: ", console) ?? ""
        guard first == second else { throw badArguments("given passwords are different") }
        return first
    }

    private func userAddCommand() -> Command {
        let command = Command("add <user name or user:password> [options]", "Adds a new user")
        let interactive = command.flags.add("interactive", true, "Read password from stdin instead of interactive terminal")
        let given = command.flags.add("new-user-password", "", "Supply password from the command line flag")
        let noPassword = command.flags.add("no-password", false, "Create a user without password (CN based auth only)")
        command.runAsync = { [unowned self] invocation in
            let name = try self.arguments(invocation, 1, "user add command requires user name as its argument")[0]
            var user = name
            var password: String?
            if !noPassword.value {
                if !given.value.isEmpty {
                    password = given.value
                } else if let colon = name.firstIndex(of: ":") {
                    user = String(name[..<colon])
                    password = String(name[name.index(after: colon)...])
                    guard !user.isEmpty else { throw badArguments("empty user name is not allowed") }
                } else {
                    password = try self.newPassword(of: user, interactive: interactive.value, invocation.console)
                }
            }
            let client = try await self.client(invocation.console)
            let answer = try await attempt { try await client.addUser(user, password: password, timeout: self.timeout) }
            try self.told(answer, "AuthUserAddResponse", "User \(user) created", invocation.console)
        }
        return command
    }

    private func userDeleteCommand() -> Command {
        let command = Command("delete <user name>", "Deletes a user")
        command.runAsync = { [unowned self] invocation in
            let name = try self.arguments(invocation, 1, "user delete command requires user name as its argument")[0]
            let client = try await self.client(invocation.console)
            let answer = try await attempt { try await client.deleteUser(name, timeout: self.timeout) }
            try self.told(answer, "AuthUserDeleteResponse", "User \(name) deleted", invocation.console)
        }
        return command
    }

    private func userGetCommand() -> Command {
        let command = Command("get <user name> [options]", "Gets detailed information of a user")
        let detail = command.flags.add("detail", false, "Show permissions of roles granted to the user")
        command.runAsync = { [unowned self] invocation in
            let name = try self.arguments(invocation, 1, "user get command requires user name as its argument")[0]
            let client = try await self.client(invocation.console)
            let answer = try await attempt { try await client.user(name, timeout: self.timeout) }
            let printer = self.printer(invocation.console)
            guard detail.value else {
                return try printer.show(answer, "AuthUserGetResponse", fields: nil) { response in
                    printer.line("User: \(name)")
                    printer.line("Roles:" + response.names.map { " " + $0 }.joined())
                }
            }
            printer.line("User: \(name)")
            for role in answer.message.names {
                printer.line("")
                let answer = try await attempt { try await client.role(role, timeout: self.timeout) }
                try printer.role(answer, role)
            }
        }
        return command
    }

    private func userListCommand() -> Command {
        let command = Command("list", "Lists all users")
        command.runAsync = { [unowned self] invocation in
            _ = try self.arguments(invocation, 0, "user list command requires no arguments")
            let client = try await self.client(invocation.console)
            let answer = try await attempt { try await client.users(timeout: self.timeout) }
            let printer = self.printer(invocation.console)
            try printer.show(answer, "AuthUserListResponse", fields: nil) { for name in $0.names { printer.line(name) } }
        }
        return command
    }

    private func passwordCommand() -> Command {
        let command = Command("passwd <user name> [options]", "Changes password of user")
        let interactive = command.flags.add("interactive", true, "If true, read password from stdin instead of interactive terminal")
        command.runAsync = { [unowned self] invocation in
            let name = try self.arguments(invocation, 1, "user passwd command requires user name as its argument")[0]
            let password = try self.newPassword(of: name, interactive: interactive.value, invocation.console)
            let client = try await self.client(invocation.console)
            let answer = try await attempt { try await client.changePassword(of: name, to: password, timeout: self.timeout) }
            try self.told(answer, "AuthUserChangePasswordResponse", "Password updated", invocation.console)
        }
        return command
    }

    private func userRoleCommand(isGrant: Bool) -> Command {
        let command =
            isGrant
            ? Command("grant-role <user name> <role name>", "Grants a role to a user")
            : Command("revoke-role <user name> <role name>", "Revokes a role from a user")
        command.runAsync = { [unowned self] invocation in
            let text =
                isGrant
                ? "user grant command requires user name and role name as its argument"
                : "user revoke-role requires user name and role name as its argument"
            let names = try self.arguments(invocation, 2, text)
            let client = try await self.client(invocation.console)
            if isGrant {
                let answer = try await attempt { try await client.grantRole(names[1], to: names[0], timeout: self.timeout) }
                try self.told(answer, "AuthUserGrantRoleResponse", "Role \(names[1]) is granted to user \(names[0])", invocation.console)
            } else {
                let answer = try await attempt { try await client.revokeRole(names[1], from: names[0], timeout: self.timeout) }
                try self.told(answer, "AuthUserRevokeRoleResponse", "Role \(names[1]) is revoked from user \(names[0])", invocation.console)
            }
        }
        return command
    }

    // MARK: role

    func roleCommand() -> Command {
        parent(
            "role <subcommand>", "Role related commands", roleAddCommand(), roleDeleteCommand(), roleGetCommand(), roleListCommand(),
            permissionCommand(isGrant: true), permissionCommand(isGrant: false))
    }

    private func roleAddCommand() -> Command {
        let command = Command("add <role name>", "Adds a new role")
        command.runAsync = { [unowned self] invocation in
            let name = try self.arguments(invocation, 1, "role add command requires role name as its argument")[0]
            let client = try await self.client(invocation.console)
            let answer = try await attempt { try await client.addRole(name, timeout: self.timeout) }
            try self.told(answer, "AuthRoleAddResponse", "Role \(name) created", invocation.console)
        }
        return command
    }

    private func roleDeleteCommand() -> Command {
        let command = Command("delete <role name>", "Deletes a role")
        command.runAsync = { [unowned self] invocation in
            let name = try self.arguments(invocation, 1, "role delete command requires role name as its argument")[0]
            let client = try await self.client(invocation.console)
            let answer = try await attempt { try await client.deleteRole(name, timeout: self.timeout) }
            try self.told(answer, "AuthRoleDeleteResponse", "Role \(name) deleted", invocation.console)
        }
        return command
    }

    private func roleGetCommand() -> Command {
        let command = Command("get <role name>", "Gets detailed information of a role")
        command.runAsync = { [unowned self] invocation in
            let name = try self.arguments(invocation, 1, "role get command requires role name as its argument")[0]
            let client = try await self.client(invocation.console)
            let answer = try await attempt { try await client.role(name, timeout: self.timeout) }
            try self.printer(invocation.console).role(answer, name)
        }
        return command
    }

    private func roleListCommand() -> Command {
        let command = Command("list", "Lists all roles")
        command.runAsync = { [unowned self] invocation in
            _ = try self.arguments(invocation, 0, "role list command requires no arguments")
            let client = try await self.client(invocation.console)
            let answer = try await attempt { try await client.roles(timeout: self.timeout) }
            let printer = self.printer(invocation.console)
            try printer.show(answer, "AuthRoleListResponse") { response in
                printer.header(response.header)
                printer.line("\"Roles\" :" + response.names.map { " " + GoText.quoted($0) }.joined())
            } simple: { for name in $0.names { printer.line(name) } }
        }
        return command
    }

    private func permissionCommand(isGrant: Bool) -> Command {
        let command =
            isGrant
            ? Command("grant-permission [options] <role name> <permission type> <key> [endkey]", "Grants a key to a role")
            : Command("revoke-permission <role name> <key> [endkey]", "Revokes a key from a role")
        let isPrefix = command.flags.add("prefix", false, isGrant ? "grant a prefix permission" : "revoke a prefix permission")
        let isFrom = command.flags.add(
            "from-key", false,
            isGrant ? "grant a permission of keys that are greater than or equal to the given key using byte compare" : "revoke a permission of keys that are greater than or equal to the given key using byte compare")
        command.runAsync = { [unowned self] invocation in
            let arguments = invocation.arguments
            guard arguments.count >= (isGrant ? 3 : 2) else {
                throw badArguments(
                    isGrant
                        ? "role grant command requires role name, permission type, and key [endkey] as its argument"
                        : "role revoke-permission command requires role name and key [endkey] as its argument")
            }
            var kind = Permission.Kind.read
            if isGrant {
                switch arguments[1].uppercased() {
                case "READ": kind = .read
                case "WRITE": kind = .write
                case "READWRITE": kind = .readWrite
                default: throw badArguments("invalid permission type: \(arguments[1])")
                }
            }
            let range = try Self.permissionRange(Array(arguments.dropFirst(isGrant ? 2 : 1)), isPrefix.value, isFrom.value)
            let client = try await self.client(invocation.console)
            let role = arguments[0]
            if isGrant {
                let permission = Permission(kind: kind, key: range.key, rangeEnd: range.end)
                let answer = try await attempt { try await client.grantPermission(permission, to: role, timeout: self.timeout) }
                return try self.told(answer, "AuthRoleGrantPermissionResponse", "Role \(role) updated", invocation.console)
            }
            let answer = try await attempt {
                try await client.revokePermission(key: range.key, rangeEnd: range.end, from: role, timeout: self.timeout)
            }
            let key = String(decoding: range.key, as: UTF8.self), end = String(decoding: range.end, as: UTF8.self)
            var what = "key \(key)"
            if !range.end.isEmpty { what = range.end == [0] ? "range [\(key), <open ended>" : "range [\(key), \(end))" }
            try self.told(
                answer, "AuthRoleRevokePermissionResponse", "Permission of \(what) is revoked from role \(role)", invocation.console)
        }
        return command
    }

    private static func permissionRange(
        _ arguments: [String], _ isPrefix: Bool, _ isFrom: Bool
    ) throws -> (key: [UInt8], end: [UInt8]) {
        let key = Array(arguments[0].utf8)
        if isPrefix, isFrom, arguments.count == 1 || key.isEmpty { throw badArguments("--from-key and --prefix flags are mutually exclusive") }
        if key.isEmpty, isPrefix || isFrom { return ([0], [0]) }
        let first = key.isEmpty ? [0] : key
        guard arguments.count > 1 else {
            if isPrefix { return (first, KeyRange.end(ofPrefix: key)) }
            return (first, isFrom ? [0] : [])
        }
        if isPrefix { throw badArguments("unexpected endkey argument with --prefix flag") }
        if isFrom { throw badArguments("unexpected endkey argument with --from-key flag") }
        return (first, Array(arguments[1].utf8))
    }
}

extension Printer {
    func role(_ answer: Answer<RoleResponse>, _ name: String) throws {
        try show(answer, "AuthRoleGetResponse") { response in
            header(response.header)
            for permission in response.permissions {
                field("PermType", " " + permission.kind.name)
                field("Key", GoText.quoted(permission.key))
                field("RangeEnd", GoText.quoted(permission.rangeEnd))
            }
        } simple: { response in
            line("Role \(name)")
            for (title, kinds) in [("KV Read:", [Permission.Kind.read, .readWrite]), ("KV Write:", [.write, .readWrite])] {
                line(title)
                for permission in response.permissions where kinds.contains(permission.kind) { range(permission) }
            }
        }
    }

    private func range(_ permission: Permission) {
        let key = String(decoding: permission.key, as: UTF8.self), end = String(decoding: permission.rangeEnd, as: UTF8.self)
        if permission.rangeEnd.isEmpty { return line("\t\(key)") }
        if permission.rangeEnd == [0] { return line("\t[\(key), <open ended>") }
        let note = permission.rangeEnd == KeyRange.end(ofPrefix: permission.key) ? " (prefix \(key))" : ""
        line("\t[\(key), \(end))\(note)")
    }
}
