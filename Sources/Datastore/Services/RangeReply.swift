// The answer to a range on the wire: at once when it is small, pulled from the store while it is sent when
// it is large, so that a list of any size costs a constant amount of memory.

import KeySpace
import Transport
import Wire

enum RangeReply {
    /// Sends the answer. A long walk over the index is done in slices, between which the loop serves others.
    static func send(_ answer: borrowing RangeAnswer, on call: Call, node: Node, _ origin: ReadOrigin) {
        guard answer.isReady else {
            // The answer pins its revision, so later slices see the same state.
            let pending = PendingAnswer(copy answer, origin.kept())
            call.loop.later { continueWalk(pending, call, node) }
            return
        }
        let rangedAt = monotonicRecently()
        respond(answer, call, node)
        let read = node.readAnswered(call, key: origin.key, revision: answer.revision, rangedAt: rangedAt, isKept: origin.isKept)
        if read.isWanted { note(answer, call, node, origin, read.ended) }
        node.readings(call).pointee.rangeEnded(read)
    }

    @inline(never)
    private static func note(_ answer: borrowing RangeAnswer, _ call: Call, _ node: Node, _ origin: ReadOrigin, _ now: UInt64) {
        var facts = AnswerFacts()
        facts.size = answer.encodedLength
        facts.counts = [answer.keyValueCount]
        facts.count = answer.count
        node.noteRead(call, at: now, RequestDescription(.range, origin.bytes), facts)
    }

    private static func respond(_ answer: borrowing RangeAnswer, _ call: Call, _ node: Node) {
        if let cursor = answer.cursor {
            node.readings(call).pointee.traffic.countList(cursor)
        }
        guard let cursor = answer.cursor, answer.encodedLength > ServerLimits.rangeInlineBytesMax else {
            // By way of a scratch buffer: a record that cannot be read must not leave half a message behind.
            let scratch = node.loops[call.loop.index].scratch
            scratch.clear(keeping: 4 * ServerLimits.rangeInlineBytesMax)
            node.headers.append(to: scratch, revision: answer.revision, term: node.consensus.term)
            do { try answer.write(to: scratch) } catch { return call.fail(node.readFailed(error)) }
            call.reply { $0.append(scratch.bytes) }
            return
        }
        let source = RangeBody(cursor, revision: answer.revision, node: node)
        call.reply(length: source.length, source: source)
    }

    private static func continueWalk(_ pending: PendingAnswer, _ call: Call, _ node: Node) {
        guard call.isAlive else { return }
        pending.answer.cursor?.step()
        send(pending.answer, on: call, node: node, pending.origin)
    }
}

/// Carries an answer through the loop's queue; it never leaves the loop.
private final class PendingAnswer: @unchecked Sendable {
    let answer: RangeAnswer
    let origin: ReadOrigin

    init(_ answer: RangeAnswer, _ origin: ReadOrigin) {
        self.answer = answer
        self.origin = origin
    }
}

/// The request that an answer is for, for the lines about slow ones.
struct ReadOrigin {
    /// Of the turn in which they came, or of `kept`.
    private(set) var bytes: UnsafeRawBufferPointer
    private(set) var key: UnsafeRawBufferPointer
    private var shared: SharedBytes?

    @inline(__always)
    init(_ bytes: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer) {
        self.bytes = bytes
        self.key = key
    }

    /// For later turns.
    func kept() -> ReadOrigin {
        if shared != nil { return self }
        let shared = SharedBytes(copying: bytes)
        var copy = ReadOrigin(shared.bytes, key: (try? RangeRequest(decoding: shared.bytes))?.key ?? .init(start: nil, count: 0))
        copy.shared = shared
        return copy
    }

    /// The answer took more than one turn of the loop.
    var isKept: Bool { shared != nil }
}

/// A message pulled by the transport: a few bytes, then what a cursor has next.
final class RangeBody: BodySource {
    private let head: ByteSink
    private var headSent = 0
    private let cursor: RangeCursor
    private var cursorLeft: Int
    private let node: Node
    private let ended: (() -> Void)?
    let length: Int

    /// The whole of a RangeResponse.
    convenience init(_ cursor: RangeCursor, revision: Int64, node: Node) {
        let head = ByteSink(capacity: 64)
        node.headers.append(to: head, revision: revision, term: node.consensus.term)
        self.init(cursor, head: head, length: cursor.encodedLength, node: node)
    }

    /// - Parameters:
    ///   - head: is not to be changed until the message has been read.
    ///   - length: bytes of the cursor that belong to the message.
    ///   - ended: called when the last byte was read. The transport is at work then: nothing may be sent from it.
    init(_ cursor: RangeCursor, head: ByteSink, length: Int, node: Node, ended: (() -> Void)? = nil) {
        self.cursor = cursor
        self.head = head
        self.node = node
        self.ended = ended
        cursorLeft = length
        self.length = head.count + length
    }

    func read(into buffer: GappedBuffer) throws -> Int {
        var filled = 0
        if headSent < head.count {
            filled = min(buffer.count, head.count - headSent)
            buffer.copy(UnsafeRawBufferPointer(rebasing: head.bytes[headSent..<headSent + filled]), to: 0)
            headSent += filled
        }
        if filled < buffer.count, cursorLeft > 0 {
            do {
                let count = try cursor.read(into: buffer.part(from: filled, count: min(cursorLeft, buffer.count - filled)))
                cursorLeft -= count
                filled += count
            } catch {
                throw node.readFailed(error)
            }
        }
        if headSent == head.count, cursorLeft == 0 { ended?() }
        return filled
    }

    func cancelled() {}
}

extension Node {
    /// A stored record could not be read: the request fails, the disk is named in the log.
    func readFailed(_ error: any Error) -> CallError {
        log.warn("failed to read a stored record", .error("\(error)"))
        return CallError(.internal, "etcdserver: \(error)")
    }
}
