// What a shell's completion needs to know of a tool.

/// Names for a shell to propose: a tree of values, so that whoever writes the shell's text needs nothing else.
public struct CompletionData: Equatable, Sendable {
    public struct FlagData: Equatable, Sendable {
        public let name: String
        public let short: Character?
        public let usage: String
        /// A value follows it, `--flag value` or `--flag=value`.
        public let takesValue: Bool
        public let values: [String]
        /// Holds for the commands below as well.
        public let isPersistent: Bool
    }

    public let name: String
    public let aliases: [String]
    public let short: String
    /// Its own flags; those of its ancestors stand with these.
    public let flags: [FlagData]
    public let commands: [CompletionData]
}

extension Command {
    /// What may be typed behind this command's name. Hidden and deprecated commands and flags are left out.
    public var completion: CompletionData {
        CompletionData(
            name: name, aliases: aliases, short: short,
            flags: localFlags.filter { !$0.isHidden }.sorted { $0.name < $1.name }.map { flag in
                CompletionData.FlagData(
                    name: flag.name, short: flag.short, usage: flag.usage, takesValue: flag.textWithoutValue == nil, values: flag.proposedValues,
                    isPersistent: persistentFlags[flag.name] != nil)
            },
            commands: availableCommands.map(\.completion))
    }
}
