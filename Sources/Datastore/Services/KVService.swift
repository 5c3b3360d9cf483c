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
            RangeReply.send(answer, on: call, node: node)
        } catch {
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

    /// A transaction that only reads is evaluated here, at one revision.
    func serve(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        do {
            let request = try TxnRequest(decoding: bytes)
            let sink = ByteSink(capacity: 1024)
            let (revision, ranges) = try node.authorizedRead(call) { (auth, who) throws(CallError) in
                try auth.check(who, request, node.keySpace.leases)
            } _: { () throws(CallError) in
                try node.store.readTxn(request, to: sink)
            }
            node.metrics.mvcc.ranges.add(ranges)
            if ranges > 1 { node.metrics.mvcc.transactions.increment() }
            call.reply { reply in
                node.headers.append(to: reply, revision: revision, term: node.consensus.term)
                reply.append(sink.bytes)
            }
        } catch {
            call.fail(CallError(anything: error))
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
