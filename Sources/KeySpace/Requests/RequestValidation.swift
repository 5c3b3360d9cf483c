// What is checked of a KV request before it is proposed or served: the rules of the v3 API, in etcd's
// order, because a request with two faults must answer with the same one.

import Wire

extension ProtobufError {
    /// What a call with an undecodable message ends with.
    public var callError: CallError {
        CallError(.internal, "grpc: error unmarshalling request: proto: cannot parse invalid wire-format data")
    }
}

extension RangeRequest {
    public func validate() throws(CallError) {
        if key.isEmpty { throw .emptyKey }
        if sortOrder < 0 || sortOrder > 2 || sortTarget < 0 || sortTarget > 4 { throw .invalidSortOption }
    }
}

extension PutRequest {
    public func validate() throws(CallError) {
        if key.isEmpty { throw .emptyKey }
        if ignoreValue, !value.isEmpty { throw .valueProvided }
        if ignoreLease, lease != 0 { throw .leaseProvided }
    }
}

extension DeleteRangeRequest {
    public func validate() throws(CallError) {
        if key.isEmpty { throw .emptyKey }
    }
}

/// What the checks of a transaction found out about it.
public struct TxnSummary: Sendable {
    /// Every operation of both branches is a range; true for an empty transaction too.
    public var isReadOnly = true
    /// Every range asks for a serializable read.
    public var isSerializable = true
    /// Cost against the space quota: the dearer branch's puts.
    public var quotaCost = 0
    /// More than one write may meet in a branch, so that the overlap rules have work to do.
    var mayOverlap = false
}

extension TxnRequest {
    /// Checks the whole tree.
    ///
    /// - Parameter maximumOperations: `--max-txn-ops`; each level takes its longest list from the budget
    ///   of the levels below it.
    public func validate(maximumOperations: Int) throws(CallError) -> TxnSummary {
        var summary = TxnSummary()
        summary.quotaCost = try checkLevel(budget: maximumOperations, depth: 1, summary: &summary)
        if summary.mayOverlap {
            var writes = WriteSet()
            try success.checkOverlap(&writes)
            writes = WriteSet()
            try failure.checkOverlap(&writes)
        }
        return summary
    }

    private func checkLevel(budget: Int, depth: Int, summary: inout TxnSummary) throws(CallError) -> Int {
        let widest = max(compares.count, success.count, failure.count)
        // The budget bounds the depth too, unless it is set very high or the entry comes from elsewhere.
        guard widest <= budget, depth <= KeySpaceLimits.transactionDepthMax else { throw .tooManyOperations }
        try compares.forEach { (bytes) throws(CallError) in
            let compare: Compare
            do throws(ProtobufError) { compare = try Compare(decoding: bytes) } catch { throw error.callError }
            if compare.key.isEmpty { throw .emptyKey }
        }
        var costs = (success: 0, failure: 0)
        costs.success = try success.check(budget: budget - widest, depth: depth, summary: &summary)
        costs.failure = try failure.check(budget: budget - widest, depth: depth, summary: &summary)
        return max(costs.success, costs.failure)
    }

    /// For the recursion from an operation list.
    fileprivate func checkNested(budget: Int, depth: Int, summary: inout TxnSummary) throws(CallError) -> Int {
        try checkLevel(budget: budget, depth: depth, summary: &summary)
    }
}

extension RepeatedMessages {
    /// Checks each operation; returns the list's cost against the quota.
    fileprivate func check(budget: Int, depth: Int, summary: inout TxnSummary) throws(CallError) -> Int {
        var cost = 0
        var writes = 0
        try forEach { (bytes) throws(CallError) in
            let operation: RequestOperation
            do throws(ProtobufError) { operation = try RequestOperation(decoding: bytes) } catch { throw error.callError }
            switch operation {
            case .range(let range):
                try range.validate()
                if !range.serializable { summary.isSerializable = false }
            case .put(let put):
                try put.validate()
                summary.isReadOnly = false
                cost += QuotaCost.put(key: put.key.count, value: put.value.count)
                writes += 1
            case .deleteRange(let delete):
                try delete.validate()
                summary.isReadOnly = false
                writes += 1
            case .txn(let txn):
                // A nested transaction goes through the log even if it only reads.
                summary.isReadOnly = false
                cost += try txn.checkNested(budget: budget, depth: depth + 1, summary: &summary)
                writes += 2
            case .none:
                throw .keyNotFound
            }
        }
        if writes > 1 { summary.mayOverlap = true }
        return cost
    }

    /// The overlap rules of one branch: api rules "put twice" and "put under a delete".
    fileprivate func checkOverlap(_ writes: inout WriteSet) throws(CallError) {
        // This level's deletes count before anything else does.
        var deletes: [DeleteRangeRequest] = []
        forEach { bytes in
            if case .deleteRange(let delete) = try? RequestOperation(decoding: bytes) { deletes.append(delete) }
        }
        writes.delete(deletes)
        try forEach { (bytes) throws(CallError) in
            guard case .txn(let txn) = try? RequestOperation(decoding: bytes) else { return }
            var whenTrue = WriteSet()
            var whenFalse = WriteSet()
            try txn.success.checkOverlap(&whenTrue)
            try txn.failure.checkOverlap(&whenFalse)
            // Keys that both branches put are fine: only one of them is executed.
            if writes.overlapsPuts(of: whenTrue) || writes.overlapsPuts(of: whenFalse) { throw .duplicateKey }
            writes.formUnion(whenTrue)
            writes.formUnion(whenFalse)
        }
        try forEach { (bytes) throws(CallError) in
            guard case .put(let put) = try? RequestOperation(decoding: bytes) else { return }
            let key = [UInt8](put.key)
            if writes.contains(key) { throw .duplicateKey }
            writes.put(key)
        }
    }
}

/// What a write counts against `--quota-backend-bytes` before it is proposed.
public enum QuotaCost {
    public static let leaseGrant = 64
    public static func put(key: Int, value: Int) -> Int { 256 + key + value }

    /// A transaction counts its dearer branch's puts, nested ones included. Nothing else is looked at, because etcd
    /// weighs a request before it checks it; what cannot be read weighs nothing.
    public static func transaction(_ request: TxnRequest, depth: Int = 1) -> Int {
        guard depth <= KeySpaceLimits.transactionDepthMax else { return 0 }
        return max(branch(request.success, depth: depth), branch(request.failure, depth: depth))
    }

    private static func branch(_ operations: RepeatedMessages, depth: Int) -> Int {
        var cost = 0
        operations.forEach { bytes in
            switch try? RequestOperation(decoding: bytes) {
            case .put(let request): cost += put(key: request.key.count, value: request.value.count)
            case .txn(let nested): cost += transaction(nested, depth: depth + 1)
            default: break
            }
        }
        return cost
    }

    /// No transaction of so many bytes costs more: an empty put takes four bytes and counts 256.
    @inline(__always)
    public static func transactionAtMost(bytes: Int) -> Int { 65 * bytes }
}
