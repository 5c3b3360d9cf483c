// One node of a tool's tree of commands: what it is called, which flags and arguments it takes, and what it does.

/// A command of a command-line tool, by the rules of cobra and pflag.
///
/// Users of etcdctl, etcdutl, kubectl and Auger rely on these rules, and scripts match the texts. swift-argument-parser
/// cannot express them: flags of any ancestor in any place, before and behind the names of commands; `--bool=false`; a
/// value read from the environment only for inherited flags; commands named by a unique prefix; a command with
/// sub-commands that runs by itself; errors and usage in cobra's words and layout.
///
///     let root = Command("fruit [command]", "Keeps fruit")
///     let isVerbose = root.persistentFlags.add("verbose", short: "v", false, "say more")
///     let list = Command("list [flags]", "Lists the fruit")
///     let limit = list.flags.add("limit", 10, "at most so many")
///     list.arguments = .none
///     list.run = { invocation in
///         invocation.console.print("\(limit.value) \(isVerbose.value)")
///     }
///     root.add(list)
///     exit(root.execute())
///
/// Belongs to one thread.
public final class Command {
    /// How it is used: its name, then its arguments. The parents' names and ` [flags]` are added where it is shown.
    public let use: String
    /// One line for its parent's help.
    public let short: String
    /// For its own help; `short` where it is empty.
    public var long: String
    public var example = ""
    /// Other names.
    public var aliases: [String] = []
    /// Words that are no names of it, but for which it is proposed.
    public var suggestedFor: [String] = []
    /// Title of the part of its parent's help in which it stands, one of the parent's `groups`.
    public var group = ""
    /// Titles of the parts of the help's list of commands, in order; without any, all stand under one.
    public var groups: [String] = []
    /// Runs, but neither help nor completion shows it.
    public var isHidden = false
    /// What to do instead; not empty: using it says so, and nothing shows it.
    public var deprecation = ""
    /// Not empty: a flag `--version` prints it.
    public var version = ""

    /// Flags of this command alone.
    public let flags = FlagSet()
    /// Flags of this command and all below it.
    public let persistentFlags = FlagSet()
    /// Nil: cobra's default. A root with sub-commands refuses arguments, all others take any.
    public var arguments: ArgumentRule?
    /// Groups of flags that depend on each other.
    public var flagGroups: [FlagGroup] = []
    /// No flag behind the first argument: everything there is an argument.
    public var stopsAtFirstArgument = false

    /// What it does. Nil: it prints its help.
    public var run: ((Invocation) throws -> Void)?
    /// What it does where that takes a task; `execute() async` runs it.
    public var runAsync: (nonisolated(nonsending) (Invocation) async throws -> Void)?
    /// Before `run` of this command and those below that have none of their own, when flags and arguments are right.
    public var prepare: ((Invocation) throws -> Void)?

    /// Replaces the usage of this command and those below.
    public var usageText: ((Command) -> String)?
    /// Replaces the help of this command and those below.
    public var helpText: ((Command) -> String)?

    // Of the root alone.

    /// A unique beginning of a name or alias is enough.
    public var allowsPrefixes = false
    /// Where values come from that the command line does not give.
    public var environment: EnvironmentFallback?
    /// Where the usage goes that follows an error of the command line.
    public var usageStream: Console.Stream = .error

    public private(set) var commands: [Command] = []
    public private(set) weak var parent: Command?
    private var hasStandardParts = false

    /// - Parameters:
    ///   - use: begins with the name: `get KEY [RANGE_END]`.
    ///   - short: one line.
    public init(_ use: String, _ short: String, long: String = "") {
        precondition(!use.isEmpty && use.first != " ", "a command without a name")
        self.use = use
        self.short = short
        self.long = long
    }

    /// Adds commands below this one; they must not be anywhere else.
    public func add(_ commands: Command...) {
        for command in commands {
            precondition(command.parent == nil && command !== self, "\(command.name) is in the tree already")
            command.parent = self
            self.commands.append(command)
        }
    }

    // MARK: Asking

    public var name: String { use.firstIndex(of: " ").map { String(use[..<$0]) } ?? use }
    public var root: Command { parent?.root ?? self }
    /// Names from the root to here.
    public var path: String { parent.map { $0.path + " " + name } ?? name }
    public var isRunnable: Bool { run != nil || runAsync != nil }
    public var hasCommands: Bool { !commands.isEmpty }

    /// Whether help and completion show it.
    public var isAvailable: Bool {
        guard !isHidden, deprecation.isEmpty, !isHelpCommand else { return false }
        return isRunnable || commands.contains { $0.isAvailable }
    }

    /// In the order of help.
    public var sortedCommands: [Command] { commands.sorted { $0.name < $1.name } }
    public var availableCommands: [Command] { sortedCommands.filter { $0.isAvailable || $0.isHelpCommand } }

    var isHelpCommand: Bool { parent?.parent == nil && name == "help" && parent != nil }

    /// Flags that may be given to it: its own, its persistent ones, and those of its ancestors that no nearer one hides.
    public var allFlags: [any Flag] { localFlags + inheritedFlags }

    /// Its own flags and its persistent ones, `--help` included.
    public var localFlags: [any Flag] {
        root.addStandardParts()
        addHelpFlag()
        return flags.all + persistentFlags.all.filter { flags[$0.name] == nil }
    }

    /// Flags of its ancestors.
    public var inheritedFlags: [any Flag] {
        var known = Set(flags.all.map(\.name) + persistentFlags.all.map(\.name))
        var found: [any Flag] = []
        var ancestor = parent
        while let command = ancestor {
            for flag in command.persistentFlags.all where known.insert(flag.name).inserted { found.append(flag) }
            ancestor = command.parent
        }
        return found
    }

    /// The nearest answer on the way to the root.
    func nearest<Value>(_ part: (Command) -> Value?) -> Value? { part(self) ?? parent.flatMap { $0.nearest(part) } }

    // MARK: What each tool has

    /// The command `help`, unless the tool has one.
    func addStandardParts() {
        guard !hasStandardParts, parent == nil else { return }
        hasStandardParts = true
        guard hasCommands, !commands.contains(where: { $0.name == "help" }) else { return }
        let help = Command(
            "help [command]", "Help about any command",
            long: "Shows the help of a command: \(name) help [path to command].")
        help.run = { [unowned self] invocation in
            guard let (command, rest) = self.descend(invocation.arguments), rest.isEmpty else {
                let topic = "[" + invocation.arguments.map { "`\($0)`" }.joined(separator: " ") + "]"
                invocation.console.print("Unknown help topic \(topic)", to: .error)
                invocation.console.write(self.usage, to: .error)
                return
            }
            invocation.console.write(command.help, to: .output)
        }
        add(help)
    }

    private func addHelpFlag() {
        if flags["help"] == nil, persistentFlags["help"] == nil {
            flags.add("help", short: isShortFree("h") ? "h" : nil, false, "help for \(name)")
        }
        if !version.isEmpty, flags["version"] == nil, persistentFlags["version"] == nil {
            flags.add("version", short: isShortFree("v") ? "v" : nil, false, "version for \(name)")
        }
    }

    private func isShortFree(_ letter: Character) -> Bool {
        !(flags.all + persistentFlags.all + inheritedFlags).contains { $0.short == letter }
    }
}

/// A command with what it was given.
public struct Invocation {
    public let command: Command
    /// What is left without flags and names of commands.
    public let arguments: [String]
    /// How many of the arguments stood before `--`; nil without `--`.
    public let argumentsBeforeDash: Int?
    public let console: Console
}
