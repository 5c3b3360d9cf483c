// The key space beside its model: every request goes to both, encoded; every answer and the state behind it are
// compared.

import Storage
import StorageSimulation
import Testing
import Wire

@testable import KeySpace

final class ApplyHarness {
    private(set) var keySpace: KeySpace
    private(set) var model = KeySpaceModel()
    var random: SeededRandom
    /// The log: every entry ever applied.
    private(set) var entries: [Entry] = []
    private var fileSystem: SimulatedFileSystem
    private let quota: Int?
    private lazy var compaction = CompactionRunner(store: keySpace.store)
    /// Requests that succeeded and that failed, to see that a random run has both.
    private(set) var outcomes = (done: 0, failed: 0)

    var store: MVCCStore { keySpace.store }

    init(seed: UInt64 = 1, quota: Int? = nil) {
        random = SeededRandom(seed: seed)
        self.quota = quota
        fileSystem = SimulatedFileSystem(seed: seed)
        keySpace = ApplyHarness.open(fileSystem, quota)
    }

    private static func open(_ fileSystem: SimulatedFileSystem, _ quota: Int?) -> KeySpace {
        var options = RevisionLogOptions()
        options.segmentBytes = 64 << 10
        options.preallocates = false
        let store = try! MVCCStore.open(fileSystem: fileSystem, directory: "/store", logOptions: options)
        // The same that a member does at its start.
        var view = ClusterView()
        for bucket in [MetaBucket.members, .membersRemoved, .cluster, .alarm] {
            for (key, value) in store.metaEntries(bucket) { view.restore(bucket: bucket, key: key, value: value) }
        }
        let leases = LeaseStore(minimumTTL: KeySpaceModel.minimumTTL, clock: { 0 })
        for value in store.metaEntries(.lease).values { try! value.withUnsafeBytes { try leases.restore($0) } }
        store.forEachAttachedKey { key, lease in leases.attach(key: key.bytes, to: lease) }
        return KeySpace(
            store: store, leases: leases, cluster: ClusterState(view),
            headers: ResponseHeaderEncoder(cluster: ClusterID(KeySpaceModel.cluster), member: MemberID(KeySpaceModel.member)),
            quota: quota)
    }

    // MARK: Applying

    /// What a request comes to.
    struct Result {
        var outcome: ApplyOutcome
        var bytes: [UInt8]
        func answer(to request: RequestCase) -> Answer? { try? Answer.decode(bytes, to: request) }
    }

    /// Applies raw entry data without the model.
    func applyRaw(_ data: [UInt8], answered: Bool = true) -> Result {
        let entry = Entry(term: 5, index: UInt64(entries.count + 1), data: data)
        entries.append(entry)
        // The answer goes behind what other calls have left.
        let sink = ByteSink()
        sink.append([0xaa, 0xbb])
        let outcome = keySpace.apply(entry, currentTerm: KeySpaceModel.term, to: answered ? sink : nil)
        #expect(Array(sink.array().prefix(2)) == [0xaa, 0xbb])
        return Result(outcome: outcome, bytes: Array(sink.array().dropFirst(2)))
    }

    /// Applies a request to both sides and compares; returns what it came to.
    @discardableResult
    func apply(_ request: RequestCase, answered: Bool = true) -> Result {
        let result = applyRaw(request.encoded(id: Int64(entries.count + 1)), answered: answered)
        do throws(CallError) {
            let expected = try model.apply(request)
            outcomes.done += 1
            switch result.outcome {
            case .failed(let error): Issue.record("\(error.message) instead of an answer to \(request)")
            case .done, .exceededQuota, .compacting:
                guard answered else { break }
                if let answer = result.answer(to: request) {
                    if !matches(answer, expected, request) { Issue.record("\(answer) instead of \(expected) to \(request)") }
                } else {
                    Issue.record("an answer that cannot be decoded to \(request): \(result.bytes)")
                }
            }
        } catch {
            outcomes.failed += 1
            #expect(result.outcome == .failed(error), "to \(request)")
            #expect(result.bytes.isEmpty)
        }
        return result
    }

    /// Validates as the receiving member does, then applies what passes.
    func submit(_ txn: TxnCase, budget: Int) {
        let expected = Swift.Result { () throws(CallError) in try txn.check(budget: budget) }
        let bytes = txn.encoded
        let found = Swift.Result { () throws(CallError) in try TxnRequest.validated(bytes, budget) }
        switch (found, expected) {
        case (.success(let summary), .success):
            #expect(summary.quotaCost == txn.cost)
            #expect(summary.isReadOnly == txn.isReadOnly)
            apply(.txn(txn), answered: int(0..<4) > 0)
        case (.failure(let found), .failure(let expected)): #expect(found == expected, "to \(txn)")
        default: Issue.record("\(found) instead of \(expected) to \(txn)")
        }
    }

    func publish() { try! store.publish() }

    // MARK: Time and power

    func restart() {
        store.close()
        fileSystem = fileSystem.afterKill()
        reopen()
    }

    /// The machine loses power; what the disk lost comes again from the log.
    func crash() {
        fileSystem.cutPower()
        store.close()
        fileSystem = fileSystem.afterPowerLoss(seed: random.next())
        reopen()
    }

    private func reopen() {
        keySpace = ApplyHarness.open(fileSystem, quota)
        compaction = CompactionRunner(store: store)
        let applied = store.appliedPosition.index
        for entry in entries where entry.index > applied {
            _ = keySpace.apply(entry, currentTerm: KeySpaceModel.term, to: nil)
            if int(0..<5) == 0 { publish() }
        }
        publish()
    }

    /// Some work of the maintenance thread.
    func maintain() {
        switch int(0..<4) {
        case 0: _ = try! store.log.sync()
        case 1: _ = try! CheckpointRunner(store: store).write {}
        default: for _ in 0..<int(1..<6) { _ = try! compaction.step() }
        }
    }

    // MARK: Comparing

    func int(_ range: Range<Int>) -> Int { Int.random(in: range, using: &random) }

    /// Sorted lists may have ties in any order; all else is exact.
    private func matches(_ found: Answer, _ expected: Answer, _ request: RequestCase) -> Bool {
        switch (found, expected, request) {
        case (.txn(let a, let succeeded, let found), .txn(let b, let wanted, let expected), .txn(let txn)):
            guard a == b, succeeded == wanted, found.count == expected.count else { return false }
            return zip(zip(found, expected), succeeded ? txn.success : txn.failure).allSatisfy { pair, operation in
                switch operation {
                case .range(let range): matches(pair.0, pair.1, .range(range))
                case .txn(let txn): matches(pair.0, pair.1, .txn(txn))
                default: pair.0 == pair.1
                }
            }
        case (.range(let a, let found, let more, let count), .range(let b, let expected, let wantsMore, let wanted), .range(let range)):
            if range.target == 0 { break }
            guard a == b, more == wantsMore, count == wanted, found.count == expected.count else { return false }
            let equal = zip(found, expected).allSatisfy {
                range.keysOnly && range.target == 4
                    || !KeySpaceModel.precedes($0, $1, range.target) && !KeySpaceModel.precedes($1, $0, range.target)
            }
            let sorted = { (pairs: [Pair]) in pairs.sorted { $0.key.lexicographicallyPrecedes($1.key) } }
            return equal && (more || sorted(found) == sorted(expected))
        default: break
        }
        return found == expected
    }

    /// Everything that is published, against the model.
    func checkState(events: Bool = true) {
        #expect(store.currentRevision == model.revision)
        #expect(store.compactRevision == model.compacted)
        let all = RangeCase(key: [0], end: [0])
        let sink = ByteSink()
        sink.append([10, 0])
        all.encoded.withUnsafeBytes { bytes in
            let answer = try! store.range(try! RangeRequest(decoding: bytes))
            while !answer.isReady { answer.cursor!.step() }
            try! answer.write(to: sink)
        }
        let expected = try! model.answer(all, header: Header())
        #expect((try? Answer.range(sink.array())) == expected)
        #expect(keySpace.leases.count == model.leases.count)
        keySpace.leases.checkInvariants()
        for (id, lease) in model.leases {
            let record = keySpace.leases.record(id).flatMap { bytes in bytes.withUnsafeBytes { try? LeaseRecord(decoding: $0) } }
            #expect(record == LeaseRecord(id: id, ttl: lease.ttl, remainingTTL: lease.remaining))
            let keys = keySpace.leases.keys(of: id)?.sorted { $0.lexicographicallyPrecedes($1) }
            #expect(keys == model.keys(of: id), "keys of lease \(id)")
        }
        let alarms = keySpace.cluster.current.alarms.sorted().map { [Int64(bitPattern: $0.member.rawValue), Int64($0.alarm.rawValue)] }
        #expect(alarms == model.sortedAlarms)
        for kind in [AlarmKind.noSpace, .corrupt] {
            #expect(keySpace.cluster.hasAlarm(kind) == model.alarms.contains { $0[1] == Int64(kind.rawValue) })
        }
        if events { checkEvents() }
    }

    /// Main and sub revisions of every change that is not compacted.
    private func checkEvents() {
        // At the compacted revision itself some may be purged.
        let from = max(model.compacted + 1, 1)
        let expected = model.changes.filter { $0.pair.modified >= from }
        let batch = EventBatch()
        do throws(CallError) {
            try store.events(from: from, into: batch, maximumEvents: .max, maximumBytes: .max)
        } catch {
            Issue.record("\(error)")
        }
        #expect(batch.events.count == expected.count)
        for (event, wanted) in zip(batch.events, expected) {
            #expect(event.version.modified == Revision(main: wanted.pair.modified, sub: Int32(wanted.sub)))
            #expect(event.version.isTombstone == wanted.isTombstone)
            #expect(Array(batch.key(event)) == wanted.pair.key)
            #expect(event.version.version == wanted.pair.version)
            #expect(event.version.created == wanted.pair.created)
            #expect(event.version.lease == wanted.pair.lease)
        }
    }
}

extension TxnRequest {
    /// Decodes and validates; an undecodable message is an error of its own.
    static func validated(_ bytes: [UInt8], _ budget: Int) throws(CallError) -> TxnSummary {
        let result: Result<TxnSummary, CallError> = bytes.withUnsafeBytes { view in
            Result { () throws(CallError) in
                let request: TxnRequest
                do throws(ProtobufError) { request = try TxnRequest(decoding: view) } catch { throw error.callError }
                return try request.validate(maximumOperations: budget)
            }
        }
        return try result.get()
    }
}
