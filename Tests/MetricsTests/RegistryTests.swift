// Registry, series and the text formats.

import Testing

@testable import DatastoreMetrics

private func text(_ registry: Registry, _ format: ExpositionFormat = .text) -> String {
    String(decoding: registry.exposition(format), as: UTF8.self)
}

@Test func familiesAreSortedWhateverTheOrderOfDeclaration() {
    let registry = Registry()
    _ = registry.gauge("b", help: "B.")
    _ = registry.counter("a_total", help: "A.")
    _ = registry.gauge("c", help: "C.")
    #expect(
        text(registry) == """
            # HELP a_total A.
            # TYPE a_total counter
            a_total 0
            # HELP b B.
            # TYPE b gauge
            b 0
            # HELP c C.
            # TYPE c gauge
            c 0

            """)
}

@Test func aHistogramIsCumulativeAndConsistent() {
    let registry = Registry()
    let histogram = registry.histogram("t_seconds", help: "T.", buckets: Buckets([0.001, 0.002, 0.004]))
    for microseconds in [500, 1_000, 1_001, 4_000, 9_000] as [UInt64] {
        histogram.observe(nanoseconds: microseconds * 1_000)
    }
    #expect(histogram.count == 5)
    #expect(
        text(registry) == """
            # HELP t_seconds T.
            # TYPE t_seconds histogram
            t_seconds_bucket{le="0.001"} 2
            t_seconds_bucket{le="0.002"} 3
            t_seconds_bucket{le="0.004"} 4
            t_seconds_bucket{le="+Inf"} 5
            t_seconds_sum 0.015501
            t_seconds_count 5

            """)
}

@Test func histogramsOfWholeMillisecondsPutZeroBelowHalf() {
    let registry = Registry()
    let histogram = registry.histogram(
        "pause_milliseconds", help: "P.", buckets: Buckets([0.5, 1, 2]), unit: .milliseconds)
    histogram.observe(nanoseconds: 700_000)
    histogram.observe(nanoseconds: 1_999_999)
    #expect(text(registry).contains("le=\"0.5\"} 1\n"))
    #expect(text(registry).contains("le=\"1\"} 2\n"))
    #expect(text(registry).contains("pause_milliseconds_sum 1\n"))
}

@Test func aHistogramAgreesWithANaiveModel() {
    var random = SeededGenerator(seed: 0x5EED_0001)
    let registry = Registry()
    let histogram = registry.histogram("t_seconds", help: "T.", buckets: .milliseconds14)
    var observations: [UInt64] = []
    for _ in 0..<2_000 {
        let magnitude = UInt64.random(in: 0..<35, using: &random)
        let nanoseconds = UInt64.random(in: 0...(1 << magnitude), using: &random)
        observations.append(nanoseconds)
        histogram.observe(nanoseconds: nanoseconds)
    }
    let exposed = text(registry)
    for bound in Buckets.milliseconds14.bounds {
        let limit = UInt64((bound * 1e9).rounded())
        var label: [UInt8] = []
        appendNumber(bound, to: &label)
        let expected = observations.filter { $0 <= limit }.count
        #expect(exposed.contains("le=\"\(String(decoding: label, as: UTF8.self))\"} \(expected)\n"))
    }
    #expect(histogram.sum == Double(observations.reduce(0, +)) / 1e9)
}

@Test func vectorsHaveNoTextUntilFirstUse() {
    let registry = Registry()
    let vector = registry.counters("calls_total", help: "C.", labels: ["type", "API"])
    let lazy = vector.lazy("send", "watch")
    #expect(text(registry).isEmpty)
    lazy.handle.add(3)
    #expect(lazy.handle.value == 3)
    vector.series("receive", "watch").increment()
    // Labels in the order of their names, series in the order of their values.
    #expect(
        text(registry) == """
            # HELP calls_total C.
            # TYPE calls_total counter
            calls_total{API="watch",type="receive"} 1
            calls_total{API="watch",type="send"} 3

            """)
}

@Test func sameLabelsAreTheSameSeries() {
    let registry = Registry()
    let vector = registry.gauges("g", help: "G.", labels: ["x"])
    vector.series("1").set(5)
    vector.series("1").decrement()
    #expect(vector.series("1").value == 4)
}

@Test func labelSetsBeyondTheBoundShareOther() {
    let registry = Registry()
    let vector = registry.counters("c_total", help: "C.", labels: ["who"], seriesMaximum: 2)
    for who in ["a", "b", "c", "d", "a"] { vector.series(who).increment() }
    #expect(text(registry).contains("c_total{who=\"a\"} 2\n"))
    #expect(text(registry).contains("c_total{who=\"b\"} 1\n"))
    #expect(text(registry).contains("c_total{who=\"other\"} 2\n"))
    #expect(!text(registry).contains("who=\"c\""))
}

@Test func longLabelValuesAreCut() {
    let registry = Registry()
    let vector = registry.counters("c_total", help: "C.", labels: ["who"])
    vector.series(String(repeating: "x", count: 10_000)).increment()
    #expect(registry.exposition().count < 600)
}

@Test func labelsAndHelpAreEscaped() {
    let registry = Registry()
    registry.gauges("g", help: "back\\slash\nand \"quotes\"", labels: ["l"]).series("a\\b\"c\nd").set(1)
    #expect(text(registry).contains("# HELP g back\\\\slash\\nand \"quotes\"\n"))
    #expect(text(registry).contains("g{l=\"a\\\\b\\\"c\\nd\"} 1\n"))
    #expect(text(registry, .openMetrics).contains("# HELP g back\\\\slash\\nand \\\"quotes\\\"\n"))
}

@Test func callbacksAreReadAtTheScrapeAndMayBeAbsent() {
    let registry = Registry()
    registry.callback("present", help: "P.") { 1.5 }
    registry.callback("absent", help: "A.") { nil }
    #expect(text(registry) == "# HELP present P.\n# TYPE present gauge\npresent 1.5\n")
}

@Test func openMetricsHasItsOwnForms() {
    let registry = Registry()
    registry.counter("done_total", help: "D.").add(2)
    _ = registry.counter("odd", help: "O.")
    registry.histogram("t_seconds", help: "T.", buckets: Buckets([1])).observe(nanoseconds: 2_000_000_000)
    #expect(
        text(registry, .openMetrics) == """
            # HELP done D.
            # TYPE done counter
            done_total 2.0
            # HELP odd O.
            # TYPE odd unknown
            odd 0.0
            # HELP t_seconds T.
            # TYPE t_seconds histogram
            t_seconds_bucket{le="1.0"} 0
            t_seconds_bucket{le="+Inf"} 1
            t_seconds_sum 2.0
            t_seconds_count 1
            # EOF

            """)
}

@Test(arguments: [
    (nil, ExpositionFormat.text),
    ("*/*", .text),
    ("text/plain", .text),
    ("application/json", .text),
    ("application/openmetrics-text", .openMetrics),
    ("application/openmetrics-text; version=1.0.0; q=0.8, text/plain; version=0.0.4; q=0.5", .text),
    ("application/openmetrics-text; version=1.0.0, text/plain; q=0", .openMetrics),
    ("application/openmetrics-text; version=1.0.0; q=0.5, application/json", .openMetrics),
    ("application/openmetrics-text; version=\"1.0.0\"", .openMetrics),
    ("application/openmetrics-text; version=2.0.0, */*;q=0.1", .text),
    ("application/openmetrics-text; q=0", .text),
    (";;,=,", .text),
] as [(String?, ExpositionFormat)])
func theFormatIsNegotiated(accept: String?, expected: ExpositionFormat) {
    #expect(ExpositionFormat.negotiated(accept: accept) == expected)
}

@Test func updatesFromManyThreadsAreAllCounted() async {
    let registry = Registry()
    let counter = registry.counter("c_total", help: "C.")
    let gauge = registry.gauge("g", help: "G.")
    let histogram = registry.histogram("h_seconds", help: "H.", buckets: .milliseconds14)
    let vector = registry.counters("v_total", help: "V.", labels: ["n"])
    await withTaskGroup(of: Void.self) { group in
        for task in 0..<4 {
            group.addTask {
                for round in 0..<2_000 {
                    counter.increment()
                    gauge.add(round.isMultiple(of: 2) ? 1 : -1)
                    histogram.observe(nanoseconds: UInt64(round))
                    vector.series("\((round + task) % 10)").increment()
                    if round % 500 == 0 { _ = registry.exposition() }
                }
            }
        }
    }
    #expect(counter.value == 8_000)
    #expect(gauge.value == 0)
    #expect(histogram.count == 8_000)
    #expect((0..<10).map { vector.series("\($0)").value }.reduce(0, +) == 8_000)
}
