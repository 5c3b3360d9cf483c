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
    #expect(span.field == .strings("request-steps", ["queued 0s", "proposed 500ns", "fsynced 8µs", "applied 500ns"]))
}

@Test func aSpanIsSmall() {
    #expect(MemoryLayout<RequestSpan>.size == 104)
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

@Test func requestsAreShownWithoutValues() {
    var text = RequestText()
    text.header(id: 8_270_757_341_736_586_246)
    text.message("put") {
        $0.string("key", "foo2")
        $0.number("value_size", 3)
        $0.number("lease", 0)
    }
    #expect(text.text == "header:<ID:8270757341736586246 > put:<key:\"foo2\" value_size:3 > ")
    var lease = RequestText()
    lease.header(id: 1, username: "u", authRevision: 2)
    lease.message("lease_grant") {
        $0.number("ttl", -1)
        $0.leaseID("id", 0x2c7_a1fb_61a9_cc05)
        $0.word("empty", "")
        $0.word("target", "VALUE")
    }
    #expect(
        lease.text
            == "header:<ID:1 username:\"u\" auth_revision:2 > lease_grant:<ttl:-1 id:02c7a1fb61a9cc05 target:VALUE > ")
}

@Test func keysAreEscapedAsProtobufTextDoes() {
    var text = RequestText()
    let key: [UInt8] = [0, 0x2f, 0x22, 0x5c, 0x0a, 0x0d, 0x09, 0x7f, 0xff, 0x27]
    key.withUnsafeBytes { text.bytes("key", $0) }
    #expect(text.text == #"key:"\000/\"\\\n\r\t\177\377'" "#)
}
