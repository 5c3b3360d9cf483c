// Which command a command line names.

extension Command {
    /// The command that the arguments name, and the arguments without its names.
    ///
    /// Names of commands and flags may be mixed, so flags are passed over with the rules of the command reached so far: a
    /// flag that takes a value takes the next argument, and one that is not known is held for such.
    func find(_ arguments: [String]) throws(CommandLineError) -> (command: Command, arguments: [String]) {
        let (command, rest) = walk(arguments)
        // Cobra's default: only a root refuses what is no command.
        if command.arguments == nil, command.parent == nil, command.hasCommands, let word = command.words(rest).first {
            throw CommandLineError(
                "unknown command \(GoText.quoted(word.text)) for \(GoText.quoted(command.path))\(command.suggestions(word.text))")
        }
        return (command, rest)
    }

    private func walk(_ arguments: [String]) -> (command: Command, arguments: [String]) {
        guard let word = words(arguments).first, let next = child(word.text) else { return (self, arguments) }
        var rest = arguments
        rest.remove(at: word.index)
        return next.walk(rest)
    }

    /// From names alone, for `help`.
    func descend(_ names: [String]) -> (command: Command, rest: ArraySlice<String>)? {
        guard let first = names.first else { return (self, []) }
        guard let next = child(first) else { return commands.isEmpty ? (self, names[...]) : nil }
        return next.descend(Array(names.dropFirst()))
    }

    /// A sub-command by name, alias or, where the root allows it, a unique beginning.
    public func child(_ word: String) -> Command? {
        if let exact = commands.first(where: { $0.name == word || $0.aliases.contains(word) }) { return exact }
        guard root.allowsPrefixes else { return nil }
        let candidates = commands.filter { command in ([command.name] + command.aliases).contains { $0.hasPrefix(word) } }
        return candidates.count == 1 ? candidates[0] : nil
    }

    /// The arguments that are neither flags nor flags' values, up to `--`.
    private func words(_ arguments: [String]) -> [(index: Int, text: String)] {
        let flags = allFlags
        func takesValue(_ argument: String) -> Bool {
            guard !argument.contains("=") else { return false }
            if argument.hasPrefix("--") {
                let name = argument.dropFirst(2)
                return flags.first { $0.name == name }?.textWithoutValue == nil
            }
            return argument.count == 2 && flags.first { $0.short == argument.last }?.textWithoutValue == nil
        }
        var words: [(index: Int, text: String)] = []
        var index = 0
        while index < arguments.count, arguments[index] != "--" {
            let argument = arguments[index]
            if argument.hasPrefix("-") {
                index += takesValue(argument) ? 2 : 1
            } else {
                if !argument.isEmpty { words.append((index, argument)) }
                index += 1
            }
        }
        return words
    }

    // MARK: Suggestions

    /// What may have been meant: names at most two letters away, names that begin with the word.
    func suggestions(_ word: String) -> String {
        let typed = word.lowercased()
        let names = commands.filter(\.isAvailable).filter { command in
            let name = command.name.lowercased()
            return Self.distance(typed, name) <= 2 || name.hasPrefix(typed) || command.suggestedFor.contains { $0.lowercased() == typed }
        }.map(\.name)
        guard !names.isEmpty else { return "" }
        return "\n\nDid you mean this?\n" + names.map { "\t\($0)\n" }.joined()
    }

    /// Insertions, deletions and replacements from one word to another.
    static func distance(_ a: String, _ b: String) -> Int {
        let (a, b) = (Array(a.unicodeScalars.prefix(64)), Array(b.unicodeScalars))
        var row = Array(0...b.count)
        for i in 0..<a.count {
            var diagonal = row[0]
            row[0] = i + 1
            for j in 0..<b.count {
                let best = min(row[j] + 1, row[j + 1] + 1, diagonal + (a[i] == b[j] ? 0 : 1))
                diagonal = row[j + 1]
                row[j + 1] = best
            }
        }
        return row[b.count]
    }
}
