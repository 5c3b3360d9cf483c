// KV/RangeStream: a range as a sequence of messages, each a slice of the keys at one pinned revision, made
// as the client reads.

import KeySpace
import Transport
import Wire

final class RangeStreamMethod: MethodHandler, LinearizableHandler {
    private let node: Node
    init(_ node: Node) { self.node = node }

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        do {
            let request = try RangeRequest(decoding: bytes)
            guard node.admit(call, isStream: true) else { return }
            try request.validate()
            // Only the order of the index can be streamed.
            guard request.sortOrder == 0 || (request.sortTarget == 0 && request.sortOrder == 1) else {
                throw CallError(.unimplemented, "RangeStream does not support custom sort orders")
            }
            guard request.minModRevision == 0, request.maxModRevision == 0, request.minCreateRevision == 0,
                request.maxCreateRevision == 0
            else { throw CallError(.unimplemented, "RangeStream does not support revision filters") }
            if request.serializable { serve(call, bytes) } else { node.linearize(call, bytes, self) }
        } catch {
            call.fail(CallError(anything: error))
        }
    }

    func serve(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        do {
            let request = try RangeRequest(decoding: bytes)
            let stream = try node.authorizedRead(call) { (auth, who) throws(CallError) in
                try auth.check(who, request)
            } _: { () throws(CallError) in
                try RangeStreamState(request, bytes, node)
            }
            call.userData = stream
            stream.go(on: call)
        } catch {
            call.fail(CallError(anything: error))
        }
    }

    func cancelled(_ call: Call, _ reason: CancelReason) { (call.userData as? RangeStreamState)?.end() }
}

/// One stream on its way: a cursor whose bytes are cut into messages, each made while it is sent. Belongs to its call's
/// event loop.
private final class RangeStreamState {
    private let node: Node
    private let answer: RangeAnswer
    /// The revision that was asked for; 0: the present one.
    private let revision: Int64
    /// What the next message should have: small at first, so that the client can begin.
    private var bytesWanted = 64 << 10
    private let bytesWantedMax: Int
    private let head = ByteSink(capacity: 64)
    /// For whoever wants to know why it was slow.
    private let requestBytes: [UInt8]
    private let key: [UInt8]
    private var isEnded = false
    private var hasBegun = false

    init(_ request: RangeRequest, _ bytes: UnsafeRawBufferPointer, _ node: Node) throws(CallError) {
        self.node = node
        requestBytes = [UInt8](bytes)
        key = [UInt8](request.key)
        revision = request.revision
        bytesWantedMax = Int(node.configuration.limits.requestBytesMaximum)
        answer = try node.store.range(request)
    }

    /// The call is gone: its cursor is not used any more.
    func end() { isEnded = true }

    /// Walks the index a slice per turn of the loop until the count is known, then sends a message.
    func go(on call: Call) {
        guard !isEnded, call.isAlive else { return }
        guard answer.isReady else {
            answer.cursor?.step()
            return again(on: call)
        }
        // A compaction ends the stream: nobody may rely on what it would still bring.
        if revision > 0, revision < node.store.compactRevision { return call.fail(.compacted) }
        if !hasBegun { noteBegun(call) }
        guard let cursor = answer.cursor else { return sendSingleKey(on: call) }
        let elements = cursor.nextElements(reaching: bytesWanted)
        bytesWanted = min(bytesWanted * 2, bytesWantedMax)
        let contentLength = elements.isLast ? elements.bytes + cursor.trailerLength : elements.bytes
        head.clear()
        if elements.isLast {
            let header = ByteSink(capacity: 48)
            node.headers.append(to: header, revision: answer.revision, term: node.consensus.term)
            head.tag(1, .bytes)
            head.varint(UInt64(header.count + contentLength))
            head.append(header.bytes)
        } else {
            head.tag(1, .bytes)
            head.varint(UInt64(contentLength))
        }
        let traffic = node.loops[call.loop.index].traffic
        if !hasBegun {
            hasBegun = true
            traffic.add(1, .lists, of: cursor.resource)
            traffic.add(cursor.keyValueCount, .listKeys, of: cursor.resource)
        }
        traffic.add(contentLength, .listBytes, of: cursor.resource)
        let isLast = elements.isLast
        let body = RangeBody(cursor, head: head, length: contentLength, node: node) { [self] in
            if !isLast { again(on: call) }
        }
        call.send(length: body.length, source: body)
        if isLast {
            noteAnswered(call, keys: cursor.keyValueCount)
            call.finish()
        }
    }

    /// In a turn of its own: the transport, which has just read the end of a message, takes no other then.
    private func again(on call: Call) {
        call.loop.later { self.go(on: call) }
    }

    /// The keys are counted: what follows is sending.
    private func noteBegun(_ call: Call) {
        let now = monotonicNow()
        call.withRecord { record in
            if !record.span.has(.queued) { record.span.mark(.queued, at: record.span.start) }
            record.span.mark(.ranged, at: now)
            record.markEncoded(at: now)
            record.revision = answer.revision
            key.withUnsafeBytes { record.key.set($0) }
        }
    }

    private func noteAnswered(_ call: Call, keys: Int) {
        let now = monotonicNow()
        var isWanted = false
        call.withRecord { isWanted = $0.notes != nil || now &- $0.span.start > node.requests.shortestNanoseconds }
        guard isWanted, let notes = RequestNotes.make(call) else { return }
        notes.description = requestBytes.withUnsafeBytes { RequestDescription(.range, $0, isStream: true) }
        var facts = AnswerFacts()
        facts.count = Int64(keys)
        facts.counts = [keys]
        facts.revision = answer.revision
        notes.answer = facts
        notes.isKept = true
    }

    private func sendSingleKey(on call: Call) {
        node.loops[call.loop.index].traffic.countGet(bytes: answer.encodedLength, of: answer.resource ?? .other)
        let scratch = ByteSink(capacity: 1024)
        do { try answer.write(to: scratch) } catch { return call.fail(node.readFailed(error)) }
        call.send { sink in
            sink.message(1) { sink in
                node.headers.append(to: sink, revision: answer.revision, term: node.consensus.term)
                sink.append(scratch.bytes)
            }
        }
        noteAnswered(call, keys: scratch.count > 0 ? 1 : 0)
        call.finish()
    }
}
