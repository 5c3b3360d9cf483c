// Spans and the lines of slow requests.

import Testing

@testable import DatastoreTracing

@Test func aSpanTellsWhichStepWasSlow() {
    var span = RequestSpan(start: 1_000)
    #expect(span.steps.isEmpty && span.slowest == nil)
    span.mark(.queued, at: 1_000)
    span.mark(.proposed, at: 1_500)
    span.mark(.fsynced, at: 9_500)
    span.mark(.applied, at: 10_000)
    #expect(span.elapsed(.queued) == 0)
    #expect(span.elapsed(.appended) == nil)
    #expect(span.steps.map(\.nanoseconds) == [0, 500, 8_000, 500])
    #expect(span.slowest?.step == .fsynced && span.slowest?.nanoseconds == 8_000)
    #expect(span.field == .strings("steps", ["queued 0s", "proposed 500ns", "fsynced 8µs", "applied 500ns"]))
}

@Test func aSpanIsSmall() {
    #expect(MemoryLayout<RequestSpan>.size == 80)
}

@Test func aSlowApplyHasItsFields() {
    var apply = SlowApply(
        nanoseconds: 250_000_000, threshold: .milliseconds(100), kind: .readOnlyRange, request: "key:\"a\" ",
        response: "range_response_count:1 size:30")
    #expect(
        apply.fields == [
            .duration("took", 250_000_000), .duration("expected-duration", 100_000_000),
            .string("prefix", "read-only range "), .string("request", "key:\"a\" "),
            .string("response", "range_response_count:1 size:30"),
        ])
    apply.error = "etcdserver: mvcc: required revision has been compacted"
    #expect(apply.fields.last == .error("etcdserver: mvcc: required revision has been compacted"))
    #expect(ApplyKind.replicated.rawValue.isEmpty)
}

@Test func requestStatisticsHaveTheirFields() {
    let statistics = RequestStatistics(
        startUnixNanoseconds: 1, nanoseconds: 2, remote: nil, method: "/etcdserverpb.KV/Range", content: .unknown)
    #expect(
        statistics.fields.map(\.name) == [
            "start time", "time spent", "remote", "response type", "request count", "request size",
            "response count", "response size", "request content",
        ])
    #expect(statistics.fields[2] == .string("remote", "No remote client info."))
    #expect(statistics.fields[4] == .int("request count", -1))
    #expect(statistics.fields[8] == .string("request content", ""))
}
