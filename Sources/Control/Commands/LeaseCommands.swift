// lease grant, revoke, timetolive, list, keep-alive.

import Client
import CommandLineTools
import Wire

extension ControlTool {
    func leaseCommand() -> Command {
        parent(
            "lease <subcommand>", "Lease related commands", grantCommand(), revokeCommand(), timeToLiveCommand(), leaseListCommand(),
            keepAliveCommand())
    }

    private func grantCommand() -> Command {
        let command = Command("grant <ttl>", "Creates leases")
        command.runAsync = { [unowned self] invocation in
            guard invocation.arguments.count == 1 else { throw badArguments("lease grant command needs TTL argument") }
            let ttl: Int64
            switch Numbers.decimal(invocation.arguments[0]) {
            case .success(let number): ttl = number
            case .failure(let error): throw badArguments("bad TTL (\(error))")
            }
            let client = try await self.client(invocation.console)
            let answer = try await attempt(frame: { "failed to grant lease (\($0))" }) {
                try await client.grantLease(ttl: ttl, timeout: self.timeout)
            }
            try self.printer(invocation.console).grant(answer.message)
        }
        return command
    }

    private func revokeCommand() -> Command {
        let command = Command("revoke <leaseID>", "Revokes leases")
        command.runAsync = { [unowned self] invocation in
            guard invocation.arguments.count == 1 else { throw badArguments("lease revoke command needs 1 argument") }
            let id = try leaseID(invocation.arguments[0])
            let client = try await self.client(invocation.console)
            let answer = try await attempt(frame: { "failed to revoke lease (\($0))" }) {
                try await client.revokeLease(id, timeout: self.timeout)
            }
            try self.printer(invocation.console).revoke(answer, id)
        }
        return command
    }

    private func timeToLiveCommand() -> Command {
        let command = Command("timetolive <leaseID> [options]", "Get lease information")
        let keys = command.flags.add("keys", false, "Get keys attached to this lease")
        command.runAsync = { [unowned self] invocation in
            guard invocation.arguments.count == 1 else { throw badArguments("lease timetolive command needs lease ID as argument") }
            let id = try leaseID(invocation.arguments[0])
            let client = try await self.client(invocation.console)
            let answer = try await attempt(status: Status.badConnection) {
                try await client.leaseTimeToLive(id, keys: keys.value, timeout: self.timeout)
            }
            try self.printer(invocation.console).timeToLive(answer.message, keys: keys.value)
        }
        return command
    }

    private func leaseListCommand() -> Command {
        let command = Command("list", "List all active leases")
        command.runAsync = { [unowned self] invocation in
            let client = try await self.client(invocation.console)
            let answer = try await attempt(status: Status.badConnection) { try await client.leases(timeout: self.timeout) }
            try self.printer(invocation.console).leases(answer.message)
        }
        return command
    }

    private func keepAliveCommand() -> Command {
        let command = Command("keep-alive [options] <leaseID>", "Keeps leases alive (renew)")
        let isOnce = command.flags.add("once", false, "Resets the keep-alive time to its original value and exits immediately")
        command.runAsync = { [unowned self] invocation in
            guard invocation.arguments.count == 1 else { throw badArguments("lease keep-alive command needs lease ID as argument") }
            let id = try leaseID(invocation.arguments[0])
            let client = try await self.client(invocation.console)
            let printer = self.printer(invocation.console)
            if isOnce.value {
                let answer = try await attempt(status: Status.badConnection) { try await client.keepAliveOnce(id) }
                return try printer.keepAlive(answer.message)
            }
            try await attempt(status: Status.badConnection) {
                for try await answer in client.keepAlive(id) {
                    try printer.keepAlive(answer.message)
                    invocation.console.flush()
                }
            }
            if printer.format == .simple { printer.line("lease \(hex(UInt64(bitPattern: id), 16)) expired or revoked.") }
        }
        return command
    }
}

extension Printer {
    private func id(_ lease: Int64) -> String { hex(UInt64(bitPattern: lease), 16) }

    /// Answers about leases have the header's members among their own.
    private func flat(_ header: Header, _ members: String) {
        var parts: [String] = []
        if header.clusterID != 0 { parts.append("\"cluster_id\":\(header.clusterID)") }
        if header.memberID != 0 { parts.append("\"member_id\":\(header.memberID)") }
        if header.revision != 0 { parts.append("\"revision\":\(header.revision)") }
        if header.raftTerm != 0 { parts.append("\"raft_term\":\(header.raftTerm)") }
        line("{" + (parts + [members]).joined(separator: ",") + "}")
    }

    /// As protobuf, these answers are nothing but their header.
    private func headerBytes(_ header: Header) {
        let sink = ByteSink()
        sink.field(1, header.clusterID)
        sink.field(2, header.memberID)
        sink.field(3, header.revision)
        sink.field(4, header.raftTerm)
        raw(sink.array())
    }

    func grant(_ response: LeaseGrantResponse) throws {
        switch format {
        case .simple: line("lease \(id(response.id)) granted with TTL(\(response.ttl)s)")
        case .fields:
            header(response.header)
            field("ID", lease: response.id)
            field("TTL", response.ttl)
        case .json: flat(response.header, "\"ID\":\(response.id),\"TTL\":\(response.ttl),\"Error\":\(jsonText(response.error))")
        case .protobuf: headerBytes(response.header)
        case .table: throw unsupported()
        }
    }

    func revoke(_ answer: Answer<HeaderResponse>, _ lease: Int64) throws {
        switch format {
        case .simple: line("lease \(id(lease)) revoked")
        case .fields: header(answer.message.header)
        case .json: try json(answer.bytes, "LeaseRevokeResponse")
        case .protobuf:
            throw CommandFailure(
                "marshal unsupported for type clientv3.LeaseRevokeResponse (\(GoText.quoted(answer.bytes)))", status: Status.badFeature)
        case .table: throw unsupported()
        }
    }

    func keepAlive(_ response: LeaseKeepAliveResponse) throws {
        switch format {
        case .simple: line("lease \(id(response.id)) keepalived with TTL(\(response.ttl))")
        case .fields:
            header(response.header)
            field("ID", lease: response.id)
            field("TTL", response.ttl)
        case .json: flat(response.header, "\"ID\":\(response.id),\"TTL\":\(response.ttl)")
        case .protobuf: headerBytes(response.header)
        case .table: throw unsupported()
        }
    }

    func timeToLive(_ response: LeaseTimeToLiveResponse, keys: Bool) throws {
        switch format {
        case .simple:
            if response.grantedTTL == 0, response.ttl == -1 { return line("lease \(id(response.id)) already expired") }
            var text = "lease \(id(response.id)) granted with TTL(\(response.grantedTTL)s), remaining(\(response.ttl)s)"
            if keys { text += ", attached keys([\(response.keys.map { String(decoding: $0, as: UTF8.self) }.joined(separator: " "))])" }
            line(text)
        case .fields:
            header(response.header)
            field("ID", lease: response.id)
            field("TTL", response.ttl)
            field("GrantedTTL", response.grantedTTL)
            for key in response.keys { field("Key", GoText.quoted(key)) }
        case .json:
            let list = response.keys.isEmpty ? "null" : "[" + response.keys.map { "\"\(Base64.encode($0))\"" }.joined(separator: ",") + "]"
            flat(
                response.header,
                "\"id\":\(response.id),\"ttl\":\(response.ttl),\"granted-ttl\":\(response.grantedTTL),\"keys\":\(list)")
        case .protobuf: headerBytes(response.header)
        case .table: throw unsupported()
        }
    }

    func leases(_ response: LeaseListResponse) throws {
        switch format {
        case .simple:
            line("found \(response.leases.count) leases")
            for lease in response.leases { line(id(lease)) }
        case .fields:
            header(response.header)
            for lease in response.leases { field("ID", lease: lease) }
        case .json:
            flat(response.header, "\"leases\":[" + response.leases.map { "{\"id\":\($0)}" }.joined(separator: ",") + "]")
        case .protobuf: headerBytes(response.header)
        case .table: throw unsupported()
        }
    }

    func jsonText(_ text: String) -> String {
        let sink = ByteSink()
        sink.append(byte: UInt8(ascii: "\""))
        var text = text
        text.withUTF8 { sink.jsonText(UnsafeRawBufferPointer($0), escapesHTML: true) }
        sink.append(byte: UInt8(ascii: "\""))
        return String(decoding: sink.bytes, as: UTF8.self)
    }
}
