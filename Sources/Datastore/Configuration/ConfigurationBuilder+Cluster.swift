// Raft, feature gates, discovery, maintenance: rules that bind several flags.

import DatastoreTracing

extension ConfigurationBuilder {
    private static let electionMillisecondsMaximum: UInt64 = 50_000
    private static let peerTimeoutMinimum = Nanoseconds.seconds(5)

    mutating func raftSettings() throws(ConfigurationError) -> RaftSettings {
        let heartbeat = values.unsigned("heartbeat-interval")
        let election = values.unsigned("election-timeout")
        if heartbeat == 0 { throw ConfigurationError("--heartbeat-interval must be >0 (set to 0ms)") }
        if election == 0 { throw ConfigurationError("--election-timeout must be >0 (set to 0ms)") }
        if heartbeat > Self.electionMillisecondsMaximum || 5 * heartbeat > election {
            throw ConfigurationError(
                "--election-timeout[\(election)ms] should be at least as 5 times as "
                    + "--heartbeat-interval[\(heartbeat)ms]")
        }
        if election > Self.electionMillisecondsMaximum {
            throw ConfigurationError(
                "--election-timeout[\(election)ms] is too long, and should be set less than "
                    + "\(Self.electionMillisecondsMaximum)ms")
        }
        return RaftSettings(
            heartbeatMilliseconds: heartbeat, electionMilliseconds: election,
            advancesInitialElectionTicks: values.boolean("initial-election-tick-advance"),
            preVote: values.boolean("pre-vote"),
            snapshotCount: countOrDefault(
                "snapshot-count", 10_000, "updating snapshot-count to default", "given-snapshot-count",
                "updated-snapshot-count"),
            snapshotCatchUpEntries: countOrDefault(
                "snapshot-catchup-entries", 5_000, "updating snapshot catch-up entries to default",
                "given-snapshot-catchup-entries", "updated-snapshot-catchup-entries"),
            snapshotFilesMaximum: values.unsigned("max-snapshots"),
            walFilesMaximum: values.unsigned("max-wals"),
            peerReadTimeout: peerTimeout("raft-read-timeout"), peerWriteTimeout: peerTimeout("raft-write-timeout"))
    }

    private mutating func peerTimeout(_ name: String) -> Nanoseconds {
        let given = values.duration(name)
        guard given < Self.peerTimeoutMinimum else { return given }
        note(.info, "\(name) increased to minimum value: \(Self.peerTimeoutMinimum)")
        return Self.peerTimeoutMinimum
    }

    private mutating func countOrDefault(
        _ name: String, _ fallback: UInt64, _ message: String, _ givenField: String, _ updatedField: String
    ) -> UInt64 {
        let given = values.unsigned(name)
        guard given == 0 else { return given }
        note(.info, message, .uint64(givenField, given), .uint64(updatedField, fallback))
        return fallback
    }

    mutating func featureGates() throws(ConfigurationError) -> FeatureGates {
        guard let gates = try? FeatureGates.parse(values.string("feature-gates")) else {
            preconditionFailure("unchecked value of feature-gates")
        }
        let checkpoints = gates.isOn(.leaseCheckpoint)
        let persists = gates.isOn(.leaseCheckpointPersist)
        if persists && !checkpoints {
            throw ConfigurationError(
                "enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint")
        }
        if checkpoints && !persists {
            note(
                .warn,
                "Detected that checkpointing is enabled without persistence. Consider enabling feature gate "
                    + "LeaseCheckpointPersist")
        }
        return gates
    }

    func checkDiscovery() throws(ConfigurationError) {
        let hasToken = !values.string("discovery-token").isEmpty
        let hasEndpoints = !values.string("discovery-endpoints").isEmpty
        let ways = [hasToken || hasEndpoints, !values.string("discovery-srv").isEmpty,
            values.isGiven("initial-cluster")]
        if ways.filter({ $0 }).count > 1 {
            throw ConfigurationError(
                "multiple discovery or bootstrap flags are set. Choose one of \"initial-cluster\", "
                    + "\"discovery-endpoints\" or \"discovery-srv\"")
        }
        if hasToken != hasEndpoints {
            throw ConfigurationError("both --discovery-token and --discovery-endpoints must be set")
        }
        if values.string("discovery-fallback") == "proxy" {
            throw ConfigurationError("v2 proxy is deprecated, and discovery fallback must be \"exit\"")
        }
        if values.string("discovery-user").contains(":") && !values.string("discovery-password").isEmpty {
            throw ConfigurationError("--discovery-user must not hold a password when --discovery-password is set")
        }
        try UnsupportedFlags.checkDiscovery(values)
    }

    func discoverySettings() -> DiscoverySettings {
        DiscoverySettings(
            token: values.string("discovery-token"), endpoints: values.strings("discovery-endpoints"),
            dialTimeout: values.duration("discovery-dial-timeout"),
            requestTimeout: values.duration("discovery-request-timeout"),
            keepaliveTime: values.duration("discovery-keepalive-time"),
            keepaliveTimeout: values.duration("discovery-keepalive-timeout"),
            usesInsecureTransport: values.boolean("discovery-insecure-transport"),
            skipsVerification: values.boolean("discovery-insecure-skip-tls-verify"),
            certificatePath: values.string("discovery-cert"), keyPath: values.string("discovery-key"),
            authorityPath: values.string("discovery-cacert"), user: values.string("discovery-user"),
            password: values.string("discovery-password"))
    }

    mutating func requestLimits() -> RequestLimits {
        let requestBytes = values.unsigned("max-request-bytes")
        let recommended: UInt64 = 10 * 1_024 * 1_024
        if requestBytes > recommended {
            note(
                .warn, "exceeded recommended request limit", .uint64("max-request-bytes", requestBytes),
                .string("max-request-size", humanBytes(requestBytes)),
                .uint64("recommended-request-bytes", recommended),
                .string("recommended-request-size", humanBytes(recommended)))
        }
        return RequestLimits(
            requestBytesMaximum: min(requestBytes, UInt64(Int32.max)),
            transactionOperationsMaximum: values.unsigned("max-txn-ops"),
            concurrentStreamsMaximum: UInt32(values.unsigned("max-concurrent-streams")))
    }

    func backendSettings() -> BackendSettings {
        let batchLimit = values.signed("backend-batch-limit")
        return BackendSettings(
            quotaFlagBytes: values.signed("quota-backend-bytes"),
            quotaDisarmsItself: values.boolean("quota-auto-disarm"),
            batchInterval: orDefault("backend-batch-interval", .milliseconds(100)),
            batchLimit: batchLimit == 0 ? 10_000 : batchLimit,
            freelistType: values.string("backend-bbolt-freelist-type"),
            locksMemory: values.boolean("memory-mlock"),
            bootstrapDefragThresholdMegabytes: values.unsigned("bootstrap-defrag-threshold-megabytes"),
            forcesNewCluster: values.boolean("force-new-cluster"))
    }

    func maintenanceSettings() throws(ConfigurationError) -> MaintenanceSettings {
        let hashCheck = values.duration("compact-hash-check-time")
        guard hashCheck > .zero else {
            throw ConfigurationError("--compact-hash-check-time must be >0 (set to \(hashCheck))")
        }
        let batchLimit = values.signed("compaction-batch-limit")
        return MaintenanceSettings(
            corruptCheckPeriod: values.duration("corrupt-check-time"),
            compactHashCheckPeriod: hashCheck,
            compactionBatchLimit: batchLimit <= 0 ? 1_000 : batchLimit,
            pacesCompaction: batchLimit > 0 || values.duration("compaction-sleep-interval") > .zero,
            compactionSleepInterval: orDefault("compaction-sleep-interval", .milliseconds(10)),
            watchProgressNotifyInterval: orDefault("watch-progress-notify-interval", .minutes(10)),
            downgradeCheckPeriod: values.duration("downgrade-check-time"))
    }
}
