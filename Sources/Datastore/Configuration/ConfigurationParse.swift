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
    ///   - readFile: the bytes of the configuration file.
    public static func parse(
        arguments: [String], programName: String = "martlet", environment: [String: String],
        defaultHost: () -> String? = HostResolver.defaultRouteAddress,
        readFile: (String) throws(FileReadError) -> [UInt8] = FileReadError.read
    ) -> ParseOutcome {
        if let program = arguments.first, HelpText.otherPrograms.contains(program) {
            return .printAndExit(stdout: "", stderr: HelpText.notProvided(program), status: 1)
        }
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
        func build(_ values: FlagValues) -> ParseOutcome {
            do {
                var builder = ConfigurationBuilder(values: values, lines: lines, running: running)
                return .run(try builder.build(defaultHost: defaultHost))
            } catch {
                return refused(error)
            }
        }
        let path = commandLine.values["config-file"] ?? ""
        let file = path.isEmpty ? environment["ETCD_CONFIG_FILE"] ?? "" : path
        if !file.isEmpty {
            // The file decides alone: no other flag, no variable.
            do {
                let values = FlagValues(file: try ConfigurationFile(path: file, readFile))
                lines.append(
                    .later(
                        .info,
                        "loaded server configuration, other configuration command line flags and environment variables "
                            + "will be ignored if provided", [.string("path", file)]))
                return build(values)
            } catch {
                switch error {
                case .invalid(let reason): return refused(ConfigurationError(reason))
                case .badURL(let text): return .printAndExit(stdout: "", stderr: text + "\n", status: 1)
                }
            }
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
        return build(FlagValues(commandLine: commandLine.values, environment: variables.values))
    }
}
