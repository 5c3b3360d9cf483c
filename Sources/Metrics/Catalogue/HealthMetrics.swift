// Families moved by the health endpoints.

/// Series of `/health`, `/livez` and `/readyz`.
public struct HealthMetrics: Sendable {
    /// Moved by each `/health` request that answers healthy.
    public let successes: Counter
    /// Moved by each `/health` request that answers unhealthy.
    public let failures: Counter
    private let lastResults: Vector<Gauge>
    private let runs: Vector<Counter>

    public init(_ registry: Registry) {
        successes = registry.counter("etcd_server_health_success", help: "Health requests answered healthy.")
        failures = registry.counter("etcd_server_health_failures", help: "Health requests answered unhealthy.")
        lastResults = registry.gauges(
            "etcd_server_healthcheck", help: "The last result of each health check: 1 passed, 0 failed.",
            labels: ["type", "name"])
        runs = registry.counters(
            "etcd_server_healthchecks_total", help: "Health checks that ran.", labels: ["type", "name", "status"])
    }

    /// Counts one run of check `name` (serializable_read, …) of endpoint `type` (livez, readyz).
    public func record(type: String, name: String, success: Bool) {
        lastResults.series(type, name).set(success)
        runs.series(type, name, success ? "success" : "error").increment()
    }
}
