// All commands.

import CommandLineTools

extension ControlTool {
    func addCommands() {
        add(Group.keys, getCommand(), putCommand(), deleteCommand(), txnCommand(), compactionCommand(), leaseCommand(), watchCommand())
        add(
            Group.cluster, memberCommand(), endpointCommand(), alarmCommand(), defragCommand(), moveLeaderCommand(), snapshotCommand(),
            downgradeCommand(), topCommand())
        add(Group.concurrency, lockCommand(), electCommand())
        add(Group.auth, authCommand(), userCommand(), roleCommand())
        add(Group.utility, makeMirrorCommand(), versionCommand(), root.completionCommand(), checkCommand(), optionsCommand())
    }

    private func add(_ group: String, _ commands: Command...) {
        for command in commands {
            command.group = group
            root.add(command)
        }
    }

    /// A command that only has others below it.
    func parent(_ use: String, _ short: String, _ commands: Command...) -> Command {
        let parent = Command(use, short)
        for command in commands { parent.add(command) }
        return parent
    }

    func versionCommand() -> Command {
        let command = Command("version", "Prints the version of etcdctl")
        command.run = { invocation in
            invocation.console.print("etcdctl version: \(Self.version)")
            invocation.console.print("API version: 3.7")
        }
        return command
    }

    func optionsCommand() -> Command {
        let command = Command("options", "Show the global command-line flags")
        command.run = { [unowned self] invocation in
            invocation.console.print("The following options can be passed to any command:\n")
            invocation.console.print(Command.flagTable(self.root.persistentFlags.all))
        }
        return command
    }
}
