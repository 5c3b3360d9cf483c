// member add, remove, update, promote, list; move-leader.

import Client
import CommandLineTools

extension ControlTool {
    func memberCommand() -> Command {
        parent(
            "member <subcommand>", "Membership related commands", memberAddCommand(), memberRemoveCommand(), memberUpdateCommand(),
            memberListCommand(), memberPromoteCommand())
    }

    private func memberID(_ arguments: [String]) throws -> UInt64 {
        guard arguments.count == 1 else { throw badArguments("member ID is not provided") }
        switch Numbers.identity(arguments[0]) {
        case .success(let id): return id
        case .failure(let error): throw badArguments("bad member ID arg (\(error)), expecting ID in Hex")
        }
    }

    private func memberAddCommand() -> Command {
        let command = Command("add <memberName> [options]", "Adds a member into the cluster")
        let urls = command.flags.add("peer-urls", "", "comma separated peer URLs for the new member.")
        let isLearner = command.flags.add("learner", false, "indicates if the new member is raft learner")
        command.runAsync = { [unowned self] invocation in
            let arguments = invocation.arguments
            guard let name = arguments.first else { throw badArguments("member name not provided") }
            if arguments.count > 1 {
                let hints = arguments.filter { $0.lowercased().hasPrefix("http") }.map { ", did you mean --peer-urls=\($0)" }
                throw badArguments("too many arguments" + hints.joined())
            }
            guard !urls.value.isEmpty else { throw badArguments("member peer urls not provided") }
            let list = urls.value.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
            let client = try await self.client(invocation.console)
            let answer = try await attempt {
                try await client.addMember(peerURLs: list, isLearner: isLearner.value, timeout: self.timeout)
            }
            let printer = self.printer(invocation.console)
            try printer.show(answer, "MemberAddResponse", isHexJSON: printer.isHex, fields: nil) { response in
                let asLearner = response.member.isLearner ? " as learner" : ""
                printer.line(
                    "Member \(padded(hex(response.member.id, 1), 16)) added\(asLearner) to cluster "
                        + "\(padded(hex(response.header.clusterID, 1), 16))")
            }
            guard printer.format == .simple else { return }
            let cluster = answer.message.members.flatMap { member in
                member.peerURLs.map { "\(member.id == answer.message.member.id ? name : member.name)=\($0)" }
            }
            printer.line("")
            printer.line("ETCD_NAME=\(GoText.quoted(name))")
            printer.line("ETCD_INITIAL_CLUSTER=\(GoText.quoted(cluster.joined(separator: ",")))")
            printer.line("ETCD_INITIAL_ADVERTISE_PEER_URLS=\(GoText.quoted(answer.message.member.peerURLs.joined(separator: ",")))")
            printer.line("ETCD_INITIAL_CLUSTER_STATE=\"existing\"")
        }
        return command
    }

    /// A change of one member, told in one line.
    private func show(_ answer: Answer<MembersResponse>, _ type: String, _ id: UInt64, _ words: String, _ console: Console) throws {
        let printer = printer(console)
        try printer.show(answer, type, isHexJSON: printer.isHex, fields: nil) { response in
            printer.line("Member \(padded(hex(id, 1), 16)) \(words) cluster \(padded(hex(response.header.clusterID, 1), 16))")
        }
    }

    private func memberRemoveCommand() -> Command {
        let command = Command("remove <memberID>", "Removes a member from the cluster")
        command.runAsync = { [unowned self] invocation in
            let id = try self.memberID(invocation.arguments)
            let client = try await self.client(invocation.console)
            let answer = try await attempt { try await client.removeMember(id, timeout: self.timeout) }
            try self.show(answer, "MemberRemoveResponse", id, "removed from", invocation.console)
        }
        return command
    }

    private func memberUpdateCommand() -> Command {
        let command = Command("update <memberID> [options]", "Updates a member in the cluster")
        let urls = command.flags.add("peer-urls", "", "comma separated peer URLs for the updated member.")
        command.runAsync = { [unowned self] invocation in
            let id = try self.memberID(invocation.arguments)
            guard !urls.value.isEmpty else { throw badArguments("member peer urls not provided") }
            let list = urls.value.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
            let client = try await self.client(invocation.console)
            let answer = try await attempt { try await client.updateMember(id, peerURLs: list, timeout: self.timeout) }
            try self.show(answer, "MemberUpdateResponse", id, "updated in", invocation.console)
        }
        return command
    }

    private func memberPromoteCommand() -> Command {
        let command = Command("promote <memberID>", "Promotes a non-voting member in the cluster")
        command.runAsync = { [unowned self] invocation in
            let id = try self.memberID(invocation.arguments)
            let client = try await self.client(invocation.console)
            let answer = try await attempt { try await client.promoteMember(id, timeout: self.timeout) }
            try self.show(answer, "MemberPromoteResponse", id, "promoted in", invocation.console)
        }
        return command
    }

    private func memberListCommand() -> Command {
        let command = Command("list", "Lists all members in the cluster")
        let consistency = command.flags.add("consistency", "l", "Linearizable(l) or Serializable(s)")
        consistency.proposedValues = ["l", "s"]
        command.runAsync = { [unowned self] invocation in
            guard consistency.value == "l" || consistency.value == "s" else {
                throw CommandFailure("unknown consistency flag \(GoText.quoted(consistency.value))", status: Status.badFeature)
            }
            let client = try await self.client(invocation.console)
            let answer = try await attempt {
                try await client.members(isLinearizable: consistency.value == "l", timeout: self.timeout)
            }
            try self.printer(invocation.console).members(answer)
        }
        return command
    }

    // MARK: move-leader

    func moveLeaderCommand() -> Command {
        let command = Command("move-leader <transferee-member-id>", "Transfers leadership to another etcd cluster member.")
        command.runAsync = { [unowned self] invocation in
            guard invocation.arguments.count == 1 else { throw badArguments("move-leader command needs 1 argument") }
            let target: UInt64
            switch Numbers.identity(invocation.arguments[0]) {
            case .success(let id): target = id
            case .failure(let error): throw badArguments(error.description)
            }
            let endpoints = try self.discovered()
            for endpoint in endpoints {
                let client = try await self.client(invocation.console, endpoints: [endpoint])
                let status = try await attempt { try await client.status(timeout: self.timeout) }.message
                guard status.header.memberID == status.leader else { continue }
                let answer = try await attempt { try await client.moveLeader(to: target, timeout: self.timeout) }
                let printer = self.printer(invocation.console)
                return try printer.show(answer, "MoveLeaderResponse", fields: nil) { _ in
                    printer.line("Leadership transferred from \(hex(status.leader, 1)) to \(hex(target, 1))")
                }
            }
            throw badArguments("no leader endpoint given at [\(endpoints.joined(separator: " "))]")
        }
        return command
    }
}

extension Printer {
    func members(_ answer: Answer<MembersResponse>) throws {
        func row(_ member: Member) -> [String] {
            [
                hex(member.id, 1), member.name.isEmpty ? "unstarted" : "started", member.name, member.peerURLs.joined(separator: ","),
                member.clientURLs.joined(separator: ","), member.isLearner ? "true" : "false",
            ]
        }
        let rows = answer.message.members.map(row)
        if format == .table {
            return console.write(FramedTable.text(["ID", "Status", "Name", "Peer Addrs", "Client Addrs", "Is Learner"], rows))
        }
        try show(answer, "MemberListResponse", isHexJSON: isHex) { response in
            header(response.header)
            for member in response.members {
                field("ID", identity: member.id)
                field("Name", quoted: member.name)
                for url in member.peerURLs { field("PeerURL", quoted: url) }
                for url in member.clientURLs { field("ClientURL", quoted: url) }
                field("IsLearner", member.isLearner)
                line("")
            }
        } simple: { _ in
            for row in rows { line(row.joined(separator: ", ")) }
        }
    }
}
