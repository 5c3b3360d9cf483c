// The replicated value and the one function that changes it: `apply(entry)`. What a proposal does is
// decided here and nowhere else, the same on every member.

import DatastoreTracing
import Storage
import Wire

/// Keys, leases, membership and alarms behind the Raft log.
///
/// `apply` and its helpers belong to the apply thread. Readers use `store`, `leases` and `cluster`, which
/// say themselves what other threads may do.
public final class KeySpace: @unchecked Sendable {
    public let store: MVCCStore
    public let leases: LeaseStore
    public let cluster: ClusterState
    public let auth: AuthState
    public let headers: ResponseHeaderEncoder
    /// Limit of the store's size in bytes; nil is none.
    public let quota: Int?
    /// `--max-learners`.
    public let learnersMax: Int

    /// Term of the entry being applied.
    private var term: Term = 0
    private let metrics: ApplyMetrics?
    let authSecrets: (any AuthSecrets)?
    let log: Log?
    /// Ends the process with a word about the disk: apply cannot go on without what is stored.
    let diskFailed: @Sendable (StorageError) -> Never
    /// What the running request has done, for the counters.
    var work = AppliedWork()
    let scratch = ByteSink(capacity: 4096)
    let valueScratch = ByteSink(capacity: 4096)
    private let headerScratch = ByteSink(capacity: 64)
    private lazy var txn = TxnApply(self)
    /// Bytes of stored records in the answer that is being made, or more than there may be.
    private var answerBytes = 0

    public init(
        store: MVCCStore, leases: LeaseStore, cluster: ClusterState, headers: ResponseHeaderEncoder, quota: Int?,
        learnersMax: Int = KeySpaceLimits.learnersMaxDefault, metrics: ApplyMetrics? = nil,
        auth: AuthState = AuthState(), authSecrets: (any AuthSecrets)? = nil, log: Log? = nil,
        diskFailed: @escaping @Sendable (StorageError) -> Never = { fatalError("a stored record cannot be read: \($0)") }
    ) {
        self.diskFailed = diskFailed
        self.metrics = metrics
        self.auth = auth
        self.authSecrets = authSecrets
        self.log = log
        self.store = store
        self.leases = leases
        self.cluster = cluster
        self.headers = headers
        self.quota = quota
        self.learnersMax = learnersMax
    }

    // MARK: Apply

    /// Applies a committed entry's request. The change becomes visible with the store's next `publish()`.
    ///
    /// - Parameters:
    ///   - currentTerm: the term that answers carry: the member's, which may be above the entry's.
    ///   - sink: where the answer's message goes when a caller waits; left as it was if the request fails.
    public func apply(_ entry: Entry, currentTerm: Term, to sink: ByteSink?) -> ApplyOutcome {
        precondition(entry.kind == .normal)
        // A new leader's empty entry says nothing but that it leads.
        guard !entry.data.isEmpty else { return .done }
        return entry.data.withUnsafeBytes { bytes in
            let request: InternalRequest
            // A committed entry that cannot be read changes nothing, on every member alike.
            do throws(ProtobufError) { request = try InternalRequest(decoding: bytes) } catch { return .failed(error.callError) }
            return apply(request, entry: entry, currentTerm: currentTerm, to: sink)
        }
    }

    /// Applies an entry whose request has been read already.
    public func apply(_ request: InternalRequest, entry: Entry, currentTerm: Term, to sink: ByteSink?) -> ApplyOutcome {
        guard let kind = request.kind else { return .failed(CallError(.unknown, "etcdserver: unknown request")) }
        term = currentTerm
        answerBytes = 0
        let mark = sink?.count ?? 0
        store.beginEntry(raftIndex: entry.index, term: entry.term)
        defer {
            store.endEntry()
            metrics?.count(work)
            work = AppliedWork()
        }
        do {
            return try apply(kind, request, index: entry.index, to: sink)
        } catch {
            sink?.truncate(to: mark)
            return .failed(error)
        }
    }

    private func apply(
        _ kind: InternalRequestKind, _ request: InternalRequest, index: LogIndex, to sink: ByteSink?
    ) throws(CallError) -> ApplyOutcome {
        let body = request.body
        do {
            if auth.isEnabled {
                // Alarms come first, as in etcd: a member without space says so to everybody.
                try checkAlarms(of: kind, body)
                try authorize(
                    kind, body,
                    AuthInfo(username: String(decoding: request.username, as: UTF8.self), revision: request.authRevision))
            }
            switch kind {
            case .put: return try applyPut(try PutRequest(decoding: body), to: sink)
            case .deleteRange: return try applyDelete(try DeleteRangeRequest(decoding: body), to: sink)
            case .txn: return try applyTxn(try TxnRequest(decoding: body), to: sink)
            case .range: return try applyRange(try RangeRequest(decoding: body), to: sink)
            case .compaction: return try applyCompaction(try CompactionRequest(decoding: body), to: sink)
            case .leaseGrant: return try applyGrant(try LeaseGrantRequest(decoding: body), to: sink)
            case .leaseRevoke: return try applyRevoke(try LeaseRevokeRequest(decoding: body), to: sink)
            case .leaseCheckpoint: return try applyCheckpoint(try LeaseCheckpointRequest(decoding: body), to: sink)
            case .alarm: return try applyAlarm(try AlarmRequest(decoding: body), to: sink)
            case .clusterVersionSet: return try applyVersion(try VersionRequest(decoding: body), to: sink)
            case .memberAttributesSet: return try applyAttributes(try MemberAttributesRequest(decoding: body), to: sink)
            case .downgradeInfoSet: return try applyDowngrade(try DowngradeInfoRequest(decoding: body), to: sink)
            case .downgradeVersionTest: return .done
            case .authEnable, .authDisable, .authenticate, .authStatus, .authUserAdd, .authUserDelete, .authUserGet,
                .authUserChangePassword, .authUserGrantRole, .authUserRevokeRole, .authUserList, .authRoleList,
                .authRoleAdd, .authRoleDelete, .authRoleGet, .authRoleGrantPermission, .authRoleRevokePermission:
                try applyAuth(kind, body, index: index, term: term, to: sink)
                return .done
            }
        } catch let error as ProtobufError {
            throw error.callError
        } catch let error as CallError {
            throw error
        } catch {
            preconditionFailure("apply of \(kind) threw \(error)")
        }
    }

    /// Applies a committed membership change; an error says why it has no effect.
    public func apply(_ change: ConfigurationChange, entry: Entry) throws(CallError) {
        let records = try cluster.update { (view) throws(CallError) in try view.apply(change, learnersMax: learnersMax) }
        store.beginEntry(raftIndex: entry.index, term: entry.term)
        store(records)
        store.endEntry()
    }

    // MARK: KV

    /// Refused while an alarm stands; every member applies the entry with the same alarms.
    private func checkAlarms(growing: Bool) throws(CallError) {
        guard cluster.hasAnyAlarm else { return }
        if cluster.hasAlarm(.corrupt) { throw .corrupt }
        if growing, cluster.hasAlarm(.noSpace) { throw .noSpace }
    }

    /// What the request's own check of the alarms will say, for requests that are authorized before it.
    private func checkAlarms(of kind: InternalRequestKind, _ body: UnsafeRawBufferPointer) throws {
        guard cluster.hasAnyAlarm else { return }
        switch kind {
        case .put, .leaseGrant: try checkAlarms(growing: true)
        case .txn: try checkAlarms(growing: try TxnRequest(decoding: body).validate(maximumOperations: .max).quotaCost > 0)
        case .deleteRange, .compaction, .leaseRevoke: try checkAlarms(growing: false)
        default: break
        }
    }

    /// An entry committed before the alarm was known is executed all the same, but answered with the error.
    private func outcome(cost: Int) -> ApplyOutcome {
        guard let quota, cost > 0, store.size + cost >= quota else { return .done }
        return .exceededQuota
    }

    // Requests are validated by the member that proposes them, and here again: an entry may come from elsewhere,
    // and one that the store cannot take must fail alike on every member instead of stopping them all.

    private func applyPut(_ put: PutRequest, to sink: ByteSink?) throws(CallError) -> ApplyOutcome {
        try put.validate()
        try checkAlarms(growing: true)
        try checkPut(put)
        scratch.clear(keeping: KeySpaceLimits.scratchBytesKept)
        let outcome = outcome(cost: QuotaCost.put(key: put.key.count, value: put.value.count))
        let revision = try executePut(put, previous: put.wantsPrevious && sink != nil ? scratch : nil)
        if let sink {
            headers.append(to: sink, revision: revision, term: term)
            sink.append(scratch.bytes)
        }
        return outcome
    }

    /// Whether stored records of so many bytes still fit the running answer. A transaction of a few bytes may ask for
    /// the whole store many times over, and its answer is made in memory.
    func fitsAnswer(_ bytes: Int) -> Bool {
        answerBytes += bytes
        return answerBytes <= KeySpaceLimits.answerBytesMax
    }

    /// An answer that does not fit is an error, but what it would have told of has happened: as when etcd cannot send
    /// an answer for its length.
    private func checkAnswer() throws(CallError) {
        let limit = KeySpaceLimits.answerBytesMax
        guard answerBytes > limit else { return }
        throw CallError(.resourceExhausted, "trying to send message larger than max (\(answerBytes) vs. \(limit))")
    }

    private func applyDelete(_ delete: DeleteRangeRequest, to sink: ByteSink?) throws(CallError) -> ApplyOutcome {
        try delete.validate()
        try checkAlarms(growing: false)
        scratch.clear(keeping: KeySpaceLimits.scratchBytesKept)
        let (deleted, revision) = try executeDelete(delete, previous: delete.wantsPrevious && sink != nil ? scratch : nil)
        if let sink {
            headers.append(to: sink, revision: revision, term: term)
            try checkAnswer()
            sink.field(2, deleted)
            sink.append(scratch.bytes)
            scratch.clear(keeping: KeySpaceLimits.scratchBytesKept)
        }
        return .done
    }

    private func applyTxn(_ request: TxnRequest, to sink: ByteSink?) throws(CallError) -> ApplyOutcome {
        let cost = try request.validate(maximumOperations: .max).quotaCost
        try checkAlarms(growing: cost > 0)
        let outcome = outcome(cost: cost)
        guard let sink else {
            try txn.run(request, to: nil)
            return outcome
        }
        // The header carries the revision after the transaction, so it is written last and moved to the front.
        let start = sink.count
        try txn.run(request, to: sink)
        try checkAnswer()
        headerScratch.clear()
        headers.append(to: headerScratch, revision: revisionInTxn, term: term)
        sink.insert(headerScratch.bytes, at: start)
        return outcome
    }

    /// A range that came through the log: only to be answered, it changes nothing.
    private func applyRange(_ range: RangeRequest, to sink: ByteSink?) throws(CallError) -> ApplyOutcome {
        guard let sink else { return .done }
        try range.validate()
        let answer = try rangeInTxn(range)
        headers.append(to: sink, revision: revisionInTxn, term: term)
        write(answer, to: sink)
        try checkAnswer()
        return .done
    }

    private func applyCompaction(_ request: CompactionRequest, to sink: ByteSink?) throws(CallError) -> ApplyOutcome {
        try checkAlarms(growing: false)
        try store.compact(to: request.revision)
        if let sink { headers.append(to: sink, revision: revisionInTxn, term: term) }
        return request.physical ? .compacting(revision: request.revision) : .done
    }

    // MARK: Leases

    private func applyGrant(_ request: LeaseGrantRequest, to sink: ByteSink?) throws(CallError) -> ApplyOutcome {
        try checkAlarms(growing: true)
        let outcome = outcome(cost: QuotaCost.leaseGrant)
        let ttl = try leases.grant(id: request.id, ttl: request.ttl)
        metrics?.granted(ttl: ttl)
        storeLease(request.id)
        if let sink {
            headers.append(to: sink, revision: revisionInTxn, term: term)
            sink.field(2, request.id)
            sink.field(3, ttl)
        }
        return outcome
    }

    private func applyRevoke(_ request: LeaseRevokeRequest, to sink: ByteSink?) throws(CallError) -> ApplyOutcome {
        try checkAlarms(growing: false)
        let keys = try leases.revoke(id: request.id)
        metrics?.lease.revoked.increment()
        // Each key is an operation of its own, as in etcd.
        work.deletes += keys.count
        for key in keys {
            key.withUnsafeBytes { key in
                _ = store.deleteRange(key: key, rangeEnd: UnsafeRawBufferPointer(start: nil, count: 0))
            }
        }
        store(.delete(bucket: .lease, key: LeaseStore.key(request.id)))
        if let sink { headers.append(to: sink, revision: revisionInTxn, term: term) }
        return .done
    }

    private func applyCheckpoint(_ request: LeaseCheckpointRequest, to sink: ByteSink?) throws(CallError) -> ApplyOutcome {
        for checkpoint in request.checkpoints {
            guard leases.checkpoint(id: checkpoint.id, remainingTTL: checkpoint.remainingTTL) else { continue }
            storeLease(checkpoint.id)
        }
        if let sink { headers.append(to: sink, revision: revisionInTxn, term: term) }
        return .done
    }

    private func storeLease(_ id: Int64) {
        guard let record = leases.record(id) else { return }
        store(.put(bucket: .lease, key: LeaseStore.key(id), value: record))
    }

    // MARK: Cluster

    private func applyAlarm(_ request: AlarmRequest, to sink: ByteSink?) throws(CallError) -> ApplyOutcome {
        let (listed, records) = try cluster.update { (view) throws(CallError) in view.apply(request) }
        if !records.isEmpty, let alarm = listed.first {
            let isOn = request.action == .activate
            metrics?.alarm(alarm, isOn: isOn)
            log?.warn(
                isOn ? "alarm raised" : "alarm disarmed", .string("alarm", alarm.alarm.name),
                .string("from", alarm.member.description))
        }
        store(records)
        if let sink {
            headers.append(to: sink, revision: revisionInTxn, term: term)
            for alarm in listed { sink.message(2) { alarm.encode(to: $0) } }
        }
        return .done
    }

    private func applyVersion(_ request: VersionRequest, to sink: ByteSink?) throws(CallError) -> ApplyOutcome {
        store(try cluster.update { (view) throws(CallError) in view.apply(clusterVersion: request.version) })
        return .done
    }

    private func applyAttributes(_ request: MemberAttributesRequest, to sink: ByteSink?) throws(CallError) -> ApplyOutcome {
        store(try cluster.update { (view) throws(CallError) in view.apply(request) })
        return .done
    }

    private func applyDowngrade(_ request: DowngradeInfoRequest, to sink: ByteSink?) throws(CallError) -> ApplyOutcome {
        store(try cluster.update { (view) throws(CallError) in view.apply(request) })
        return .done
    }

    func storeAuth(_ records: [ClusterRecord]) { store(records) }

    private func store(_ records: [ClusterRecord]) {
        for record in records { store(record) }
    }

    private func store(_ record: ClusterRecord) {
        switch record {
        case .put(let bucket, let key, let value): store.metaPut(bucket, key: key, value: value)
        case .delete(let bucket, let key): store.metaDelete(bucket, key: key)
        }
    }
}
