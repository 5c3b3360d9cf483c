// Where each flag stands in a configuration file: most under their own names, some in blocks, some not at all.

/// The place of a setting in the file.
struct FileKey: Sendable, Equatable {
    enum Form: Sendable { case plain, list }

    /// `["client-transport-security", "cert-file"]`.
    let path: [String]
    /// A list of texts where the flag has one text with commas.
    let form: Form

    var text: String { path.joined(separator: ".") }
}

enum FileKeys {
    /// Flags that a file cannot set.
    private static let none: Set<String> = [
        "config-file", "version", "raft-read-timeout", "raft-write-timeout", "discovery-fallback", "client-crl-file",
        "peer-crl-file",
    ]

    private static let lists: Set<String> = [
        "log-outputs", "cipher-suites", "client-cert-allowed-hostname", "peer-cert-allowed-cn",
        "peer-cert-allowed-hostname", "discovery-endpoints", "audit-log-key-prefixes", "audit-log-methods",
    ]

    private static let paths: [String: [String]] = [
        "socket-reuse-port": ["socket-options", "reuse-port"],
        "socket-reuse-address": ["socket-options", "reuse-address"],
        "cert-file": client("cert-file"), "key-file": client("key-file"),
        "client-cert-file": client("client-cert-file"), "client-key-file": client("client-key-file"),
        "client-cert-auth": client("client-cert-auth"), "trusted-ca-file": client("trusted-ca-file"),
        "auto-tls": client("auto-tls"), "client-cert-allowed-hostname": client("allowed-hostname"),
        "peer-cert-file": peer("cert-file"), "peer-key-file": peer("key-file"),
        "peer-client-cert-file": peer("client-cert-file"), "peer-client-key-file": peer("client-key-file"),
        "peer-client-cert-auth": peer("client-cert-auth"), "peer-trusted-ca-file": peer("trusted-ca-file"),
        "peer-auto-tls": peer("auto-tls"), "peer-cert-allowed-cn": peer("allowed-cn"),
        "peer-cert-allowed-hostname": peer("allowed-hostname"),
        "peer-skip-client-san-verification": peer("skip-client-san-verification"),
        "discovery-token": ["discovery-config", "token"],
        "discovery-endpoints": discovery("endpoints"), "discovery-dial-timeout": discovery("dial-timeout"),
        "discovery-request-timeout": discovery("request-timeout"), "discovery-keepalive-time": discovery("keepalive-time"),
        "discovery-keepalive-timeout": discovery("keepalive-timeout"),
        "discovery-insecure-transport": discovery("secure", "insecure-transport"),
        "discovery-insecure-skip-tls-verify": discovery("secure", "insecure-skip-tls-verify"),
        "discovery-cert": discovery("secure", "cert"), "discovery-key": discovery("secure", "key"),
        "discovery-cacert": discovery("secure", "cacert"), "discovery-user": discovery("auth", "username"),
        "discovery-password": discovery("auth", "password"),
    ]

    /// Settings that only a file can make: the peers' side has flags for them, the clients' has not.
    static let settingsWithoutFlag: [(flag: FlagSpecification, key: FileKey)] = [
        (
            FlagSpecification(
                "client-cert-allowed-cn", .strings, "", .security,
                "accepted client certificate common names; exclusive with client-cert-allowed-hostname"),
            FileKey(path: client("allowed-cn"), form: .list)
        ),
        (
            FlagSpecification(
                "client-skip-client-san-verification", .boolean, "false", .security,
                "do not compare addresses with certificates on metrics ports"),
            FileKey(path: client("skip-client-san-verification"), form: .plain)
        ),
    ]

    static func settingWithoutFlag(_ name: String) -> FlagSpecification? {
        settingsWithoutFlag.first { $0.flag.name == name }?.flag
    }

    static func key(of flag: FlagSpecification) -> FileKey? {
        guard flag.kind != .ignored, !none.contains(flag.name) else { return nil }
        return FileKey(path: paths[flag.name] ?? [flag.name], form: lists.contains(flag.name) ? .list : .plain)
    }

    private static func client(_ key: String) -> [String] { ["client-transport-security", key] }
    private static func peer(_ key: String) -> [String] { ["peer-transport-security", key] }
    private static func discovery(_ keys: String...) -> [String] { ["discovery-config", "client"] + keys }
}
