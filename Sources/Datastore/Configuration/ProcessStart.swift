// The edge: runs `parse` on the process itself and does what it says.

import DatastoreTracing
import Glibc

extension Configuration {
    /// The configuration of this process; prints, logs and exits where there is none.
    public static func ofThisProcess() -> Configuration {
        let arguments = CommandLine.arguments
        return parse(
            arguments: Array(arguments.dropFirst()), programName: arguments.first ?? "martlet",
            environment: environment()
        ).configurationOrExit()
    }

    private static func environment() -> [String: String] {
        var variables: [String: String] = [:]
        var entry = environ
        while let text = entry.pointee {
            let pair = String(cString: text).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if pair.count == 2 { variables[String(pair[0])] = String(pair[1]) }
            entry += 1
        }
        return variables
    }
}

extension ParseOutcome {
    /// The configuration to run with; otherwise ends the process as the outcome says.
    public func configurationOrExit() -> Configuration {
        switch self {
        case .run(let configuration):
            return configuration
        case .printAndExit(let stdout, let stderr, let status):
            print(stdout, to: STDOUT_FILENO)
            print(stderr, to: STDERR_FILENO)
            exit(status)
        case .logAndExit(let lines, let status):
            if let core = try? LogCore() {
                for line in lines { line.write(to: Log(core: core)) }
                core.close()
            }
            exit(status)
        }
    }

    private func print(_ text: String, to descriptor: Int32) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if count > 0 { rest = rest.dropFirst(count) } else if errno != EINTR { return }
        }
    }
}

extension Configuration {
    /// Says why this configuration cannot be used after all, and ends the process.
    func refuse(_ reason: ConfigurationError) -> Never {
        _ = ParseOutcome.logAndExit(deferredLines.filter(\.isEarly) + reason.lines, status: 1).configurationOrExit()
        preconditionFailure("the process has ended")
    }

    /// Opens the configured log and writes the deferred lines: the early ones to standard error as JSON, the
    /// others to the log.
    public func openLog() throws(LogOpenError) -> Log {
        let early = try LogCore()
        for line in deferredLines where line.isEarly { line.write(to: Log(core: early)) }
        early.close()
        let core = try LogCore(level: logging.level, format: logging.format, outputs: logging.outputs, rotation: logging.rotation?.policy)
        let log = Log(core: core)
        for line in deferredLines where !line.isEarly { line.write(to: log) }
        return log
    }
}
