// Families moved by members coming, going and being promoted.

/// Series of learner promotion on the leader.
public struct LearnerMetrics: Sendable {
    /// Moved by each promotion this leader carried out.
    public let promotions: Counter
    /// Promotions refused while leading, by `Reason` (the error text).
    public let promotionFailures: Vector<Counter>

    public init(_ registry: Registry) {
        promotions = registry.counter(
            "etcd_server_learner_promote_successes", help: "Learners promoted while this member led.")
        promotionFailures = registry.counters(
            "etcd_server_learner_promote_failures", help: "Promotions that failed while this member led.",
            labels: ["Reason"])
    }
}

/// Series of the members this member knows. A single member knows itself.
public struct KnownPeerMetrics: Sendable {
    private let known: Vector<Gauge>

    public init(_ registry: Registry) {
        known = registry.gauges(
            "etcd_network_known_peers", help: "Members known to this member: 1 known, 0 removed.",
            labels: ["Local", "Remote"])
    }

    /// Called for each member at start and by each change of the membership.
    public func set(local: UInt64, remote: UInt64, known isKnown: Bool) {
        known.series(hexadecimal(local), hexadecimal(remote)).set(isKnown)
    }
}
