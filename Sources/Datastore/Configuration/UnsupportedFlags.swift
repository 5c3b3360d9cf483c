// Flags of features that this build does not have. Where serving without the feature would be dangerous the
// server refuses to start; elsewhere it says that the flag has no effect. Whoever adds a feature removes its
// flags here.

/// What cannot be asked of this build.
enum UnsupportedFlags {
    /// Flags that protect clients' data or decide over a cluster: never silently ignored.
    private static let refused = [
        "config-file", "cert-file", "key-file", "client-cert-auth", "trusted-ca-file", "auto-tls",
        "client-crl-file", "client-cert-allowed-hostname", "force-new-cluster",
    ]
    private static let refusedDiscovery = ["discovery-srv", "discovery-token", "discovery-endpoints"]

    /// Flags that are checked and then mean nothing here.
    static let ineffective = [
        "memory-mlock", "backend-bbolt-freelist-type", "enable-log-rotation", "enable-distributed-tracing",
        "corrupt-check-time", "bootstrap-defrag-threshold-megabytes",
    ]

    static func check(_ values: FlagValues) throws(ConfigurationError) { try refuse(refused, values) }
    static func checkDiscovery(_ values: FlagValues) throws(ConfigurationError) {
        try refuse(refusedDiscovery, values)
    }

    private static func refuse(_ names: [String], _ values: FlagValues) throws(ConfigurationError) {
        for name in names where isOn(name, values) {
            throw ConfigurationError("--\(name) is not supported by this build")
        }
    }

    /// Given, and not with the value that turns it off.
    private static func isOn(_ name: String, _ values: FlagValues) -> Bool {
        FlagTable.byName[name]?.kind == .boolean ? values.boolean(name) : !values.string(name).isEmpty
    }

    static func check(listeners: [EndpointURL]) throws(ConfigurationError) {
        for url in listeners where url.isSecure {
            throw ConfigurationError("TLS is not supported by this build: cannot listen on \(url)")
        }
    }
}
