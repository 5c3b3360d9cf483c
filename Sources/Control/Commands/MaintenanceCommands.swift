// alarm, defrag, downgrade.

import Client
import CommandLineTools
import Wire

extension ControlTool {
    // MARK: alarm

    func alarmCommand() -> Command {
        let disarm = Command("disarm", "Disarms all alarms")
        disarm.runAsync = { [unowned self] invocation in
            guard invocation.arguments.isEmpty else { throw badArguments("alarm disarm command accepts no arguments") }
            let client = try await self.client(invocation.console)
            let printer = self.printer(invocation.console)
            let limit = self.timeout
            // As etcdctl's client: each alarm that is active, one after the other; the answers as one, without a header.
            let answer = try await attempt {
                let sink = ByteSink()
                for alarm in try await client.alarms(timeout: limit).message.alarms {
                    for done in try await client.disarm(memberID: alarm.memberID, kind: alarm.kind, timeout: limit).message.alarms {
                        sink.message(2) {
                            $0.field(1, done.memberID)
                            $0.field(2, done.kind)
                        }
                    }
                }
                return try Answer<AlarmResponse>(merging: sink.array())
            }
            try printer.alarms(answer)
        }
        let list = Command("list", "Lists all alarms")
        list.runAsync = { [unowned self] invocation in
            guard invocation.arguments.isEmpty else { throw badArguments("alarm list command accepts no arguments") }
            let client = try await self.client(invocation.console)
            let answer = try await attempt { try await client.alarms(timeout: self.timeout) }
            try self.printer(invocation.console).alarms(answer)
        }
        return parent("alarm <subcommand>", "Alarm related commands", disarm, list)
    }

    // MARK: defrag

    func defragCommand() -> Command {
        let command = Command("defrag", "Defragments the storage of the etcd members with given endpoints")
        let isCluster = command.flags.add("cluster", false, "use all endpoints from the cluster member list")
        command.runAsync = { [unowned self] invocation in
            var endpoints = try self.discovered()
            if isCluster.value { endpoints = try await self.clusterEndpoints(invocation.console, endpoints) }
            let clock = ContinuousClock()
            var isFailed = false
            for endpoint in endpoints {
                let client = try await self.client(invocation.console, endpoints: [endpoint])
                let start = clock.now
                do {
                    try await client.defragment(timeout: self.timeout)
                    invocation.console.print("Finished defragmenting etcd member[\(endpoint)]. took \(GoText.text(clock.now - start))")
                } catch let error as ClientError {
                    invocation.console.print(
                        "Failed to defragment etcd member[\(endpoint)]. took \(GoText.text(clock.now - start)). (\(text(error)))", to: .error)
                    isFailed = true
                }
                invocation.console.flush()
                client.close()
            }
            if isFailed { throw CommandFailure("", status: Status.error) }
        }
        return command
    }

    // MARK: downgrade

    func downgradeCommand() -> Command {
        func make(_ use: String, _ short: String, _ action: Client.DowngradeAction, _ verb: String) -> Command {
            let command = Command(use, short)
            command.runAsync = { [unowned self] invocation in
                var version = ""
                if action != .cancel {
                    guard let target = invocation.arguments.first else { throw badArguments("TARGET_VERSION not provided") }
                    guard invocation.arguments.count == 1 else { throw badArguments("too many arguments") }
                    version = target
                }
                let client = try await self.client(invocation.console)
                let answer = try await attempt { try await client.downgrade(action, version: version, timeout: self.timeout) }
                let printer = self.printer(invocation.console)
                try printer.show(answer, "DowngradeResponse", fields: nil) { response in
                    printer.line("Downgrade \(verb) success, cluster version \(response.version)")
                }
            }
            return command
        }
        return parent(
            "downgrade <TARGET_VERSION>", "Downgrade related commands",
            make("validate <TARGET_VERSION>", "Validate downgrade capability before starting downgrade", .validate, "validate"),
            make("enable <TARGET_VERSION>", "Start a downgrade action to cluster", .enable, "enable"),
            make("cancel", "Cancel the ongoing downgrade action to cluster", .cancel, "cancel"))
    }
}

extension Printer {
    func alarms(_ answer: Answer<AlarmResponse>) throws {
        try show(answer, "AlarmResponse") { response in
            header(response.header)
            for alarm in response.alarms {
                field("MemberID", alarm.memberID)
                field("AlarmType", alarm.name)
                line("")
            }
        } simple: { response in
            for alarm in response.alarms { line("memberID:\(alarm.memberID) alarm:\(alarm.name) ") }
        }
    }
}
