// The token provider, as `--auth-token` names it.

import DatastoreTracing

/// How authenticated clients prove who they are.
public enum AuthToken: Sendable, Equatable {
    /// Random tokens known to this member.
    case simple
    /// Signed tokens.
    case jwt(JWTOptions)

    static let refusal = ConfigurationError("auth: invalid auth options", isStartFailure: true)
}

/// Options of signed tokens.
public struct JWTOptions: Sendable, Equatable {
    public let signMethod: String
    public let publicKeyPath: String
    public let privateKeyPath: String
    public let ttl: Nanoseconds
}

extension AuthToken {
    /// Reads `simple` or `jwt,sign-method=…,…`; lines about unknown options are appended to `lines`.
    init(_ text: String, lines: inout [DeferredLogLine]) throws(ConfigurationError) {
        let parts = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        var options: [String: String] = [:]
        for part in parts.dropFirst() {
            let pair = part.split(separator: "=", omittingEmptySubsequences: false).map(String.init)
            guard pair.count == 2, options[pair[0]] == nil else { throw Self.refusal }
            options[pair[0]] = pair[1]
        }
        switch parts[0] {
        case "simple":
            self = .simple
        case "jwt":
            self = .jwt(try Self.jwt(options, lines: &lines))
        default:
            throw Self.refusal
        }
    }

    private static func jwt(
        _ options: [String: String], lines: inout [DeferredLogLine]
    ) throws(ConfigurationError) -> JWTOptions {
        let known: Set = ["sign-method", "pub-key", "priv-key", "ttl"]
        for name in options.keys.sorted() where !known.contains(name) {
            lines.append(.later(.warn, "unknown JWT token option", [.string("option", name)]))
        }
        guard let method = options["sign-method"], JWTOptions.algorithms[method] != nil else { throw refusal }
        var ttl = Nanoseconds.minutes(5)
        if let text = options["ttl"] {
            guard let given = Nanoseconds(text) else { throw refusal }
            ttl = given
        }
        return JWTOptions(
            signMethod: method, publicKeyPath: options["pub-key"] ?? "", privateKeyPath: options["priv-key"] ?? "",
            ttl: ttl)
    }
}
