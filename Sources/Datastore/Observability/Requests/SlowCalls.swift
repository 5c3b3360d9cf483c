// Where the handlers of reads and writes say what they have done: the steps of every call, and the words for those that
// somebody wants to know of.

import DatastoreTracing
import KeySpace
import Transport
import Wire

extension Node {
    /// A read was answered just now. `isWanted` of the result says that somebody wants to know of it: `noteRead` is to be called then.
    ///
    /// - Parameter rangedAt: when its keys were found, in monotonic nanoseconds; may lag by a few milliseconds.
    @inline(__always)
    func readAnswered(
        _ call: Call, key: UnsafeRawBufferPointer, revision: Int64, rangedAt: UInt64, isKept: Bool = false
    ) -> AnsweredRead {
        let now = monotonicNow()
        let readings = readings(call)
        // Requests of a batch are served one after the other: where one ended the next began.
        var read = AnsweredRead(came: now, began: max(call.loop.batchBegan, readings.pointee.lastEnd), ended: now)
        if requests.isObserving {
            call.withRecord { record in
                read.came = record.span.start
                if isKept { read.began = record.span.start }
                if !record.span.has(.queued) { record.span.mark(.queued, at: max(record.span.start, read.began)) }
                record.span.mark(.ranged, at: max(rangedAt, read.began))
                record.markEncoded(at: now)
                record.revision = revision
                record.key.set(key)
                read.isWanted = record.notes != nil || now &- record.span.start > requests.shortestNanoseconds
            }
        } else {
            read.came = call.startedAt
        }
        readings.pointee.lastEnd = now
        return read
    }

    /// Remembers what a read asked for and what it got.
    func noteRead(_ call: Call, at now: UInt64, _ description: RequestDescription, _ facts: AnswerFacts) {
        var took: UInt64 = 0
        call.withRecord { took = now &- $0.span.start }
        let notes: RequestNotes
        if let known = RequestNotes.of(call) {
            notes = known
        } else {
            guard loops[call.loop.index].slowReads.admits(at: now) else {
                if took > requests.slowApplyNanoseconds {
                    metrics.server.slowApplies.increment()
                    requests.gaveUpLine()
                }
                return
            }
            notes = RequestNotes()
            call.withRecord { $0.notes = notes }
        }
        var facts = facts
        call.withRecord { facts.revision = $0.revision }
        notes.description = description
        notes.answer = facts
        guard took > requests.slowApplyNanoseconds else { return }
        metrics.server.slowApplies.increment()
        let isTransaction = description.kind == .txn
        let counts = (isTransaction ? facts.counts : facts.counts.prefix(1).map { $0 })
            .map { "range_response_count:\($0)" }.joined(separator: " ")
        notes.apply = SlowApply(
            nanoseconds: took, threshold: configuration.warningApplyDuration, kind: isTransaction ? .readOnlyTransaction : .readOnlyRange,
            request: description.text, response: (isTransaction ? "responses:<\(counts)> " : counts + " ") + "size:\(facts.size + AnswerFacts.headerSize(facts.revision))")
    }

    /// A read was refused by the store.
    @inline(never)
    func readRefused(_ call: Call, _ kind: InternalRequestKind, _ body: UnsafeRawBufferPointer, _ error: CallError) {
        var took: UInt64 = 0
        call.withRecord { took = monotonicNow() &- $0.span.start }
        guard took > requests.shortestNanoseconds || call.notes != nil, let notes = RequestNotes.make(call) else { return }
        let description = RequestDescription(kind, body, isReadOnly: true)
        notes.description = description
        guard took > requests.slowApplyNanoseconds else { return }
        metrics.server.slowApplies.increment()
        let prefix = "etcdserver: "
        notes.apply = SlowApply(
            nanoseconds: took, threshold: configuration.warningApplyDuration, kind: kind == .txn ? .readOnlyTransaction : .readOnlyRange,
            request: description.text, response: "",
            error: error.message.hasPrefix(prefix) ? String(error.message.dropFirst(prefix.count)) : error.message)
    }

    /// A write is about to be handed to consensus.
    @inline(__always)
    func writeBegan(_ kind: InternalRequestKind, _ body: UnsafeRawBufferPointer, _ call: Call, at now: UInt64) {
        guard requests.isObserving else { return }
        var hasNotes = false
        call.withRecord { record in
            record.span.mark(.queued, at: now)
            hasNotes = record.notes != nil
        }
        if hasNotes { RequestNotes.of(call)?.description = RequestDescription(kind, body) }
    }
}

/// When a read came, when its turn came, and when it was answered, in monotonic nanoseconds.
struct AnsweredRead {
    var came: UInt64
    var began: UInt64
    var ended: UInt64
    /// It was slow, or somebody takes notes.
    var isWanted = false
}

/// The moments of a write on the consensus thread, in monotonic nanoseconds; 0 for what was not reached.
struct WriteMoments: Sendable {
    var proposed: UInt64 = 0
    var appended: UInt64 = 0
    var fsynced: UInt64 = 0
    var committed: UInt64 = 0
    var applied: UInt64 = 0
}

extension Call {
    /// Notes the steps of a write whose answer is being sent.
    @inline(__always)
    func writeAnswered(_ moments: WriteMoments, _ message: UnsafeRawBufferPointer?, at now: UInt64) {
        var hasNotes = false
        withRecord { record in
            if moments.applied != 0, moments.proposed != 0 {
                record.span.mark(.proposed, at: moments.proposed)
                record.span.mark(.appended, at: moments.appended)
                if moments.fsynced != 0 { record.span.mark(.fsynced, at: moments.fsynced) }
                record.span.mark(.committed, at: moments.committed)
                record.span.mark(.applied, at: moments.applied)
            }
            record.markEncoded(at: now)
            hasNotes = record.notes != nil
        }
        if hasNotes, let message { noteAnswer(message) }
    }

    @inline(never)
    private func noteAnswer(_ message: UnsafeRawBufferPointer) {
        guard let notes = RequestNotes.of(self), let kind = notes.description?.kind ?? notes.audit?.kind else { return }
        let facts = AnswerFacts(kind, message)
        notes.answer = facts
        notes.audit?.answered(facts)
        withRecord { $0.revision = facts.revision }
    }
}

extension TxnRequest {
    /// The key that its first comparison or operation is about: of transactions with one key, that one.
    var firstKey: UnsafeRawBufferPointer? {
        if compares.count > 0 {
            var key: UnsafeRawBufferPointer?
            compares.forEach { bytes in
                if key == nil { key = (try? Compare(decoding: bytes))?.key }
            }
            return key
        }
        var key: UnsafeRawBufferPointer?
        (success.count > 0 ? success : failure).forEach { bytes in
            guard key == nil else { return }
            switch try? RequestOperation(decoding: bytes) {
            case .put(let put): key = put.key
            case .range(let range): key = range.key
            case .deleteRange(let delete): key = delete.key
            case .txn, nil, .some(.none): break
            }
        }
        return key
    }
}
