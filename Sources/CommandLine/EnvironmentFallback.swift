// Values of flags that come from environment variables.

/// Reads the root's persistent flags from variables: `--dial-timeout` is `ETCDCTL_DIAL_TIMEOUT` with the prefix `ETCDCTL`.
public struct EnvironmentFallback {
    /// Without the underscore.
    public var prefix: String
    /// Variables with the prefix that mean something else.
    public var otherVariables: Set<String>
    /// Called for a flag that is given both ways; may throw. Without it the command line's value counts.
    public var onConflict: ((_ variable: String) throws -> Void)?
    /// Called for a variable with the prefix that no flag has.
    public var onUnknown: ((_ variable: String, _ value: String) -> Void)?

    public init(
        prefix: String, otherVariables: Set<String> = [], onConflict: ((_ variable: String) throws -> Void)? = nil,
        onUnknown: ((_ variable: String, _ value: String) -> Void)? = nil
    ) {
        self.prefix = prefix
        self.otherVariables = otherVariables
        self.onConflict = onConflict
        self.onUnknown = onUnknown
    }

    /// The variable of a flag.
    public func variable(_ flag: String) -> String {
        prefix + "_" + flag.map { $0 == "-" ? "_" : $0.uppercased() }.joined()
    }

    /// Sets the flags that were not given.
    func apply(to flags: [any Flag], _ environment: [String: String]) throws {
        var known = otherVariables
        for flag in flags where flag.name != "help" && flag.name != "version" {
            let variable = variable(flag.name)
            known.insert(variable)
            guard let value = environment[variable], !value.isEmpty else { continue }
            if flag.isGiven {
                try onConflict?(variable)
                continue
            }
            do throws(FlagValueError) { try flag.take(value) } catch {
                throw CommandLineError("invalid value \(GoText.quoted(value)) for \(variable): \(error)")
            }
        }
        guard let onUnknown else { return }
        for (variable, value) in environment.sorted(by: { $0.key < $1.key })
        where variable.hasPrefix(prefix + "_") && !known.contains(variable) {
            onUnknown(variable, value)
        }
    }
}
