// The rules of transactions on the model: static checks, compares, execution.

import Wire

extension TxnCase {
    /// What counts against the quota: the dearer branch's puts, nested ones included.
    var cost: Int {
        func cost(_ operations: [OperationCase]) -> Int {
            operations.reduce(0) { sum, operation in
                switch operation {
                case .put(let put): sum + 256 + put.key.count + put.value.count
                case .txn(let txn): sum + txn.cost
                default: sum
                }
            }
        }
        return max(cost(success), cost(failure))
    }

    var isReadOnly: Bool {
        (success + failure).allSatisfy { if case .range = $0 { true } else { false } }
    }

    /// The static checks in the order of the API.
    func check(budget: Int) throws(CallError) {
        try checkStructure(budget: budget)
        _ = try TxnCase.overlaps(success)
        _ = try TxnCase.overlaps(failure)
    }

    private func checkStructure(budget: Int) throws(CallError) {
        let widest = max(compares.count, success.count, failure.count)
        if widest > budget { throw .tooManyOperations }
        for compare in compares where compare.key.isEmpty { throw .emptyKey }
        for operation in success + failure {
            switch operation {
            case .range(let range):
                if range.key.isEmpty { throw .emptyKey }
                if !(0...2).contains(range.order) || !(0...4).contains(range.target) { throw .invalidSortOption }
            case .put(let put):
                if put.key.isEmpty { throw .emptyKey }
                if put.ignoreValue, !put.value.isEmpty { throw .valueProvided }
                if put.ignoreLease, put.lease != 0 { throw .leaseProvided }
            case .delete(let delete):
                if delete.key.isEmpty { throw .emptyKey }
            case .txn(let txn): try txn.checkStructure(budget: budget - widest)
            case .none: throw .keyNotFound
            }
        }
    }

    private struct Footprint {
        var puts: [[UInt8]] = []
        var deletes: [DeleteCase] = []

        func deletes(_ key: [UInt8]) -> Bool {
            deletes.contains { delete in
                if delete.end.isEmpty { return key == delete.key }
                // Taken literally, a zero byte included.
                return !key.lexicographicallyPrecedes(delete.key) && key.lexicographicallyPrecedes(delete.end)
            }
        }
    }

    private static func overlaps(_ operations: [OperationCase]) throws(CallError) -> Footprint {
        var print = Footprint()
        for case .delete(let delete) in operations { print.deletes.append(delete) }
        for case .txn(let txn) in operations {
            let then = try overlaps(txn.success)
            let otherwise = try overlaps(txn.failure)
            for key in then.puts + otherwise.puts {
                if print.puts.contains(key) || print.deletes(key) { throw .duplicateKey }
            }
            print.puts += then.puts + otherwise.puts
            print.deletes += then.deletes + otherwise.deletes
        }
        for case .put(let put) in operations {
            if print.puts.contains(put.key) || print.deletes(put.key) { throw .duplicateKey }
            print.puts.append(put.key)
        }
        return print
    }
}

extension KeySpaceModel {
    /// One transaction of the chosen path: what its compares said, and the nested ones in order.
    final class Decision {
        let succeeded: Bool
        var nested: [Decision] = []
        init(_ succeeded: Bool) { self.succeeded = succeeded }
    }

    mutating func run(_ txn: TxnCase) throws(CallError) -> (succeeded: Bool, [Answer]) {
        let decision = decide(txn)
        try check(txn, decision)
        return (decision.succeeded, try execute(txn, decision))
    }

    func decide(_ txn: TxnCase) -> Decision {
        let decision = Decision(txn.compares.allSatisfy(holds))
        for case .txn(let nested) in decision.succeeded ? txn.success : txn.failure { decision.nested.append(decide(nested)) }
        return decision
    }

    private func holds(_ compare: CompareCase) -> Bool {
        let pairs = live(from: compare.key, to: compare.end)
        return pairs.isEmpty ? holds(compare, nil) : pairs.allSatisfy { holds(compare, $0) }
    }

    private func holds(_ compare: CompareCase, _ pair: Pair?) -> Bool {
        func difference(_ stored: Int64?, _ given: Int64?) -> Int {
            let (stored, given) = (stored ?? 0, given ?? 0)
            return stored < given ? -1 : stored > given ? 1 : 0
        }
        let result: Int
        switch compare.target {
        case 0:
            result = difference(pair?.version, { if case .version(let given) = compare.operand { given } else { nil } }())
        case 1:
            result = difference(pair?.created, { if case .created(let given) = compare.operand { given } else { nil } }())
        case 2:
            result = difference(pair?.modified, { if case .modified(let given) = compare.operand { given } else { nil } }())
        case 3:
            guard let pair else { return false }
            var given: [UInt8] = []
            if case .value(let value) = compare.operand { given = value }
            result = pair.value == given ? 0 : pair.value.lexicographicallyPrecedes(given) ? -1 : 1
        case 4:
            result = difference(pair?.lease, { if case .lease(let given) = compare.operand { given } else { nil } }())
        default: result = 0
        }
        switch compare.result {
        case 0: return result == 0
        case 1: return result > 0
        case 2: return result < 0
        case 3: return result != 0
        default: return true
        }
    }

    /// The operations of the chosen path in order, nested ones in their place.
    private func chosen(_ txn: TxnCase, _ decision: Decision) -> [OperationCase] {
        var nested = decision.nested.makeIterator()
        return (decision.succeeded ? txn.success : txn.failure).flatMap { operation in
            if case .txn(let txn) = operation { chosen(txn, nested.next()!) } else { [operation] }
        }
    }

    /// All puts of the path are judged before any range.
    func check(_ txn: TxnCase, _ decision: Decision) throws(CallError) {
        let path = chosen(txn, decision)
        for case .put(let put) in path { try check(put) }
        for case .range(let range) in path where range.revision != 0 {
            if range.revision > revision { throw .futureRevision }
            if range.revision < compacted { throw .compacted }
        }
    }

    mutating func execute(_ txn: TxnCase, _ decision: Decision) throws(CallError) -> [Answer] {
        var nested = decision.nested.makeIterator()
        var answers: [Answer] = []
        for operation in decision.succeeded ? txn.success : txn.failure {
            switch operation {
            case .range(let range): answers.append(try answer(range, header: Header(revision: entryRevision)))
            case .put(let put):
                let previous = self.put(put)
                answers.append(.put(Header(revision: entryRevision), previous: put.wantsPrevious ? previous : nil))
            case .delete(let delete):
                let removed = self.delete(delete)
                answers.append(
                    .delete(
                        Header(revision: entryRevision), deleted: Int64(removed.count),
                        previous: delete.wantsPrevious ? removed : []))
            case .txn(let txn):
                let decision = nested.next()!
                answers.append(.txn(Header(), succeeded: decision.succeeded, try execute(txn, decision)))
            case .none: preconditionFailure("checked before")
            }
        }
        return answers
    }
}
