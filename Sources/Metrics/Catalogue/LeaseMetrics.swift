// Families of leases and of the auth store's revision.

/// Series of the lessor.
public struct LeaseMetrics: Sendable {
    /// Moved by each applied grant.
    public let granted: Counter
    /// Moved by each applied revoke.
    public let revoked: Counter
    /// Moved by each keep-alive that the leader answered.
    public let renewed: Counter
    /// TTL in seconds of each granted lease.
    public let timeToLive: Histogram

    public init(_ registry: Registry) {
        granted = registry.counter("etcd_debugging_lease_granted_total", help: "Leases granted.")
        revoked = registry.counter("etcd_debugging_lease_revoked_total", help: "Leases revoked.")
        renewed = registry.counter("etcd_debugging_lease_renewed_total", help: "Leases renewed by this leader.")
        timeToLive = registry.histogram(
            "etcd_debugging_lease_ttl_total", help: "TTL of granted leases, in seconds.", buckets: .seconds24,
            unit: .plain)
    }
}

/// The revision of the auth store, read at each scrape.
public struct AuthMetrics: Sendable {
    public init(_ registry: Registry, revision: @escaping @Sendable () -> UInt64) {
        registry.callback("etcd_debugging_auth_revision", help: "The revision of the auth store.") {
            Double(revision())
        }
    }
}
