// The line that shows the whole configuration at start: "starting an etcd server".

import DatastoreTracing

extension Configuration {
    /// The message of the line.
    public static let startMessage = "starting an etcd server"

    /// Its fields, in the order in which etcd has them.
    ///
    /// - Parameters:
    ///   - memberInitialized: whether the data directory holds a member already.
    ///   - processorLimit: processors that the server uses at once.
    ///   - processors: processors of the machine.
    public func startFields(memberInitialized: Bool, processorLimit: Int, processors: Int) -> [LogField] {
        versionFields(processorLimit, processors) + memberFields(memberInitialized) + urlFields + clusterFields
            + maintenanceFields + discoveryFields
            + [
                .string("downgrade-check-interval", maintenance.downgradeCheckPeriod.description),
                .int("max-learners", maxLearners), .string("v2-deprecation", "write-only"),
            ]
    }

    /// The directory of the member below the data directory.
    public var memberDirectory: String { dataDirectory + "/member" }

    private func versionFields(_ processorLimit: Int, _ processors: Int) -> [LogField] {
        [
            .string("etcd-version", Version.server), .string("git-sha", Version.commit),
            .string("go-version", Version.runtime), .string("go-os", "linux"),
            .string("go-arch", Version.architecture), .int("max-cpu-set", processorLimit),
            .int("max-cpu-available", processors),
        ]
    }

    private func memberFields(_ memberInitialized: Bool) -> [LogField] {
        let walText = isWALDedicated ? walDirectory : ""
        return [
            .bool("member-initialized", memberInitialized), .string("name", name),
            .string("data-dir", dataDirectory), .string("wal-dir", walText),
            .string("wal-dir-dedicated", walText), .string("member-dir", memberDirectory),
            .bool("force-new-cluster", backend.forcesNewCluster),
            .string("heartbeat-interval", Nanoseconds.milliseconds(Int64(raft.heartbeatMilliseconds)).description),
            .string("election-timeout", Nanoseconds.milliseconds(Int64(raft.electionMilliseconds)).description),
            .bool("initial-election-tick-advance", raft.advancesInitialElectionTicks),
            .uint64("snapshot-count", raft.snapshotCount), .uint64("max-wals", raft.walFilesMaximum),
            .uint64("max-snapshots", raft.snapshotFilesMaximum),
            .uint64("snapshot-catchup-entries", raft.snapshotCatchUpEntries),
        ]
    }

    private var urlFields: [LogField] {
        [
            .strings("initial-advertise-peer-urls", advertisePeerURLs.map(\.text)),
            .strings("listen-peer-urls", listenPeerURLs.map(\.text)),
            .strings("advertise-client-urls", advertiseClientURLs.map(\.text)),
            .strings("listen-client-urls", listenClientURLs.map(\.text)),
            .strings("listen-metrics-urls", listenMetricsURLs.map(\.text)), .string("local-address", ""),
            .strings("cors", corsOrigins), .strings("host-whitelist", hostWhitelist),
        ]
    }

    private var clusterFields: [LogField] {
        [
            .string("initial-cluster", initialCluster.text),
            .string("initial-cluster-state", initialClusterState.rawValue),
            .string("initial-cluster-token", initialClusterToken),
            .int("quota-backend-bytes", backend.quotaBytes ?? backend.quotaFlagBytes),
            .uint64("max-request-bytes", limits.requestBytesMaximum),
            .uint64("max-concurrent-streams", UInt64(limits.concurrentStreamsMaximum)),
            .bool("pre-vote", raft.preVote), .string("feature-gates", features.text),
        ]
    }

    private var maintenanceFields: [LogField] {
        [
            .bool("initial-corrupt-check", features.isOn(.initialCorruptCheck)),
            .string("corrupt-check-time-interval", maintenance.corruptCheckPeriod.description),
            .string("compact-check-time-interval", maintenance.compactHashCheckPeriod.description),
            .string("auto-compaction-mode", compaction.mode.rawValue),
            .string("auto-compaction-retention", compaction.retention.description),
            .string("auto-compaction-interval", compaction.retention.description),
        ]
    }

    private var discoveryFields: [LogField] {
        [
            .string("discovery-token", discovery.token),
            .string("discovery-endpoints", discovery.endpoints.joined(separator: ",")),
            .string("discovery-dial-timeout", discovery.dialTimeout.description),
            .string("discovery-request-timeout", discovery.requestTimeout.description),
            .string("discovery-keepalive-time", discovery.keepaliveTime.description),
            .string("discovery-keepalive-timeout", discovery.keepaliveTimeout.description),
            .bool("discovery-insecure-transport", discovery.usesInsecureTransport),
            .bool("discovery-insecure-skip-tls-verify", discovery.skipsVerification),
            .string("discovery-cert", discovery.certificatePath), .string("discovery-key", discovery.keyPath),
            .string("discovery-cacert", discovery.authorityPath), .string("discovery-user", discovery.user),
        ]
    }
}
