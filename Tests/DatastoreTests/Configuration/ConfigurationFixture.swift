// Short forms for tests of the configuration.

import DatastoreTracing
import Testing

@testable import Datastore

/// Parses without a network: the default route is as told.
func configure(_ arguments: String..., environment: [String: String] = [:], defaultHost: String? = nil) -> ParseOutcome {
    Configuration.parse(arguments: arguments, environment: environment) { defaultHost }
}

extension ParseOutcome {
    var configuration: Configuration? { if case .run(let configuration) = self { configuration } else { nil } }

    /// The reason in the "failed to verify flags" line of a refusal with status 1.
    var refusal: String? { reason(in: "failed to verify flags", .warn) }

    /// The reason in the lines of a failed start.
    var startFailure: String? {
        let reason = reason(in: "failed to start etcd", .warn)
        return reason == self.reason(in: "discovery failed", .fatal) ? reason : nil
    }

    private func reason(in message: String, _ level: LogLevel) -> String? {
        guard case .logAndExit(let lines, 1) = self,
            let line = lines.last(where: { $0.message == message && $0.level == level }),
            case .string(let reason)? = line.fields.first?.value, line.fields.first?.name == "error"
        else { return nil }
        return reason
    }

    /// What went to standard error with status 2.
    var syntaxError: String? {
        guard case .printAndExit("", let stderr, 2) = self, stderr.contains("\nUsage:\n") else { return nil }
        return String(stderr.prefix { $0 != "\n" })
    }
}

extension Configuration {
    /// The deferred lines with this message.
    func lines(_ message: String) -> [DeferredLogLine] { deferredLines.filter { $0.message == message } }
    func hasLine(_ prefix: String) -> Bool { deferredLines.contains { $0.message.hasPrefix(prefix) } }
}
