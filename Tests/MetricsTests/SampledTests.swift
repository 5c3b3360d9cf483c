// Series made at the scrape, and histograms that a single thread fills.

import Synchronization
import Testing

@testable import DatastoreMetrics

private func lines(_ registry: Registry) -> [String] {
    String(decoding: registry.exposition(), as: UTF8.self).split(separator: "\n").map(String.init)
}

@Test func aSampledFamilyShowsWhatItIsTold() {
    let registry = Registry()
    let labels = ["b\"", "c"].map { SeriesLabels([("zone", "z"), ("name", $0)]) }
    let values = Mutex<[Double]>([])
    registry.sampled("things_total", help: "T.", kind: .counter) { emit in
        for (index, value) in values.withLock({ $0 }).enumerated() { emit(labels[index], value) }
    }
    #expect(lines(registry) == [])
    values.withLock { $0 = [1, 2.5] }
    #expect(
        lines(registry) == [
            "# HELP things_total T.", "# TYPE things_total counter", "things_total{name=\"b\\\"\",zone=\"z\"} 1",
            "things_total{name=\"c\",zone=\"z\"} 2.5",
        ])
}

@Test func aLocalHistogramTellsAllThatItSawOnce() {
    let registry = Registry()
    let family = registry.histograms("t_seconds", help: "T.", labels: ["kind"], buckets: Buckets([0.001, 0.002]))
    let one = LocalHistogram(family.lazy("a"), buckets: Buckets([0.001, 0.002]))
    let other = LocalHistogram(family.lazy("a"), buckets: Buckets([0.001, 0.002]))
    registry.beforeScrape {
        one.tell()
        other.tell()
    }
    #expect(lines(registry) == [], "no series before the first event")
    one.observe(nanoseconds: 1_000_000)
    one.observe(nanoseconds: 1_000_001)
    other.observe(nanoseconds: 5_000_000)
    for _ in 0..<3 {
        #expect(
            lines(registry).dropFirst(2) == [
                "t_seconds_bucket{kind=\"a\",le=\"0.001\"} 1", "t_seconds_bucket{kind=\"a\",le=\"0.002\"} 2",
                "t_seconds_bucket{kind=\"a\",le=\"+Inf\"} 3", "t_seconds_sum{kind=\"a\"} 0.007000001", "t_seconds_count{kind=\"a\"} 3",
            ])
    }
}

@Test func localCountersTellAllThatTheySawOnce() {
    let registry = Registry()
    let targets = [registry.counter("a_total", help: "A."), registry.counter("b_total", help: "B.")]
    let one = LocalCounters(targets)
    let other = LocalCounters(targets)
    registry.beforeScrape {
        one.tell()
        other.tell()
    }
    one.cells.add(3, to: 1)
    other.cells.add(4, to: 1)
    for _ in 0..<3 {
        #expect(lines(registry).contains("a_total 0") && lines(registry).contains("b_total 7"))
    }
    targets[1].add(1)
    one.cells.add(2, to: 0)
    #expect(lines(registry).contains("a_total 2") && lines(registry).contains("b_total 8"))
}

@Test func severalEventsShareATime() {
    let registry = Registry()
    let histogram = registry.histogram("t_seconds", help: "T.", buckets: Buckets([0.001, 0.002]))
    histogram.observe(nanoseconds: 6_000_000, over: 4)
    histogram.observe(nanoseconds: 1, over: 0)
    #expect(histogram.count == 4 && histogram.sum == 0.006)
    #expect(lines(registry).contains("t_seconds_bucket{le=\"0.001\"} 0") && lines(registry).contains("t_seconds_bucket{le=\"0.002\"} 4"))
}
