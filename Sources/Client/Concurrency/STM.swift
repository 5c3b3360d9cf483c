// Software transactions: code that reads and writes keys, run again until nobody came between.

import Wire

/// The keys as one run of the transaction sees them. All reads see one revision.
public actor STM {
    private let client: Client
    private var reads: [[UInt8]: KeyValue?] = [:]
    private var writes: [[UInt8]: [UInt8]?] = [:]
    private var revision: Int64 = 0

    init(_ client: Client) { self.client = client }

    /// The value of a key, with what was written before; nil if it does not exist.
    public func get(_ key: [UInt8]) async throws(ClientError) -> [UInt8]? {
        if let written = writes[key] { return written }
        if let read = reads[key] { return read?.value }
        var get = Get(.key(key))
        get.revision = revision
        let answer = try await client.get(get)
        if revision == 0 { revision = answer.header.revision }
        reads[key] = .some(answer.kvs.first)
        return answer.kvs.first?.value
    }
    public func get(_ key: String) async throws(ClientError) -> [UInt8]? { try await get(Array(key.utf8)) }

    public func put(_ key: [UInt8], _ value: [UInt8]) { writes[key] = .some(value) }
    public func put(_ key: String, _ value: String) { put(Array(key.utf8), Array(value.utf8)) }

    public func delete(_ key: [UInt8]) { writes[key] = .some(nil) }

    /// True when everything that was read is as it was, and what was written is done.
    func commit() async throws(ClientError) -> TransactionResponse? {
        let comparisons = reads.map { key, kv in Comparison(key, .equal, .modRevision(kv?.modRevision ?? 0)) }
        let operations = writes.map { key, value in value.map { Operation.put(Put(key, $0)) } ?? .delete(Delete(.key(key))) }
        let answer = try await client.transaction(Transaction(if: comparisons, then: operations))
        return answer.succeeded ? answer : nil
    }
}

extension Client {
    /// Runs `body` until what it read was not changed by others before what it wrote was done: serializable, as of one moment.
    /// `body` may run many times and should do nothing else.
    ///
    /// - Throws: an aborted call after `ClientLimits.stmRoundsMax` rounds; what `body` throws.
    @discardableResult
    public func atomically(_ body: (STM) async throws -> Void) async throws -> TransactionResponse {
        for round in 0..<ClientLimits.stmRoundsMax {
            let stm = STM(self)
            do { try await body(stm) } catch let error as ClientError where error.matches(.compacted) { continue }
            if let answer = try await stm.commit() { return answer }
            // Others are at the same keys: step aside for a while that grows.
            try await Task.sleep(for: .microseconds(Int.random(in: 0...(200 << min(round, 8)))))
        }
        throw ClientError(.aborted, "the transaction was overtaken \(ClientLimits.stmRoundsMax) times")
    }
}
