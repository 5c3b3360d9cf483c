// From arguments and environment to a configuration, or to what to print instead. A pure function: it
// writes nothing and exits nowhere, so that every rule can be tested.

import DatastoreTracing

/// What comes of reading the command line.
public enum ParseOutcome: Sendable {
    case run(Configuration)
    /// Print and exit: version, help, or a mistake in a flag.
    case printAndExit(stdout: String, stderr: String, status: Int32)
    /// Log these lines as JSON on standard error and exit.
    case logAndExit([DeferredLogLine], status: Int32)
}

extension Configuration {
    /// Reads the configuration.
    ///
    /// - Parameters:
    ///   - arguments: the command line without the program's name.
    ///   - programName: that name, for the line that tells what runs.
    ///   - environment: all variables.
    ///   - defaultHost: the address of the default route; asked only where an advertised URL needs it.
    public static func parse(
        arguments: [String], programName: String = "martlet", environment: [String: String],
        defaultHost: () -> String? = HostResolver.defaultRouteAddress
    ) -> ParseOutcome {
        let commandLine: CommandLineFlags
        do {
            commandLine = try CommandLineFlags(parsing: arguments)
        } catch {
            switch error {
            case .helpWanted:
                return .printAndExit(stdout: HelpText.flags, stderr: HelpText.usage, status: 0)
            case .invalid(let message):
                return .printAndExit(stdout: "", stderr: message + "\n" + HelpText.usage, status: 2)
            }
        }
        let running = DeferredLogLine.later(.info, "Running: ", [.strings("args", [programName] + arguments)])
        var lines: [DeferredLogLine] = []
        func refused(_ reason: ConfigurationError) -> ParseOutcome {
            .logAndExit(lines + [running] + reason.lines, status: 1)
        }
        if let stray = commandLine.positional.first {
            return refused(ConfigurationError("\(quoted(stray)) is not a valid flag"))
        }
        if commandLine.values["version"].flatMap(parseBoolean) == true {
            return .printAndExit(stdout: Version.text, stderr: "", status: 0)
        }
        var variables = EnvironmentFlags()
        do {
            defer { lines = variables.lines }
            try variables.read(environment, given: Set(commandLine.values.keys))
        } catch {
            switch error {
            case .shadowed(let variable):
                let message =
                    "conflicting environment variable is shadowed by corresponding command-line flag "
                    + "(either unset environment variable or disable flag))"
                return .logAndExit(
                    lines + [.early(.fatal, message, [.string("environment-variable", variable)])], status: 1)
            case .invalid(let reason):
                return refused(ConfigurationError(reason))
            }
        }
        let values = FlagValues(commandLine: commandLine.values, environment: variables.values)
        do {
            var builder = ConfigurationBuilder(values: values, lines: lines, running: running)
            return .run(try builder.build(defaultHost: defaultHost))
        } catch {
            return refused(error)
        }
    }
}
