// From the process's arguments to the command's end.

#if canImport(Glibc)
import Glibc
#endif

extension Command {
    /// Runs the command that the arguments name; call it on the root.
    ///
    /// - Parameters:
    ///   - arguments: without the program's name; default: the process's.
    ///   - environment: default: the process's.
    /// - Returns: the status to exit with.
    public func execute(
        _ arguments: [String]? = nil, environment: [String: String]? = nil, console: Console = Console()
    ) -> Int32 {
        defer { console.flush() }
        switch resolve(arguments, environment, console) {
        case .done(let status): return status
        case .run(let invocation):
            guard let run = invocation.command.run else { preconditionFailure("\(invocation.command.path) needs execute() async") }
            do { try run(invocation) } catch { return report(error, invocation.command, console) }
            return 0
        }
    }

    /// As above, for tools with commands that take a task.
    nonisolated(nonsending) public func execute(
        _ arguments: [String]? = nil, environment: [String: String]? = nil, console: Console = Console()
    ) async -> Int32 {
        defer { console.flush() }
        switch resolve(arguments, environment, console) {
        case .done(let status): return status
        case .run(let invocation):
            do {
                if let run = invocation.command.runAsync { try await run(invocation) } else { try invocation.command.run!(invocation) }
            } catch {
                return report(error, invocation.command, console)
            }
            return 0
        }
    }

    private enum Resolution {
        case run(Invocation)
        case done(Int32)
    }

    private func resolve(_ arguments: [String]?, _ environment: [String: String]?, _ console: Console) -> Resolution {
        precondition(parent == nil, "only a root is executed")
        addStandardParts()
        let command: Command
        var rest: [String]
        do throws(CommandLineError) { (command, rest) = try find(arguments ?? Array(CommandLine.arguments.dropFirst())) } catch {
            console.print("Error: \(error)", to: .error)
            console.print("Run '\(path) --help' for usage.", to: .error)
            return .done(1)
        }
        if !command.deprecation.isEmpty {
            console.print("Command \(GoText.quoted(command.name)) is deprecated, \(command.deprecation)", to: .error)
        }
        do {
            let flags = command.allFlags
            var parser = FlagParser(flags: flags, stopsAtFirstArgument: command.stopsAtFirstArgument)
            defer { for note in parser.notes { console.print(note, to: .error) } }
            try parser.parse(rest)
            if flags.isSet("help") || !command.isRunnable && !(flags.isSet("version") && !command.version.isEmpty) {
                console.write(command.help, to: .output)
                return .done(0)
            }
            if !command.version.isEmpty, flags.isSet("version") {
                console.print("\(command.name) version \(command.version)")
                return .done(0)
            }
            rest = parser.operands
            try command.arguments?.check(command, rest)
            try self.environment?.apply(to: persistentFlags.all, environment ?? ProcessEnvironment.all())
            let missing = flags.filter { $0.isRequired && !$0.isGiven }.map { GoText.quoted($0.name) }.sorted()
            guard missing.isEmpty else { throw CommandLineError("required flag(s) \(missing.joined(separator: ", ")) not set") }
            for group in command.flagGroups { try group.check(flags) }
            let invocation = Invocation(
                command: command, arguments: rest, argumentsBeforeDash: parser.operandsBeforeDash, console: console)
            try command.nearest(\.prepare)?(invocation)
            return .run(invocation)
        } catch {
            return .done(report(error, command, console))
        }
    }

    /// Prints an error as its kind demands and says the status.
    private func report(_ error: any Error, _ command: Command, _ console: Console) -> Int32 {
        switch error {
        case let failure as CommandFailure:
            if !failure.description.isEmpty { console.print("Error: \(failure)", to: .error) }
            return failure.status
        case let error as CommandLineError:
            console.print("Error: \(error)", to: .error)
            console.write(command.usage + "\n", to: usageStream)
            return 1
        default:
            console.print("Error: \(error)", to: .error)
            return 1
        }
    }
}

extension [any Flag] {
    fileprivate func isSet(_ name: String) -> Bool { (first { $0.name == name } as? TypedFlag<Bool>)?.value ?? false }
}

/// The process's environment without Foundation.
public enum ProcessEnvironment {
    public static func all() -> [String: String] {
        var variables: [String: String] = [:]
        var entry: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?> = environ
        while let text = entry.pointee {
            let line = String(cString: text)
            if let equals = line.firstIndex(of: "=") { variables[String(line[..<equals])] = String(line[line.index(after: equals)...]) }
            entry += 1
        }
        return variables
    }

    public static func value(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
}
