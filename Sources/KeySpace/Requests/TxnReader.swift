// A transaction that only reads, evaluated away from the log at one pinned revision.

import Storage
import Wire

extension MVCCStore {
    /// Evaluates a transaction whose operations are ranges only, and appends the fields of its TxnResponse
    /// after the header.
    ///
    /// - Parameter traffic: counts the reads by resource.
    /// - Returns: the revision for the header, and how many ranges were read.
    public func readTxn(_ txn: TxnRequest, to sink: ByteSink, counting traffic: ResourceTraffic? = nil) throws(CallError) -> (revision: Int64, ranges: Int) {
        let snapshot = snapshot()
        let succeeded = try holds(txn, in: snapshot)
        try txn.branch(succeeded).forEach { (bytes) throws(CallError) in
            try checkTransactionRevision(try Self.range(bytes).revision, in: snapshot)
        }
        sink.field(2, succeeded)
        try txn.branch(succeeded).forEach { (bytes) throws(CallError) in
            let query = try Self.range(bytes)
            let answer = try range(query, in: snapshot)
            while !answer.isReady { answer.cursor?.step() }
            traffic?.count(answer, of: answer.resource ?? resourceNames.known(query.key))
            do {
                try sink.message(3) { sink in
                    try sink.message(1) { sink in
                        ResponseHeaderEncoder.appendInner(to: sink, revision: snapshot.revision)
                        try answer.write(to: sink)
                    }
                }
            } catch {
                throw CallError(decodingOrReading: error)
            }
        }
        return (snapshot.revision, txn.branch(succeeded).count)
    }

    /// Whether the compares of a transaction hold at the snapshot's revision.
    func holds(_ txn: TxnRequest, in snapshot: ReadSnapshot) throws(CallError) -> Bool {
        let record = ByteSink(capacity: 1024)
        var succeeded = true
        try txn.compares.forEach { (bytes) throws(CallError) in
            guard succeeded else { return }
            do { succeeded = try holds(try Compare(decoding: bytes), in: snapshot, record) } catch {
                throw CallError(decodingOrReading: error)
            }
        }
        return succeeded
    }

    static func range(_ bytes: UnsafeRawBufferPointer) throws(CallError) -> RangeRequest {
        do {
            guard case .range(let range) = try RequestOperation(decoding: bytes) else { throw CallError.keyNotFound }
            return range
        } catch {
            throw CallError(decodingOrReading: error)
        }
    }

    private func holds(_ compare: Compare, in snapshot: ReadSnapshot, _ record: ByteSink) throws -> Bool {
        var failure: StorageError?
        func passes(_ version: KeyVersion?) -> Bool {
            compare.holds(version) { version in
                record.clear()
                do throws(StorageError) { try appendRecord(of: version, to: record) } catch { failure = error }
                return KeyValueRecord.value(of: record.bytes)
            }
        }
        var result = true
        if compare.rangeEnd.isEmpty {
            result = passes(get(compare.key, in: snapshot))
        } else {
            var any = false
            forEach(key: compare.key, rangeEnd: compare.rangeEnd, in: snapshot) { version in
                any = true
                result = passes(version)
                return result
            }
            if !any { result = passes(nil) }
        }
        if let failure { throw failure }
        return result
    }
}

extension CallError {
    init(decodingOrReading error: any Error) {
        switch error {
        case let error as CallError: self = error
        case let error as ProtobufError: self = error.callError
        default: self = CallError(.internal, "\(error)")
        }
    }
}
