// etcd's "trace" line of an operation that took longer than a tenth of a second: its steps in etcd's words.

import DatastoreTracing
import Wire

enum TraceLine {
    static let message = "trace"
    /// etcd's constant; no flag.
    static let thresholdNanoseconds: UInt64 = 100_000_000

    /// The fields of the line; nil where etcd writes none.
    static func fields(_ record: RequestRecord, id: () -> Int64) -> [LogField]? {
        guard let description = record.description, let operation = description.operation, record.code == .ok, !description.isStream
        else { return nil }
        let span = record.span
        // etcd's clock stops when the answer is handed to gRPC.
        let duration = span.elapsed(.encoded) ?? record.nanoseconds
        guard duration > thresholdNanoseconds else { return nil }
        var steps: [(text: String, end: UInt64?)] = []
        var detail = description.detail
        switch description.kind {
        case .range:
            steps = [
                ("agreement among raft nodes before linearized reading", span.elapsed(.readIndexWait)),
                ("range keys from in-memory index tree", span.elapsed(.ranged)),
                ("assemble the response", span.elapsed(.encoded)),
            ]
            detail.append(("response_count", "\(record.answer?.counts.first ?? 0)"))
        case .txn where description.isReadOnly:
            steps = [
                ("agreement among raft nodes before linearized reading", span.elapsed(.readIndexWait)),
                ("check requests", span.elapsed(.ranged)), ("assemble the response", span.elapsed(.encoded)),
            ]
            detail.append(("number_of_response", "\(record.answer?.responses ?? 0)"))
        case .put:
            steps = [("process raft request", span.elapsed(.committed)), ("store kv pair into bolt db", span.elapsed(.applied))]
        case .txn:
            steps = [("process raft request", span.elapsed(.committed)), ("check requests", span.elapsed(.applied))]
            detail.append(("number_of_response", "\(record.answer?.responses ?? 0)"))
        case .compaction:
            steps = [("process raft request", span.elapsed(.committed)), ("schedule compaction", span.elapsed(.applied))]
        default: return nil
        }
        detail.append(("response_revision", "\(record.revision)"))
        let threshold = thresholdNanoseconds / UInt64(steps.count + 1)
        var texts: [String] = []
        var last: UInt64 = 0
        for step in steps {
            guard let end = step.end else { continue }
            let took = end > last ? end - last : 0
            if took > threshold { texts.append(Self.step(step.text, took)) }
            last = max(last, end)
        }
        return line(id(), operation.trace, detail, start: record.start, duration, texts)
    }

    /// Of a question to the quorum that linearizable reads waited for; with all of its steps. Moments are monotonic nanoseconds.
    static func readLoop(index: UInt64, applied: UInt64, asked: UInt64, confirmed: UInt64, ended: UInt64) -> [LogField] {
        let duration = ended &- asked
        let answered = confirmed > asked ? confirmed - asked : 0
        let steps = [("read index received", answered), ("applied index is now lower than readState.Index", duration - min(duration, answered))]
        return line(
            Int64(Int32.random(in: 0 ... .max)), "linearizableReadLoop", [("readStateIndex", "\(index)"), ("appliedIndex", "\(applied)")],
            start: Int64(clamping: WallClock.nanoseconds()) - Int64(clamping: duration), duration, steps.map(step))
    }

    private static func step(_ text: String, _ took: UInt64) -> String { "'\(text)'  (duration: \(Nanoseconds(Int64(clamping: took))))" }

    private static func line(
        _ id: Int64, _ operation: String, _ detail: [(name: String, value: String)], start: Int64, _ duration: UInt64, _ steps: [String]
    ) -> [LogField] {
        [
            .int("trace_id", id), .string("operation", operation),
            .string("detail", "{" + detail.map { "\($0.name):\($0.value); " }.joined() + "}"), .duration("duration", duration),
            .time("start", unixNanoseconds: start), .time("end", unixNanoseconds: start + Int64(clamping: duration)),
            .strings("steps", steps), .int("step_count", steps.count),
        ]
    }
}
