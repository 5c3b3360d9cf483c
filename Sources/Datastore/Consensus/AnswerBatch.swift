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
        let moments: WriteMoments
    }

    /// A write that took so long that its line needs to say what it was.
    struct SlowWrite {
        let call: Call
        let description: RequestDescription?
        let apply: SlowApply?
    }

    let sink = ByteSink(capacity: 1024)
    private(set) var answers: [Answer] = []
    /// Reads that may be served now.
    private(set) var reads: [PendingRead] = []
    private var slowWrites: [SlowWrite] = []
    /// Answers to the server itself.
    private var replies: [(reply: LoopReply, result: Result<Range<Int>, CallError>)] = []

    var isEmpty: Bool { answers.isEmpty && reads.isEmpty && replies.isEmpty }

    func add(_ call: Call, from offset: Int, _ moments: WriteMoments = WriteMoments()) {
        answers.append(Answer(call: call, offset: offset, length: sink.count - offset, error: nil, moments: moments))
    }

    func add(_ call: Call, failed error: CallError, _ moments: WriteMoments = WriteMoments()) {
        answers.append(Answer(call: call, offset: 0, length: 0, error: error, moments: moments))
    }

    func add(_ reply: LoopReply, from offset: Int) { replies.append((reply, .success(offset..<sink.count))) }
    func add(_ reply: LoopReply, failed error: CallError) { replies.append((reply, .failure(error))) }

    func add(_ read: PendingRead) { reads.append(read) }
    func add(_ slow: SlowWrite) { slowWrites.append(slow) }

    /// On the event loop: sends every answer.
    func deliver(_ log: Log, isObserving: Bool) {
        for slow in slowWrites { note(slow, log) }
        let bytes = sink.bytes
        let now = monotonicNow()
        for answer in answers {
            if let error = answer.error {
                if isObserving { answer.call.writeAnswered(answer.moments, nil, at: now) }
                answer.call.fail(error)
            } else {
                let message = UnsafeRawBufferPointer(rebasing: bytes[answer.offset..<answer.offset + answer.length])
                if isObserving { answer.call.writeAnswered(answer.moments, message, at: now) }
                answer.call.reply { $0.append(message) }
            }
        }
        for (reply, result) in replies { reply.completion(result.map { UnsafeRawBufferPointer(rebasing: bytes[$0]) }) }
        for read in reads where read.call.isAlive {
            read.call.withRecord { $0.span.mark(.readIndexWait, at: now) }
            read.request.withUnsafeBytes { read.handler.serve(read.call, $0) }
        }
    }

    private func note(_ slow: SlowWrite, _ log: Log) {
        guard let notes = RequestNotes.make(slow.call) else {
            // The caller has gone, which was told already; not what was slow.
            if let apply = slow.apply { log.warn(SlowApply.message, apply.fields) }
            return
        }
        if let description = slow.description { notes.description = description }
        notes.apply = slow.apply
    }
}
