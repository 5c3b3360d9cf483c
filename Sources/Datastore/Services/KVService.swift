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
            if request.serializable { answer(call, request) } else { node.linearize(call, bytes, self) }
        } catch {
            call.fail(CallError(anything: error))
        }
    }

    func serve(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        // The bytes have been decoded once already.
        guard let request = try? RangeRequest(decoding: bytes) else { return }
        answer(call, request)
    }

    private func answer(_ call: Call, _ request: RangeRequest) {
        do {
            let answer = try node.authorizedRead(call) { (auth, who) throws(CallError) in
                try auth.check(who, request)
            } _: { () throws(CallError) in
                try node.store.range(request)
            }
            node.metrics.mvcc.ranges.increment()
            let loop = node.loops[call.loop.index]
            let start = loop.readStart
            if answer.cursor == nil {
                loop.traffic.count(answer, of: answer.resource ?? node.store.resourceNames.known(request.key))
            }
            RangeReply.send(answer, on: call, node: node, ReadOrigin(start: start, request))
        } catch {
            node.loops[call.loop.index].rangeFailed(since: call.loop.batchBegan)
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
            try DeleteRangeRequest(decoding: bytes).validate()
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
            let waitedSince = node.loops[call.loop.index].readStart
            if request.readsRanges {
                let reading = try node.authorizedRead(call) { (auth, who) throws(CallError) in
                    try auth.check(who, request, node.keySpace.leases)
                } _: { () throws(CallError) in
                    try TxnReading(node.store, copying: bytes, counting: node.loops[call.loop.index].traffic)
                }
                let start = waitedSince ?? monotonicNow()
                return advance(call, Running(reading, SharedBytes(copying: bytes), node.keySpace.auth.revision, start))
            }
            let sink = ByteSink(capacity: 1024)
            let (revision, ranges) = try node.authorizedRead(call) { (auth, who) throws(CallError) in
                try auth.check(who, request, node.keySpace.leases)
            } _: { () throws(CallError) in
                try node.store.readTxn(request, to: sink, counting: node.loops[call.loop.index].traffic)
            }
            answer(call, sink, revision: revision, ranges: ranges)
            ended(call, since: waitedSince ?? call.loop.batchBegan)
            guard let waitedSince else { return }
            note(call, bytes, since: waitedSince, counts: [Int](repeating: 1, count: ranges), size: sink.count)
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
        if reading.encodedLength > ServerLimits.rangeInlineBytesMax {
            count(ranges: reading.counts.count)
            let body = TxnBody(reading, node: node)
            call.reply(length: body.length, source: body)
        } else {
            let sink = ByteSink(capacity: 1024)
            do { try reading.write(to: sink) } catch { return call.fail(node.readFailed(error)) }
            answer(call, sink, revision: reading.revision, ranges: reading.counts.count)
        }
        ended(call, since: running.start)
        note(call, running.request.bytes, since: running.start, counts: reading.counts, size: reading.encodedLength)
    }

    private func answer(_ call: Call, _ sink: ByteSink, revision: Int64, ranges: Int) {
        count(ranges: ranges)
        call.reply { reply in
            node.headers.append(to: reply, revision: revision, term: node.consensus.term)
            reply.append(sink.bytes)
        }
    }

    private func ended(_ call: Call, since start: UInt64) {
        node.loops[call.loop.index].times.transactionRequest.observe(nanoseconds: monotonicNow() &- start)
    }

    private func count(ranges: Int) {
        node.metrics.mvcc.ranges.add(ranges)
        if ranges > 1 { node.metrics.mvcc.transactions.increment() }
    }

    private func note(_ call: Call, _ bytes: UnsafeRawBufferPointer, since start: UInt64, counts: [Int], size: Int) {
        node.noteRead(
            call,
            ReadStatistics(
                start: start, kind: .readOnlyTransaction, text: { RequestTexts.text(.txn, bytes) }, requestCount: counts.count,
                requestSize: bytes.count, counts: counts, responseCount: 0, responseSize: size))
    }

    /// Carries an evaluation through the loop's queue; it never leaves the loop.
    private final class Running: @unchecked Sendable {
        let reading: TxnReading
        let request: SharedBytes
        let authRevision: UInt64
        let start: UInt64

        init(_ reading: TxnReading, _ request: SharedBytes, _ authRevision: UInt64, _ start: UInt64) {
            self.reading = reading
            self.request = request
            self.authRevision = authRevision
            self.start = start
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
