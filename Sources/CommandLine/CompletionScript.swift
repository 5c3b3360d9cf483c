// completion: scripts that make shells propose commands and flags.

extension Command {
    /// The command `completion` of this tool, with one for each shell; to be added to it.
    public func completionCommand() -> Command {
        let parent = Command(
            "completion", "Generate the autocompletion script for the specified shell",
            long: """
                Generate the autocompletion script for \(name) for the specified shell.
                See each sub-command's help for details on how to use the generated script.
                """)
        func add(_ shell: String, _ how: String, _ make: @escaping (CompletionData) -> String) {
            let command = Command(
                shell, "Generate the autocompletion script for \(shell)", long: "To load completions in your current shell session:\n\n\t\(how)")
            command.flags.add("no-descriptions", false, "disable completion descriptions")
            command.arguments = ArgumentRule.none
            command.run = { [unowned self] invocation in invocation.console.write(make(self.completion)) }
            parent.add(command)
        }
        add("bash", "source <(\(name) completion bash)") { CompletionScript.bash($0) }
        add("zsh", "source <(\(name) completion zsh)") { CompletionScript.zsh($0) }
        add("fish", "\(name) completion fish | source") { CompletionScript.fish($0) }
        add("powershell", "\(name) completion powershell | Out-String | Invoke-Expression") { CompletionScript.powershell($0) }
        return parent
    }
}

/// Scripts with the whole tree in them, so that no shell has to start the tool at each key.
enum CompletionScript {
    /// Each command's path with what may follow it: names of commands, flags, and values of flags.
    private struct Node {
        let path: String
        let commands: [CompletionData]
        let flags: [CompletionData.FlagData]
    }

    private static func nodes(_ data: CompletionData, _ path: String, _ inherited: [CompletionData.FlagData]) -> [Node] {
        let flags = data.flags + inherited.filter { flag in !data.flags.contains { $0.name == flag.name } }
        let handedDown = inherited + data.flags.filter(\.isPersistent)
        return [Node(path: path, commands: data.commands, flags: flags)]
            + data.commands.flatMap { nodes($0, path.isEmpty ? $0.name : path + " " + $0.name, handedDown) }
    }

    private static func quoted(_ text: String) -> String { "'" + text.replacing("'", with: "'\\''") + "'" }

    private static func words(_ node: Node) -> String {
        (node.commands.map(\.name) + node.flags.map { "--\($0.name)" + ($0.takesValue ? "=" : "") } + node.flags.compactMap { $0.short.map { "-\($0)" } })
            .joined(separator: " ")
    }

    private static func values(_ nodes: [Node]) -> [(flag: String, values: String)] {
        var known: [String: String] = [:]
        for flag in nodes.flatMap(\.flags) where !flag.values.isEmpty { known[flag.name] = flag.values.joined(separator: " ") }
        return known.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    static func bash(_ data: CompletionData) -> String {
        let name = data.name
        let all = nodes(data, "", [])
        var text = "# bash completion for \(name)\n\n_\(name)() {\n"
        text += "    local word=${COMP_WORDS[COMP_CWORD]} path= i item candidates previous=${COMP_WORDS[COMP_CWORD-1]}\n"
        // Bash splits --flag=value at the equals sign.
        text += "    [[ $word == = ]] && { previous=${COMP_WORDS[COMP_CWORD-1]}; word=; }\n"
        text += "    [[ $previous == = ]] && previous=${COMP_WORDS[COMP_CWORD-2]}\n"
        text += "    case $previous in\n"
        for (flag, values) in values(all) {
            let short = all.flatMap(\.flags).first { $0.name == flag }?.short.map { "|-\($0)" } ?? ""
            text += "        --\(flag)\(short)) COMPREPLY=($(compgen -W \(quoted(values)) -- \"$word\")); return ;;\n"
        }
        text += "    esac\n    for ((i = 1; i < COMP_CWORD; i++)); do\n        item=${COMP_WORDS[i]}\n        case \"$path $item\" in\n"
        for node in all where !node.path.isEmpty {
            let parent = node.path.split(separator: " ").dropLast().joined(separator: " ")
            text += "            \(quoted(parent + " " + node.path.split(separator: " ").last!))) path=\(quoted(node.path)) ;;\n"
        }
        text += "        esac\n    done\n    case $path in\n"
        for node in all { text += "        \(quoted(node.path))) candidates=\(quoted(words(node))) ;;\n" }
        text += "    esac\n    COMPREPLY=($(compgen -W \"$candidates\" -- \"$word\"))\n"
        text += "    [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace\n    return 0\n}\ncomplete -o default -F _\(name) \(name)\n"
        return text
    }

    static func zsh(_ data: CompletionData) -> String {
        let name = data.name
        let all = nodes(data, "", [])
        func item(_ word: String, _ help: String) -> String {
            quoted(word.replacing(":", with: "\\:") + ":" + (help.split(separator: "\n").first ?? ""))
        }
        var text = "#compdef \(name)\ncompdef _\(name) \(name)\n\n# zsh completion for \(name)\n\n_\(name)() {\n"
        text += "    local path= word previous=${words[CURRENT-1]} i\n    local -a commands flags\n    case $previous in\n"
        for (flag, values) in values(all) {
            let short = all.flatMap(\.flags).first { $0.name == flag }?.short.map { "|-\($0)" } ?? ""
            text += "        --\(flag)\(short)) compadd -- \(values); return ;;\n"
        }
        text += "    esac\n    for ((i = 2; i < CURRENT; i++)); do\n        word=${words[i]}\n        case \"$path $word\" in\n"
        for node in all where !node.path.isEmpty {
            let parent = node.path.split(separator: " ").dropLast().joined(separator: " ")
            text += "            \(quoted(parent + " " + node.path.split(separator: " ").last!))) path=\(quoted(node.path)) ;;\n"
        }
        text += "        esac\n    done\n    case $path in\n"
        for node in all {
            text += "        \(quoted(node.path)))\n"
            text += "            commands=(\(node.commands.map { item($0.name, $0.short) }.joined(separator: " ")))\n"
            text += "            flags=(\(node.flags.map { item("--\($0.name)", $0.usage) }.joined(separator: " "))) ;;\n"
        }
        text += "    esac\n    (( ${#commands} )) && _describe -t commands command commands\n"
        text += "    [[ ${words[CURRENT]} == -* ]] && _describe -t flags flag flags\n    (( ${#commands} )) || _files\n}\n\n"
        text += "if [ \"$funcstack[1]\" = \"_\(name)\" ]; then\n    _\(name)\nfi\n"
        return text
    }

    static func fish(_ data: CompletionData) -> String {
        let name = data.name
        var text = "# fish completion for \(name)\n\n"
        for node in nodes(data, "", []) {
            let path = node.path.split(separator: " ").map(String.init)
            let others = node.commands.map(\.name).joined(separator: " ")
            var condition = path.map { "__fish_seen_subcommand_from \($0)" }.joined(separator: "; and ")
            if path.isEmpty { condition = "__fish_use_subcommand" } else if !others.isEmpty { condition += "; and not __fish_seen_subcommand_from \(others)" }
            for command in node.commands {
                text += "complete -c \(name) -f -n \(quoted(condition)) -a \(command.name) -d \(quoted(command.short))\n"
            }
            // Flags of all commands are told once.
            for flag in node.flags where path.isEmpty || !flag.isPersistent {
                var line = "complete -c \(name)"
                if !path.isEmpty { line += " -n \(quoted(path.map { "__fish_seen_subcommand_from \($0)" }.joined(separator: "; and ")))" }
                line += " -l \(flag.name)"
                if let short = flag.short { line += " -s \(short)" }
                if flag.takesValue { line += " -r" }
                if !flag.values.isEmpty { line += " -f -a \(quoted(flag.values.joined(separator: " ")))" }
                text += line + " -d \(quoted(String(flag.usage.split(separator: "\n").first ?? "")))\n"
            }
        }
        return text
    }

    static func powershell(_ data: CompletionData) -> String {
        func quoted(_ text: String) -> String { "'" + text.replacing("'", with: "''") + "'" }
        var text = "# powershell completion for \(data.name)\n\n"
        text += "Register-ArgumentCompleter -Native -CommandName \(quoted(data.name)) -ScriptBlock {\n    param($word, $ast, $position)\n    $tree = @{\n"
        let all = nodes(data, "", [])
        for node in all {
            let words = node.commands.map(\.name) + node.flags.map { "--\($0.name)" }
            text += "        \(quoted(node.path)) = @(\(words.map(quoted).joined(separator: ", ")))\n"
        }
        text += "    }\n    $path = ''\n    foreach ($element in $ast.CommandElements | Select-Object -Skip 1) {\n"
        text += "        $next = (\"$path \" + $element.ToString()).Trim()\n        if ($tree.ContainsKey($next)) { $path = $next }\n    }\n"
        text += "    $tree[$path] | Where-Object { $_ -like \"$word*\" } | ForEach-Object {\n"
        text += "        [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)\n    }\n}\n"
        return text
    }
}
