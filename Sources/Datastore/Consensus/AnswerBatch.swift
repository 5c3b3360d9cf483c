// Answers of one round of consensus on their way to one event loop.

import DatastoreTracing
import Transport
import Wire

/// Filled by the consensus thread, then handed over whole.
final class AnswerBatch: @unchecked Sendable {
    // Unchecked: owned by one thread at a time; the hand-over is the event loop's queue.
    struct Answer {
        let call: Call
        let offset: Int
        let length: Int
        let error: CallError?
    }

    /// A write that took longer than `--warning-unary-request-duration`.
    struct SlowWrite {
        let call: Call
        let kind: InternalRequestKind
        let start: UInt64
        /// Nil if it failed.
        let content: RequestStatistics.Content?
    }

    let sink = ByteSink(capacity: 1024)
    private(set) var answers: [Answer] = []
    /// Reads that may be served now.
    private(set) var reads: [PendingRead] = []
    private var slowWrites: [SlowWrite] = []
    /// Answers to the server itself.
    private var replies: [(reply: LoopReply, result: Result<Range<Int>, CallError>)] = []

    var isEmpty: Bool { answers.isEmpty && reads.isEmpty && replies.isEmpty }

    func add(_ call: Call, from offset: Int) {
        answers.append(Answer(call: call, offset: offset, length: sink.count - offset, error: nil))
    }

    func add(_ call: Call, failed error: CallError) {
        answers.append(Answer(call: call, offset: 0, length: 0, error: error))
    }

    func add(_ reply: LoopReply, from offset: Int) { replies.append((reply, .success(offset..<sink.count))) }
    func add(_ reply: LoopReply, failed error: CallError) { replies.append((reply, .failure(error))) }

    func add(_ read: PendingRead) { reads.append(read) }
    func add(_ slow: SlowWrite) { slowWrites.append(slow) }

    /// On the event loop: sends every answer.
    func deliver(_ log: Log, _ context: LoopContext) {
        for slow in slowWrites { write(slow, log) }
        let bytes = sink.bytes
        for answer in answers {
            if let error = answer.error {
                answer.call.fail(error)
            } else {
                let message = UnsafeRawBufferPointer(rebasing: bytes[answer.offset..<answer.offset + answer.length])
                answer.call.reply { $0.append(message) }
            }
        }
        for (reply, result) in replies { reply.completion(result.map { UnsafeRawBufferPointer(rebasing: bytes[$0]) }) }
        for read in reads where read.call.isAlive {
            context.readStart = read.start
            read.request.withUnsafeBytes { read.handler.serve(read.call, $0) }
        }
        context.readStart = nil
    }

    private func write(_ slow: SlowWrite, _ log: Log) {
        let took = monotonicNow() - slow.start
        let statistics = RequestStatistics(
            startUnixNanoseconds: Int64(WallClock.nanoseconds()) - Int64(took), nanoseconds: took,
            remote: slow.call.isAlive ? slow.call.remoteAddress : nil, method: slow.kind.method,
            content: slow.content ?? .unknown)
        log.warn(RequestStatistics.message, statistics.fields)
    }
}

extension InternalRequestKind {
    /// The full name of the method that proposes it.
    var method: String {
        switch self {
        case .range: "/etcdserverpb.KV/Range"
        case .put: "/etcdserverpb.KV/Put"
        case .deleteRange: "/etcdserverpb.KV/DeleteRange"
        case .txn: "/etcdserverpb.KV/Txn"
        case .compaction: "/etcdserverpb.KV/Compact"
        case .leaseGrant: "/etcdserverpb.Lease/LeaseGrant"
        case .leaseRevoke: "/etcdserverpb.Lease/LeaseRevoke"
        case .alarm: "/etcdserverpb.Maintenance/Alarm"
        default: "\(self)"
        }
    }
}
