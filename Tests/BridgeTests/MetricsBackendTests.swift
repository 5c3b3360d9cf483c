// What a library says to swift-metrics, as a scrape shows it.

import CoreMetrics
import DatastoreMetrics
import MetricsBackend
import Testing

@Suite struct MetricsBackendTests {
    private func lines(_ registry: Registry) -> [String] {
        String(decoding: registry.exposition(), as: UTF8.self).split(separator: "\n").map(String.init)
            .filter { !$0.hasPrefix("# HELP") && !$0.contains("martlet_library_metrics_refused_total") }
    }

    @Test func everyKindIsShown() {
        let registry = Registry()
        let factory = RegistryMetricsFactory(registry, prefix: "app.", timerBuckets: Buckets([0.5, 2]), recorderBuckets: Buckets([10, 100]))
        let counter = Counter(label: "http.requests", dimensions: [("method", "GET"), ("code", "200")], factory: factory)
        counter.increment(by: 3)
        counter.increment(by: -5)
        // Another object, the same series: dimensions have no order.
        Counter(label: "http.requests", dimensions: [("code", "200"), ("method", "GET")], factory: factory).increment()
        // Other names of labels in the same family.
        Counter(label: "http.requests", dimensions: [("proxy-name", "a\"b")], factory: factory).increment()
        let fraction = FloatingPointCounter(label: "joules_total", factory: factory)
        fraction.increment(by: 0.25)
        fraction.increment(by: 0.5)
        let meter = Meter(label: "level", factory: factory)
        meter.set(4.5)
        meter.decrement(by: 1)
        Gauge(label: "degrees", factory: factory).record(-3)
        let recorder = Recorder(label: "sizes", factory: factory)
        for size in [5, 50, 500] { recorder.record(size) }
        recorder.record(0.5)
        let timer = Timer(label: "took", factory: factory)
        timer.recordNanoseconds(1_000_000_000)
        timer.recordSeconds(3)
        #expect(
            lines(registry) == [
                "# TYPE app_degrees gauge", "app_degrees -3",
                "# TYPE app_http_requests_total counter", #"app_http_requests_total{code="200",method="GET"} 4"#,
                #"app_http_requests_total{proxy_name="a\"b"} 1"#,
                "# TYPE app_joules_total counter", "app_joules_total 0.75",
                "# TYPE app_level gauge", "app_level 3.5",
                "# TYPE app_sizes histogram", #"app_sizes_bucket{le="10"} 2"#, #"app_sizes_bucket{le="100"} 3"#, #"app_sizes_bucket{le="+Inf"} 4"#,
                "app_sizes_sum 555.5", "app_sizes_count 4",
                "# TYPE app_took_seconds histogram", #"app_took_seconds_bucket{le="0.5"} 0"#, #"app_took_seconds_bucket{le="2"} 1"#,
                #"app_took_seconds_bucket{le="+Inf"} 2"#, "app_took_seconds_sum 4", "app_took_seconds_count 2",
            ])
        counter.reset()
        #expect(lines(registry).contains(#"app_http_requests_total{code="200",method="GET"} 0"#))
    }

    /// A library cannot make the process end or its memory grow, whatever names it chooses.
    @Test func whatIsTakenOrTooMuchIsRefusedAndCounted() {
        let registry = Registry()
        registry.gauge("ours", help: "Ours.").set(7)
        let factory = RegistryMetricsFactory(registry)
        Meter(label: "ours", factory: factory).set(1)
        Recorder(label: "a", factory: factory).record(1)
        Meter(label: "a", factory: factory).set(1)  // a histogram's name
        Counter(label: "  ", factory: factory).increment()  // a name, if not a good one
        #expect(lines(registry).contains("ours 7") && lines(registry).contains("___total 1"))
        for number in 0..<1_000 {
            Counter(label: "many", dimensions: [("number", "\(number)")], factory: factory).increment()
            Gauge(label: "family\(number)", factory: factory).record(1)
        }
        let text = String(decoding: registry.exposition(), as: UTF8.self)
        let many = text.split(separator: "\n").filter { $0.hasPrefix("many_total{") }
        #expect(many.count == MetricsBackendLimits.seriesPerFamilyMax + 1)
        #expect(many.contains(#"many_total{other="other"} 872"#))
        // `a`, `_`, `many` and as many gauges as there is room for.
        let refused = 2 + 1_000 - (MetricsBackendLimits.familiesMax - 3)
        #expect(text.contains("martlet_library_metrics_refused_total \(refused)\n"))
    }
}
