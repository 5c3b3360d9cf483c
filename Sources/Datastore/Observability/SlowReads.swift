// What is said of reads that took long: "apply request took too long" and "request stats", as for writes.

import DatastoreTracing
import KeySpace
import Transport
import Wire

/// A read on its way, for the lines about slow ones.
struct ReadStatistics {
    /// Monotonic nanoseconds when it began, a wait for the quorum included.
    let start: UInt64
    let kind: ApplyKind
    /// The request's text, made only when it is needed.
    let text: () -> String
    let requestCount: Int
    let requestSize: Int
    /// Keys in each range's answer.
    let counts: [Int]
    /// The response field `count` of a range.
    let responseCount: Int64
    let responseSize: Int
}

extension Node {
    /// Writes the lines of a read that has just been answered, if it was slow.
    func noteRead(_ call: Call, _ read: ReadStatistics) {
        let took = monotonicNow() - read.start
        let threshold = configuration.warningApplyDuration
        if took > UInt64(max(0, threshold.count)) {
            metrics.server.slowApplies.increment()
            let counts = read.counts.map { "range_response_count:\($0)" }.joined(separator: " ")
            let response = read.kind == .readOnlyTransaction ? "responses:<\(counts)> " : counts + " "
            let slow = SlowApply(
                nanoseconds: took, threshold: threshold, kind: read.kind, request: read.text(),
                response: response + "size:\(read.responseSize)")
            log.warn(SlowApply.message, slow.fields)
        }
        if took > UInt64(max(0, configuration.warningUnaryRequestDuration.count)) {
            let content = RequestStatistics.Content(
                requestCount: Int64(read.requestCount), requestSize: Int64(read.requestSize),
                responseCount: read.responseCount, responseSize: Int64(read.responseSize), text: read.text())
            let statistics = RequestStatistics(
                startUnixNanoseconds: Int64(WallClock.nanoseconds()) - Int64(took), nanoseconds: took,
                remote: call.isAlive ? call.remoteAddress : nil,
                method: read.kind == .readOnlyTransaction ? "/etcdserverpb.KV/Txn" : "/etcdserverpb.KV/Range", content: content)
            log.warn(RequestStatistics.message, statistics.fields)
        }
    }
}
