// The ETCD_… variables: below the command line, above the defaults.

import DatastoreTracing

/// What the environment says about flags.
struct EnvironmentFlags {
    /// Text of each flag that a variable set.
    var values: [String: String] = [:]
    /// Lines to log, in order.
    var lines: [DeferredLogLine] = []
    /// Why the server must not start.
    enum Refusal: Error, Equatable {
        /// A variable and its flag are both given.
        case shadowed(variable: String)
        case invalid(String)
    }
}

extension EnvironmentFlags {
    /// Asks for nothing: a version is asked for by the flag only.
    private static let versionVariable = "ETCD_VERSION"

    /// - Parameter given: names of the flags on the command line. Lines logged up to a refusal are in `lines`.
    mutating func read(_ environment: [String: String], given: Set<String>) throws(Refusal) {
        if let version = environment[Self.versionVariable] {
            lines.append(
                .early(
                    .warn, "cannot set special environment variable",
                    [.string("key", Self.versionVariable), .string("value", version)]))
        }
        for flag in FlagTable.all.sorted(by: { $0.name < $1.name }) where !given.contains(flag.name) {
            let variable = flag.environmentName
            guard variable != Self.versionVariable, let text = environment[variable], !text.isEmpty else { continue }
            do {
                try flag.kind.check(text)
            } catch {
                throw .invalid("invalid value \(quoted(text)) for \(variable): \(error.reason)")
            }
            values[flag.name] = text
            lines.append(
                .early(
                    .info, "recognized and used environment variable",
                    [.string("variable-name", variable), .string("variable-value", text)]))
        }
        try checkOthers(environment, given: given)
    }

    private mutating func checkOthers(_ environment: [String: String], given: Set<String>) throws(Refusal) {
        // An empty variable sets nothing, but stands in the way of its flag like any other.
        for (variable, text) in environment.sorted(by: { $0.key < $1.key })
        where variable.hasPrefix("ETCD_") && variable != Self.versionVariable {
            let flag = FlagTable.byEnvironmentName[variable]
            if let flag, given.contains(flag.name) { throw .shadowed(variable: variable) }
            if let flag, values[flag.name] != nil { continue }
            lines.append(
                .early(
                    .warn, "unrecognized environment variable",
                    [.string("environment-variable", "\(variable)=\(text)")]))
        }
    }
}
