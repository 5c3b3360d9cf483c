// The compares of a transaction: whether what is stored stands in the asked relation to an operand.

import Storage
import Wire

extension Compare {
    /// Whether a version passes; nil stands for a missing key.
    ///
    /// - Parameter value: reads the version's value, for compares that look at it.
    func holds(_ version: KeyVersion?, value: (KeyVersion) -> UnsafeRawBufferPointer) -> Bool {
        let order: Int
        switch target {
        case 0:
            var operand: Int64 = 0
            if case .version(let given) = self.operand { operand = given }
            order = Self.order(version?.version ?? 0, operand)
        case 1:
            var operand: Int64 = 0
            if case .createRevision(let given) = self.operand { operand = given }
            order = Self.order(version?.created ?? 0, operand)
        case 2:
            var operand: Int64 = 0
            if case .modRevision(let given) = self.operand { operand = given }
            order = Self.order(version?.modified.main ?? 0, operand)
        case 3:
            // A missing key has no value that anything could be said of.
            guard let version else { return false }
            var operand = UnsafeRawBufferPointer(start: nil, count: 0)
            if case .value(let given) = self.operand { operand = given }
            order = compareBytes(value(version), operand)
        case 4:
            var operand: Int64 = 0
            if case .lease(let given) = self.operand { operand = given }
            order = Self.order(version?.lease ?? 0, operand)
        default:
            order = 0
        }
        switch result {
        case 0: return order == 0
        case 1: return order > 0
        case 2: return order < 0
        case 3: return order != 0
        default: return true
        }
    }

    private static func order(_ a: Int64, _ b: Int64) -> Int { a < b ? -1 : a > b ? 1 : 0 }
}

extension KeySpace {
    /// Whether every key of the compare's range passes, as the open entry sees it; an empty range stands for
    /// one missing key.
    func holds(_ compare: Compare) -> Bool {
        func passes(_ version: KeyVersion?) -> Bool {
            compare.holds(version) { version in
                scratch.clear(keeping: KeySpaceLimits.scratchBytesKept)
                readRecord(version, into: scratch)
                return KeyValueRecord.value(of: scratch.bytes)
            }
        }
        if compare.rangeEnd.isEmpty { return passes(store.lookup(compare.key)) }
        var any = false
        var all = true
        store.forEachInEntry(key: compare.key, rangeEnd: compare.rangeEnd) { version in
            any = true
            all = passes(version)
            return all
        }
        return any ? all : passes(nil)
    }

    // MARK: Checking

    func checkPut(_ put: PutRequest) throws(CallError) {
        if put.lease != 0, !leases.contains(put.lease) { throw .leaseNotFound }
        if put.ignoreValue || put.ignoreLease, store.lookup(put.key) == nil { throw .keyNotFound }
    }
}
