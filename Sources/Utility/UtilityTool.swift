// The tool: its tree of commands and the flags that all have.

import CommandLineTools
import Storage

/// `martletutl`, a drop-in for etcdutl 3.7, etcd-dump-db and etcd-dump-logs, for etcd's files and martlet's.
public final class UtilityTool {
    /// The etcd release whose tool this one stands for.
    public static let version = "3.7.1"

    let root = Command("martletutl", "An administrative command line tool for etcd3 and martlet.")
    let writeOut: TypedFlag<String>
    private let isJSON: TypedFlag<Bool>
    private let timeout: TypedFlag<Duration>

    public init() {
        let flags = root.persistentFlags
        writeOut = flags.add("write-out", short: "w", "simple", "set the output format (fields, json, protobuf, simple, table)")
        writeOut.proposedValues = ["simple", "fields", "json", "table"]
        isJSON = flags.add("json", false, "short for --write-out=json")
        timeout = flags.add("timeout", .seconds(10), "time to wait for the lock of a file that is in use, 0 to wait for ever")
        root.allowsPrefixes = true
        root.suggestedFor = ["etcdutl"]
        root.groups = [Group.standard, Group.dumps, Group.directories, Group.utility]
        add(Group.standard, snapshotCommand(), hashKVCommand(), defragCommand(), migrateCommand())
        add(Group.dumps, dumpDatabaseCommand(), dumpLogsCommand())
        add(Group.directories, exportCommand(), verifyCommand())
        add(Group.utility, versionCommand(), root.completionCommand())
    }

    /// Runs what the process was asked for and says the status to exit with.
    ///
    /// - Parameter arguments: without the program's name; default: the process's.
    public func run(_ arguments: [String]? = nil, console: Console = Console()) -> Int32 {
        root.execute(DumpLogs.withDoubleDashes(arguments ?? Array(CommandLine.arguments.dropFirst())), console: console)
    }

    private func add(_ group: String, _ commands: Command...) {
        for command in commands {
            command.group = group
            root.add(command)
        }
    }

    private func versionCommand() -> Command {
        let command = Command("version", "Prints the version of etcdutl")
        command.run = { invocation in
            invocation.console.print("etcdutl version: \(Self.version)")
            invocation.console.print("API version: 3.7")
        }
        return command
    }

    // MARK: For commands

    /// The format that was asked for.
    func format() throws -> Format {
        if isJSON.value { return .json }
        guard let format = Format(rawValue: writeOut.value) else {
            throw CommandFailure("unsupported output format", status: Status.badFeature)
        }
        return format
    }

    /// How long a lock is waited for.
    func patience(_ console: Console) -> LockPatience { LockPatience(limit: timeout.value, console: console) }
}

/// Titles of the parts of the help.
private enum Group {
    static let standard = "Commands of etcdutl:"
    static let dumps = "What files hold:"
    static let directories = "Data directories:"
    static let utility = "Utility commands:"
}

/// Values of `--write-out`.
enum Format: String {
    case simple, fields, json, protobuf, table

    func unsupported() -> CommandFailure { CommandFailure("\(rawValue) not supported as output format", status: Status.badFeature) }
}

/// Exit codes, as scripts around etcdutl know them.
enum Status {
    static let error: Int32 = 1
    static let badFeature: Int32 = 4
    static let badArguments: Int32 = 128
}

func badArguments(_ text: String) -> CommandFailure { CommandFailure(text, status: Status.badArguments) }
