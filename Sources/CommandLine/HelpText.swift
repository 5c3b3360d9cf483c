// Help and usage in cobra's layout.

extension Command {
    /// What `--help` prints.
    public var help: String {
        root.addStandardParts()
        if let text = nearest(\.helpText) { return text(self) }
        var description = long.isEmpty ? short : long
        while description.last?.isWhitespace == true { description.removeLast() }
        return (description.isEmpty ? "" : description + "\n\n") + usage
    }

    /// How the command is used: what follows an error.
    public var usage: String {
        root.addStandardParts()
        return nearest(\.usageText)?(self) ?? standardUsage
    }

    /// The usage in cobra's layout, whatever replaces it.
    public var standardUsage: String {
        var text = "Usage:"
        let available = availableCommands
        let hasCommands = available.contains(where: \.isAvailable)
        if isRunnable { text += "\n  \(useLine)" }
        if hasCommands { text += "\n  \(path) [command]" }
        if !aliases.isEmpty { text += "\n\nAliases:\n  " + ([name] + aliases).joined(separator: ", ") }
        if !example.isEmpty { text += "\n\nExamples:\n\(example)" }
        if hasCommands {
            let width = max(11, commands.map(\.name.utf8.count).max() ?? 0)
            func list(_ title: String, _ commands: [Command]) {
                guard !commands.isEmpty || !title.hasPrefix("Additional") else { return }
                text += "\n\n\(title)"
                for command in commands {
                    text += "\n  " + command.name + String(repeating: " ", count: width - command.name.utf8.count + 1) + command.short
                }
            }
            if groups.isEmpty {
                list("Available Commands:", available)
            } else {
                for group in groups { list(group, available.filter { $0.group == group }) }
                list("Additional Commands:", available.filter { $0.group.isEmpty })
            }
        }
        let local = Command.flagTable(localFlags)
        if !local.isEmpty { text += "\n\nFlags:\n" + local }
        let inherited = Command.flagTable(inheritedFlags)
        if !inherited.isEmpty { text += "\n\nGlobal Flags:\n" + inherited }
        if hasCommands { text += "\n\nUse \"\(path) [command] --help\" for more information about a command." }
        return text + "\n"
    }

    /// How the command is called, with its parents' names.
    public var useLine: String {
        let line = parent.map { $0.path + " " + use } ?? use
        return line.contains("[flags]") || !allFlags.contains { !$0.isHidden } ? line : line + " [flags]"
    }

    /// One line per flag that is not hidden, sorted by name, without a line end behind the last.
    public static func flagTable(_ flags: [any Flag]) -> String {
        let rows = flags.filter { !$0.isHidden }.sorted { $0.name < $1.name }.map { flag -> (left: String, right: String) in
            var left = flag.short.map { "  -\($0), --\(flag.name)" } ?? "      --\(flag.name)"
            let (value, usage) = valueName(flag)
            if !value.isEmpty { left += " " + value }
            if let implied = flag.textWithoutValue, !(flag.typeName.isEmpty && implied == "true") {
                left += flag.typeName == "string" ? "[=\(GoText.quoted(implied))]" : "[=\(implied)]"
            }
            var right = usage
            if let text = flag.defaultText { right += " (default \(text))" }
            if !flag.deprecation.isEmpty { right += " (DEPRECATED: \(flag.deprecation))" }
            return (left, right)
        }
        let width = (rows.map { $0.left.count }.max() ?? 0) + 3
        let indent = "\n" + String(repeating: " ", count: width)
        return rows.map { row in
            let padding = String(repeating: " ", count: width - row.left.count)
            return row.left + padding + row.right.split(separator: "\n", omittingEmptySubsequences: false).joined(separator: indent)
        }.joined(separator: "\n")
    }

    /// The name of a flag's value: what stands in backticks in its usage, or its type.
    private static func valueName(_ flag: any Flag) -> (name: String, usage: String) {
        let parts = flag.usage.split(separator: "`", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3 else { return (flag.typeName, flag.usage) }
        return (String(parts[1]), parts.joined())
    }
}
