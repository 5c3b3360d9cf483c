// A transaction at apply: compare everything, check everything, then execute. A failed check leaves no
// trace. Rules: "Transaction" in etcd's v3 API and what its server does where that is silent.

import Storage
import Wire

/// Runs transactions against the key space inside an open entry. One object is used again and again by
/// the apply thread, so that a transaction costs no allocation of its own.
final class TxnApply {
    private unowned let keySpace: KeySpace
    /// The results of the compares of the tree, outer before nested, in order of the operations.
    private var path: [Bool] = []
    private var step = 0

    init(_ keySpace: KeySpace) { self.keySpace = keySpace }

    /// Applies the transaction and, with a sink, appends the fields of its TxnResponse after the header.
    func run(_ txn: TxnRequest, to sink: ByteSink?) throws(CallError) {
        path.removeAll(keepingCapacity: true)
        try decide(txn)
        step = 0
        try check(txn, .puts)
        step = 0
        try check(txn, .ranges)
        step = 0
        sink?.field(2, path[0])
        try execute(txn, to: sink)
    }

    // MARK: Compare

    private func decide(_ txn: TxnRequest) throws(CallError) {
        var succeeded = true
        try txn.compares.forEach { (bytes) throws(CallError) in
            guard succeeded else { return }
            do throws(ProtobufError) { succeeded = keySpace.holds(try Compare(decoding: bytes)) } catch { throw error.callError }
        }
        path.append(succeeded)
        try eachOperation(txn, succeeded) { (operation) throws(CallError) in
            if case .txn(let nested) = operation { try decide(nested) }
        }
    }

    // MARK: Check

    /// What is looked at in one pass over the chosen path: with several faults in a transaction the puts of the
    /// whole tree are judged before any range, as etcd does.
    private enum CheckedOperations { case puts, ranges }

    private func check(_ txn: TxnRequest, _ checked: CheckedOperations) throws(CallError) {
        let succeeded = path[step]
        step += 1
        try eachOperation(txn, succeeded) { (operation) throws(CallError) in
            switch operation {
            case .range(let range):
                if checked == .ranges { try keySpace.store.checkTransactionRevision(range.revision) }
            case .put(let put):
                if checked == .puts { try keySpace.checkPut(put) }
            case .deleteRange, .none: break
            case .txn(let nested): try check(nested, checked)
            }
        }
    }

    // MARK: Execute

    private func execute(_ txn: TxnRequest, to sink: ByteSink?) throws(CallError) {
        let succeeded = path[step]
        step += 1
        try eachOperation(txn, succeeded) { (operation) throws(CallError) in
            guard let sink else {
                // Nobody waits here: only the effects matter.
                switch operation {
                case .range, .none: break
                case .put(let put): _ = try keySpace.executePut(put, previous: nil)
                case .deleteRange(let delete): _ = try keySpace.executeDelete(delete, previous: nil)
                case .txn(let nested): try execute(nested, to: nil)
                }
                return
            }
            switch operation {
            case .range(let range):
                let answer = try keySpace.rangeInTxn(range)
                sink.message(3) { sink in
                    sink.message(1) { sink in
                        ResponseHeaderEncoder.appendInner(to: sink, revision: keySpace.revisionInTxn)
                        keySpace.write(answer, to: sink)
                    }
                }
            case .put(let put):
                let scratch = keySpace.scratch
                scratch.clear(keeping: KeySpaceLimits.scratchBytesKept)
                let revision = try keySpace.executePut(put, previous: put.wantsPrevious ? scratch : nil)
                sink.message(3) { sink in
                    sink.message(2) { sink in
                        ResponseHeaderEncoder.appendInner(to: sink, revision: revision)
                        sink.append(scratch.bytes)
                    }
                }
            case .deleteRange(let delete):
                let scratch = keySpace.scratch
                scratch.clear(keeping: KeySpaceLimits.scratchBytesKept)
                let (deleted, revision) = try keySpace.executeDelete(delete, previous: delete.wantsPrevious ? scratch : nil)
                sink.message(3) { sink in
                    sink.message(3) { sink in
                        ResponseHeaderEncoder.appendInner(to: sink, revision: revision)
                        sink.field(2, deleted)
                        sink.append(scratch.bytes)
                    }
                }
            case .txn(let nested):
                // The operation's length stands before its answer, which is made in place and moved.
                let inner = ByteSink(capacity: 256)
                inner.always(1, UnsafeRawBufferPointer(start: nil, count: 0))
                inner.field(2, self.path[self.step])
                try execute(nested, to: inner)
                sink.message(3) { sink in sink.always(4, inner.bytes) }
            case .none:
                throw .keyNotFound
            }
        }
    }

    private func eachOperation(
        _ txn: TxnRequest, _ succeeded: Bool, _ body: (RequestOperation) throws(CallError) -> Void
    ) throws(CallError) {
        try txn.branch(succeeded).forEach { (bytes) throws(CallError) in
            let operation: RequestOperation
            do throws(ProtobufError) { operation = try RequestOperation(decoding: bytes) } catch { throw error.callError }
            try body(operation)
        }
    }
}
