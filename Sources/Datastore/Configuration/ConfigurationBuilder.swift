// Turns merged flag values into a configuration, in the order in which its parts depend on each other.

import DatastoreTracing

/// One reading of the flags; collects the lines to log on the way.
struct ConfigurationBuilder {
    let values: FlagValues
    var lines: [DeferredLogLine]
    /// The line that tells the arguments; it comes after all others.
    let running: DeferredLogLine

    mutating func note(_ level: LogLevel, _ message: String, _ fields: LogField...) {
        lines.append(.later(level, message, fields))
    }

    mutating func build(defaultHost: () -> String?) throws(ConfigurationError) -> Configuration {
        let logging = try logSettings()
        noteDeprecations()
        let urls = try endpoints(defaultHost: defaultHost)
        let name = values.string("name")
        try checkDiscovery()
        let initialCluster = try initialCluster(name: name, advertisedPeerURLs: urls.advertisePeer)
        let raft = try raftSettings()
        let compaction = try AutoCompaction(
            mode: values.string("auto-compaction-mode"), retention: values.string("auto-compaction-retention"))
        let features = try featureGates()
        let tlsParameters = try tlsParameters()
        let clientTLS = clientTLS()
        let peerTLS = peerTLS()
        try checkListeners(urls, client: clientTLS, peer: peerTLS)
        let maintenance = try maintenanceSettings()
        let tracing = try traceExport()
        let audit = try auditSettings()
        try checkObservation(tracing, audit)
        let authentication = try authenticationSettings()
        if name == "default" {
            note(
                .warn,
                "it isn't recommended to use default name, please set a value for --name. Note that etcd might "
                    + "run into issue when multiple members have the same default name", .string("name", name))
        }
        let limits = requestLimits()
        let dataDirectory = dataDirectory(name: name)
        let walDirectory = values.string("wal-dir")
        lines += UnsupportedFlags.notes(values, features)
        return Configuration(
            name: name,
            dataDirectory: dataDirectory,
            walDirectory: walDirectory.isEmpty ? dataDirectory + "/member/wal" : walDirectory,
            isWALDedicated: !walDirectory.isEmpty,
            raft: raft,
            limits: limits,
            backend: backendSettings(),
            listenClientURLs: urls.listenClient,
            listenClientHTTPURLs: urls.listenClientHTTP,
            listenPeerURLs: urls.listenPeer,
            listenMetricsURLs: urls.listenMetrics,
            advertiseClientURLs: urls.advertiseClient,
            advertisePeerURLs: urls.advertisePeer,
            clientTLS: clientTLS,
            peerTLS: peerTLS,
            tlsParameters: tlsParameters,
            keepalive: KeepaliveSettings(
                clientPingIntervalMinimum: values.duration("grpc-keepalive-min-time"),
                pingInterval: values.duration("grpc-keepalive-interval"),
                pingTimeout: values.duration("grpc-keepalive-timeout")),
            socketReusesPort: values.boolean("socket-reuse-port"),
            socketReusesAddress: values.boolean("socket-reuse-address"),
            servesGateway: values.boolean("enable-grpc-gateway"),
            corsOrigins: values.strings("cors"),
            hostWhitelist: values.strings("host-whitelist"),
            initialCluster: initialCluster,
            initialClusterState: InitialClusterState(rawValue: values.string("initial-cluster-state"))!,
            initialClusterToken: values.string("initial-cluster-token"),
            discovery: discoverySettings(),
            strictReconfigurationCheck: values.boolean("strict-reconfig-check"),
            maxLearners: values.signed("max-learners"),
            compaction: compaction,
            features: features,
            servesProfiles: values.boolean("enable-pprof") || logging.level == .debug,
            metricsAreExtensive: values.string("metrics") == "extensive",
            monitoring: monitoringSettings(),
            logging: logging,
            tracing: tracing,
            audit: audit,
            slowRequestLinesPerSecond: values.unsigned("slow-request-log-rate"),
            warningApplyDuration: values.duration("warning-apply-duration"),
            warningUnaryRequestDuration: orDefault("warning-unary-request-duration", .milliseconds(300)),
            authentication: authentication,
            maintenance: maintenance,
            unsafeNoFsync: values.boolean("unsafe-no-fsync"),
            deferredLines: lines + [running])
    }

    /// A duration whose zero stands for a default.
    func orDefault(_ name: String, _ fallback: Nanoseconds) -> Nanoseconds {
        let given = values.duration(name)
        return given == .zero ? fallback : given
    }

    private mutating func dataDirectory(name: String) -> String {
        let given = values.string("data-dir")
        guard given.isEmpty else { return given }
        let directory = name + ".etcd"
        note(.warn, "'data-dir' was empty; using default", .string("data-dir", directory))
        return directory
    }

    private mutating func noteDeprecations() {
        if values.isGiven("v2-deprecation") {
            note(
                .warn,
                "--v2-deprecation is deprecated and scheduled for removal in v3.8. The default value is enforced, "
                    + "ignoring user input.")
        }
        if values.isGiven("max-snapshots") {
            note(.warn, "--max-snapshots is deprecated in 3.6 and will be decommissioned in 3.8.")
        }
    }
}
