// The `promhttp_*` families: scrapes of /metrics itself.

/// Series moved by the handler of `/metrics`.
public struct ScrapeMetrics: Sendable {
    /// +1 when a scrape begins, -1 when it ends.
    public let inFlight: Gauge
    private let ok: Counter
    private let failed: Counter
    private let unavailable: Counter

    public init(_ registry: Registry) {
        inFlight = registry.gauge(
            "promhttp_metric_handler_requests_in_flight", help: "Scrapes being served.")
        let requests = registry.counters(
            "promhttp_metric_handler_requests_total", help: "Scrapes by HTTP status code.", labels: ["code"])
        ok = requests.series("200")
        failed = requests.series("500")
        unavailable = requests.series("503")
    }

    /// Counts a scrape that was answered with `status`.
    public func finished(status: Int) {
        switch status {
        case 200: ok.increment()
        case 503: unavailable.increment()
        default: failed.increment()
        }
    }
}
