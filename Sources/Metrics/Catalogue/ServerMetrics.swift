// The `etcd_server_*` families of proposals, reads, leadership and identity.

/// Series of the consensus loop and the server as a whole.
public struct ServerMetrics: Sendable {
    /// Whether this member knows a leader. Set by every change of Raft's soft state.
    public let hasLeader: Gauge
    /// Whether this member leads. Set by every change of Raft's soft state.
    public let isLeader: Gauge
    /// Whether this member is a learner. Set when the membership of the local member changes.
    public let isLearner: Gauge
    /// Moved by each change to another leader that is not "none".
    public let leaderChangesSeen: Counter
    /// The last committed Raft index. Set with every change of the hard state.
    public let proposalsCommitted: Gauge
    /// The last applied Raft index. Set after every round of apply.
    public let proposalsApplied: Gauge
    /// +1 when a proposal is made, -1 when its result (or failure) is known.
    public let proposalsPending: Gauge
    /// Moved by proposals that Raft refused or that timed out.
    public let proposalsFailed: Counter
    /// Moved by each "apply request took too long" warning.
    public let slowApplies: Counter
    /// Moved by late or timed-out answers to a read index request.
    public let slowReadIndexes: Counter
    /// Moved by read index requests that failed (leader change, Raft error).
    public let readIndexesFailed: Counter
    /// Moved by each heartbeat a leader sends later than twice its interval.
    public let heartbeatSendFailures: Counter
    /// The quota in force, in bytes; negative means none. Set at start.
    public let quotaBackendBytes: Gauge
    /// Moved by each lease that this leader found expired and proposed to revoke.
    public let leasesExpired: Counter

    /// Time of each applied Raft request by `version`, `op` and `success`. Use `lazy`: a series appears with its event.
    public let applyDuration: Vector<Histogram>
    /// Evaluation time of each range, also inside transactions, by `success`.
    public let rangeDuration: Vector<Histogram>
    /// Time from admission to result by `type` and `success`.
    public let requestDuration: Vector<Histogram>
    /// Calls by `type` (unary, stream) and `client_api_version`.
    public let clientRequests: Vector<Counter>
    /// Active alarms by `server_id` and `alarm_type`: +1 when raised, -1 when disarmed.
    public let alarms: Vector<Gauge>

    private let clusterVersions: Vector<Gauge>
    private let identities: Vector<Gauge>
    private let serverVersions: Vector<Gauge>
    private let runtimeVersions: Vector<Gauge>
    private let features: Vector<Gauge>

    public init(_ registry: Registry) {
        hasLeader = registry.gauge(
            "etcd_server_has_leader", help: "Whether this member knows a leader: 1 yes, 0 no.")
        isLeader = registry.gauge("etcd_server_is_leader", help: "Whether this member is the leader: 1 yes, 0 no.")
        isLearner = registry.gauge("etcd_server_is_learner", help: "Whether this member is a learner: 1 yes, 0 no.")
        leaderChangesSeen = registry.counter(
            "etcd_server_leader_changes_seen_total", help: "Leader changes seen by this member.")
        proposalsCommitted = registry.gauge(
            "etcd_server_proposals_committed_total", help: "Index of the last committed Raft entry.")
        proposalsApplied = registry.gauge(
            "etcd_server_proposals_applied_total", help: "Index of the last applied Raft entry.")
        proposalsPending = registry.gauge(
            "etcd_server_proposals_pending", help: "Proposals that wait to be committed and applied.")
        proposalsFailed = registry.counter("etcd_server_proposals_failed_total", help: "Proposals that failed.")
        slowApplies = registry.counter(
            "etcd_server_slow_apply_total", help: "Requests whose apply took longer than the warning threshold.")
        slowReadIndexes = registry.counter(
            "etcd_server_slow_read_indexes_total", help: "Read index answers that came late or not in time.")
        readIndexesFailed = registry.counter(
            "etcd_server_read_indexes_failed_total", help: "Read index requests that failed.")
        heartbeatSendFailures = registry.counter(
            "etcd_server_heartbeat_send_failures_total",
            help: "Heartbeats this leader sent late, likely for a slow disk.")
        quotaBackendBytes = registry.gauge(
            "etcd_server_quota_backend_bytes", help: "Storage quota in bytes; negative means no quota.")
        leasesExpired = registry.counter(
            "etcd_debugging_server_lease_expired_total", help: "Leases found expired by this leader.")

        applyDuration = registry.histograms(
            "etcd_server_apply_duration_seconds", help: "Time to apply a request, in seconds.",
            labels: ["version", "op", "success"], buckets: .tenthMilliseconds20)
        rangeDuration = registry.histograms(
            "etcd_server_range_duration_seconds", help: "Time to evaluate a range, in seconds.",
            labels: ["success"], buckets: .tenthMilliseconds20)
        requestDuration = registry.histograms(
            "etcd_server_request_duration_seconds", help: "Time from admission of a request to its result, in seconds.",
            labels: ["type", "success"], buckets: .milliseconds14)
        clientRequests = registry.counters(
            "etcd_server_client_requests_total", help: "Calls by clients, by the API version they name.",
            labels: ["type", "client_api_version"])
        alarms = registry.gauges(
            "etcd_debugging_server_alarms", help: "Active alarms by member and type.",
            labels: ["server_id", "alarm_type"])

        clusterVersions = registry.gauges(
            "etcd_cluster_version", help: "The cluster version in force: 1 on its label.", labels: ["cluster_version"])
        identities = registry.gauges(
            "etcd_server_id", help: "The member ID in hexadecimal: 1 on its label.", labels: ["server_id"])
        serverVersions = registry.gauges(
            "etcd_server_version", help: "The server version: 1 on its label.", labels: ["server_version"])
        runtimeVersions = registry.gauges(
            "etcd_server_go_version", help: "The language runtime the server is built with: 1 on its label.",
            labels: ["server_go_version"])
        features = registry.gauges(
            "etcd_server_feature_enabled", help: "Whether a feature gate is on: 1 yes, 0 no.", labels: ["name", "stage"])
    }

    /// Publishes what never changes: called once, when the member knows itself.
    public func setIdentity(memberID: UInt64, serverVersion: String, runtimeVersion: String) {
        identities.series(hexadecimal(memberID)).set(true)
        serverVersions.series(serverVersion).set(true)
        runtimeVersions.series(runtimeVersion).set(true)
    }

    /// Publishes a feature gate; called once for each gate at start. `stage` is ALPHA, BETA or empty.
    public func setFeature(_ name: String, stage: String, enabled: Bool) {
        features.series(name, stage).set(enabled)
    }

    /// Publishes the cluster version in force (`3.7`); the version before falls to 0.
    public func setClusterVersion(_ version: String, replacing previous: String?) {
        if let previous, previous != version { clusterVersions.series(previous).set(false) }
        clusterVersions.series(version).set(true)
    }
}

/// A member ID as labels show it: lower case, no leading zeros.
public func hexadecimal(_ id: UInt64) -> String { String(id, radix: 16) }
