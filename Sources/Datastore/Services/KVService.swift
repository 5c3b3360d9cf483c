// etcdserverpb.KV: reads on the event loop from the store, writes through consensus.

import KeySpace
import Transport
import Wire

/// KV/Range
final class RangeMethod: MethodHandler, LinearizableHandler {
    private let node: Node
    init(_ node: Node) { self.node = node }

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        do {
            let request = try RangeRequest(decoding: bytes)
            guard node.admit(call, isStream: false, allowsLearner: request.serializable) else { return }
            try request.validate()
            if request.serializable { answer(call, request, bytes) } else { node.linearize(call, bytes, self) }
        } catch {
            call.fail(CallError(anything: error))
        }
    }

    func serve(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        // The bytes have been decoded once already.
        guard let request = try? RangeRequest(decoding: bytes) else { return }
        answer(call, request, bytes)
    }

    private func answer(_ call: Call, _ request: RangeRequest, _ bytes: UnsafeRawBufferPointer) {
        do {
            let answer = try node.authorizedRead(call) { (auth, who) throws(CallError) in
                try auth.check(who, request)
            } _: { () throws(CallError) in
                try node.store.range(request)
            }
            let readings = node.readings(call)
            readings.pointee.count(ranges: 1)
            if answer.cursor == nil {
                readings.pointee.traffic.countGet(
                    bytes: answer.encodedLength, of: answer.resource ?? node.store.resourceNames.known(request.key))
            }
            RangeReply.send(answer, on: call, node: node, ReadOrigin(bytes, key: request.key))
        } catch {
            node.loops[call.loop.index].rangeFailed(since: call.loop.batchBegan)
            node.readRefused(call, .range, bytes, error)
            call.fail(error)
        }
    }
}

/// KV/Put
final class PutMethod: MethodHandler {
    private let node: Node
    init(_ node: Node) { self.node = node }

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        guard node.admit(call, isStream: false) else { return }
        do {
            let request = try PutRequest(decoding: bytes)
            if node.requests.isObserving { call.withRecord { $0.key.set(request.key) } }
            // The quota comes first: a full store answers so whatever else is wrong.
            guard node.hasSpace(QuotaCost.put(key: request.key.count, value: request.value.count), for: call) else { return }
            try request.validate()
            node.propose(.put, bytes, for: call)
        } catch {
            call.fail(CallError(anything: error))
        }
    }
}

/// KV/DeleteRange
final class DeleteRangeMethod: MethodHandler {
    private let node: Node
    init(_ node: Node) { self.node = node }

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        guard node.admit(call, isStream: false) else { return }
        do {
            let request = try DeleteRangeRequest(decoding: bytes)
            if node.requests.isObserving { call.withRecord { $0.key.set(request.key) } }
            try request.validate()
            node.propose(.deleteRange, bytes, for: call)
        } catch {
            call.fail(CallError(anything: error))
        }
    }
}

/// KV/Txn
final class TxnMethod: MethodHandler, LinearizableHandler {
    private let node: Node
    init(_ node: Node) { self.node = node }

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        guard node.admit(call, isStream: false) else { return }
        do {
            guard try node.hasSpace(forTransaction: bytes, call) else { return }
            let request = try TxnRequest(decoding: bytes)
            let summary = try request.validate(maximumOperations: Int(clamping: node.configuration.limits.transactionOperationsMaximum))
            if summary.isReadOnly {
                if summary.isSerializable { serve(call, bytes) } else { node.linearize(call, bytes, self) }
            } else {
                if node.requests.isObserving, let key = request.firstKey { call.withRecord { $0.key.set(key) } }
                node.propose(.txn, bytes, for: call)
            }
        } catch {
            call.fail(CallError(anything: error))
        }
    }

    /// A transaction that only reads is evaluated here, at one revision: at once if it reads single keys, otherwise in
    /// slices.
    func serve(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        do {
            let request = try TxnRequest(decoding: bytes)
            if request.readsRanges {
                let reading = try node.authorizedRead(call) { (auth, who) throws(CallError) in
                    try auth.check(who, request, node.keySpace.leases)
                } _: { () throws(CallError) in
                    try TxnReading(node.store, copying: bytes, counting: node.loops[call.loop.index].traffic)
                }
                return advance(call, Running(reading, SharedBytes(copying: bytes), node.keySpace.auth.revision))
            }
            let sink = ByteSink(capacity: 1024)
            let (revision, ranges) = try node.authorizedRead(call) { (auth, who) throws(CallError) in
                try auth.check(who, request, node.keySpace.leases)
            } _: { () throws(CallError) in
                try node.store.readTxn(request, to: sink, counting: node.loops[call.loop.index].traffic)
            }
            let rangedAt = monotonicRecently()
            answer(call, sink, revision: revision, ranges: ranges)
            let read = node.readAnswered(
                call, key: request.firstKey ?? .init(start: nil, count: 0), revision: revision, rangedAt: rangedAt)
            ended(call, at: read.ended)
            if read.isWanted {
                let (description, facts) = Self.describe(bytes, AnswerFacts.rangeCounts(inTransaction: sink.bytes), size: sink.count)
                node.noteRead(call, at: read.ended, description, facts)
            }
        } catch {
            call.fail(CallError(anything: error))
        }
    }

    private func advance(_ call: Call, _ running: Running) {
        let reading = running.reading
        let sliceEnd = monotonicNow() + ServerLimits.readSliceNanoseconds
        do throws(CallError) {
            while try !reading.step() {
                guard monotonicNow() >= sliceEnd else { continue }
                return call.loop.later { [self] in
                    if call.isAlive { advance(call, running) }
                }
            }
            // The rules may have changed while it ran.
            guard !node.keySpace.auth.isEnabled || node.keySpace.auth.revision == running.authRevision else { throw .authOldRevision }
        } catch {
            return call.fail(error)
        }
        let rangedAt = monotonicNow()
        if reading.encodedLength > ServerLimits.rangeInlineBytesMax {
            count(call, ranges: reading.counts.count)
            let body = TxnBody(reading, node: node)
            call.reply(length: body.length, source: body)
        } else {
            let sink = ByteSink(capacity: 1024)
            do { try reading.write(to: sink) } catch { return call.fail(node.readFailed(error)) }
            answer(call, sink, revision: reading.revision, ranges: reading.counts.count)
        }
        let request = running.request.bytes
        let key = (try? TxnRequest(decoding: request))?.firstKey ?? UnsafeRawBufferPointer(start: nil, count: 0)
        let read = node.readAnswered(call, key: key, revision: reading.revision, rangedAt: rangedAt)
        ended(call, at: read.ended)
        if read.isWanted {
            let (description, facts) = Self.describe(request, reading.counts, size: reading.encodedLength)
            node.noteRead(call, at: read.ended, description, facts)
        }
    }

    private func answer(_ call: Call, _ sink: ByteSink, revision: Int64, ranges: Int) {
        count(call, ranges: ranges)
        call.reply { reply in
            node.headers.append(to: reply, revision: revision, term: node.consensus.term)
            reply.append(sink.bytes)
        }
    }

    private func ended(_ call: Call, at now: UInt64) {
        node.readings(call).pointee.transactionEnded(nanoseconds: now &- call.startedAt)
    }

    private func count(_ call: Call, ranges: Int) {
        node.readings(call).pointee.count(ranges: ranges)
        if ranges > 1 { node.metrics.mvcc.transactions.increment() }
    }

    private static func describe(_ request: UnsafeRawBufferPointer, _ counts: [Int], size: Int) -> (RequestDescription, AnswerFacts) {
        var facts = AnswerFacts()
        facts.size = size
        facts.counts = counts
        facts.responses = counts.count
        facts.succeeded = true
        return (RequestDescription(.txn, request, isReadOnly: true), facts)
    }

    /// Carries an evaluation through the loop's queue; it never leaves the loop.
    private final class Running: @unchecked Sendable {
        let reading: TxnReading
        let request: SharedBytes
        let authRevision: UInt64

        init(_ reading: TxnReading, _ request: SharedBytes, _ authRevision: UInt64) {
            self.reading = reading
            self.request = request
            self.authRevision = authRevision
        }
    }
}

/// KV/Compact
final class CompactMethod: MethodHandler {
    private let node: Node
    init(_ node: Node) { self.node = node }

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        guard node.admit(call, isStream: false) else { return }
        do {
            _ = try CompactionRequest(decoding: bytes)
            try node.authorizeAdmin(call)
            node.propose(.compaction, bytes, for: call, privileged: true)
        } catch {
            call.fail(CallError(anything: error))
        }
    }
}

extension CallError {
    /// The error of a handler: ours as it is, a message that cannot be decoded as gRPC reports it.
    init(anything error: any Error) {
        switch error {
        case let error as CallError: self = error
        case let error as ProtobufError: self = error.callError
        default: self = CallError(.unknown, "\(error)")
        }
    }
}
