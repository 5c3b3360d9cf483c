// Answers of one round of consensus on their way to one event loop.

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

    let sink = ByteSink(capacity: 1024)
    private(set) var answers: [Answer] = []
    /// Reads that may be served now.
    private(set) var reads: [PendingRead] = []

    var isEmpty: Bool { answers.isEmpty && reads.isEmpty }

    func add(_ call: Call, from offset: Int) {
        answers.append(Answer(call: call, offset: offset, length: sink.count - offset, error: nil))
    }

    func add(_ call: Call, failed error: CallError) {
        answers.append(Answer(call: call, offset: 0, length: 0, error: error))
    }

    func add(_ read: PendingRead) { reads.append(read) }

    /// On the event loop: sends every answer.
    func deliver() {
        let bytes = sink.bytes
        for answer in answers {
            if let error = answer.error {
                answer.call.fail(error)
            } else {
                let message = UnsafeRawBufferPointer(rebasing: bytes[answer.offset..<answer.offset + answer.length])
                answer.call.reply { $0.append(message) }
            }
        }
        for read in reads where read.call.isAlive {
            read.request.withUnsafeBytes { read.handler.serve(read.call, $0) }
        }
    }
}
