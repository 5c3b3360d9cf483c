// One test per rule of puts, deletes, compactions, leases, quota and alarms at apply.

import Testing
import Wire

@testable import KeySpace

private let a = Array("a".utf8)

/// What a stand-alone request's own checks say.
private func verdict<R>(_ bytes: [UInt8], _ decode: (UnsafeRawBufferPointer) throws -> R, _ check: (R) throws -> Void) -> CallError? {
    do {
        try bytes.withUnsafeBytes { try check(try decode($0)) }
        return nil
    } catch {
        return error as? CallError
    }
}

@Suite struct WriteRuleTests {
    @Test func aPutIsCheckedInOrder() {
        func check(_ put: PutCase) -> CallError? { verdict(put.encoded, { try PutRequest(decoding: $0) }, { try $0.validate() }) }
        #expect(check(PutCase(key: [], value: [1], lease: 1, ignoreValue: true, ignoreLease: true)) == .emptyKey)
        #expect(check(PutCase(key: a, value: [1], lease: 1, ignoreValue: true, ignoreLease: true)) == .valueProvided)
        #expect(check(PutCase(key: a, lease: 1, ignoreValue: true, ignoreLease: true)) == .leaseProvided)
        #expect(check(PutCase(key: a, ignoreValue: true, ignoreLease: true)) == nil)
        #expect(check(PutCase(key: a)) == nil)
        func range(_ range: RangeCase) -> CallError? { verdict(range.encoded, { try RangeRequest(decoding: $0) }, { try $0.validate() }) }
        #expect(range(RangeCase(key: [], order: 7)) == .emptyKey)
        #expect(range(RangeCase(key: a, order: 3)) == .invalidSortOption)
        #expect(range(RangeCase(key: a, order: -1)) == .invalidSortOption)
        #expect(range(RangeCase(key: a, target: 5)) == .invalidSortOption)
        #expect(range(RangeCase(key: a, order: 2, target: 4)) == nil)
        #expect(verdict(DeleteCase(key: []).encoded, { try DeleteRangeRequest(decoding: $0) }, { try $0.validate() }) == .emptyKey)
    }

    @Test func atApplyTheLeaseComesBeforeTheKey() {
        let harness = ApplyHarness()
        #expect(harness.apply(.put(PutCase(key: a, lease: 1, ignoreValue: true))).outcome == .failed(.leaseNotFound))
        #expect(harness.apply(.put(PutCase(key: a, ignoreValue: true))).outcome == .failed(.keyNotFound))
        #expect(harness.apply(.put(PutCase(key: a, ignoreLease: true))).outcome == .failed(.keyNotFound))
        harness.publish()
        #expect(harness.store.currentRevision == 1)
    }

    @Test func anUnchangedPutIsARevisionAndADeleteBeginsAnew() {
        let harness = ApplyHarness()
        for _ in 0..<3 { harness.apply(.put(PutCase(key: a, value: [1], wantsPrevious: true))) }
        #expect(harness.model.live(a) == Pair(key: a, created: 2, modified: 4, version: 3, value: [1]))
        harness.apply(.delete(DeleteCase(key: a, wantsPrevious: true)))
        harness.apply(.delete(DeleteCase(key: a, wantsPrevious: true)))
        harness.apply(.put(PutCase(key: a, wantsPrevious: true)))
        #expect(harness.model.live(a) == Pair(key: a, created: 6, modified: 6, version: 1))
        harness.publish()
        harness.checkState()
    }

    @Test func flagsKeepValueAndLease() {
        let harness = ApplyHarness()
        harness.apply(.grant(5, ttl: 60))
        harness.apply(.grant(6, ttl: 60))
        harness.apply(.put(PutCase(key: a, value: [1, 2, 3], lease: 5)))
        harness.apply(.put(PutCase(key: a, lease: 6, wantsPrevious: true, ignoreValue: true)))
        #expect(harness.model.live(a)?.value == [1, 2, 3])
        #expect(harness.keySpace.leases.keys(of: 5) == [])
        harness.apply(.put(PutCase(key: a, value: [9], ignoreLease: true)))
        #expect(harness.keySpace.leases.keys(of: 6) == [a])
        harness.apply(.put(PutCase(key: a, ignoreValue: true, ignoreLease: true)))
        harness.publish()
        harness.checkState()
        // Lease 0 detaches.
        harness.apply(.put(PutCase(key: a, value: [9])))
        #expect(harness.keySpace.leases.keys(of: 6) == [])
        harness.publish()
        harness.checkState()
    }

    @Test func compactionsAreCheckedAgainstTheLastOneFirst() {
        let harness = ApplyHarness()
        #expect(harness.apply(.compact(2)).outcome == .failed(.futureRevision))
        #expect(harness.apply(.compact(-1)).outcome == .failed(.compacted))
        // Once, on a store that was never compacted.
        #expect(harness.apply(.compact(0)).outcome == .done)
        #expect(harness.apply(.compact(0)).outcome == .failed(.compacted))
        for _ in 0..<5 { harness.apply(.put(PutCase(key: a))) }
        #expect(harness.apply(.compact(6, physical: true)).outcome == .compacting(revision: 6))
        #expect(harness.apply(.compact(6)).outcome == .failed(.compacted))
        #expect(harness.apply(.compact(7)).outcome == .failed(.futureRevision))
        #expect(harness.apply(.range(RangeCase(key: a, revision: 5))).outcome == .failed(.compacted))
        harness.publish()
        harness.restart()
        harness.checkState()
    }

    @Test func changesThatAreNotPublishedYetAreCompactedToo() {
        let harness = ApplyHarness()
        for _ in 0..<3 { harness.apply(.put(PutCase(key: a))) }
        #expect(harness.apply(.compact(4)).outcome == .done)
        harness.apply(.put(PutCase(key: a)))
        #expect(harness.apply(.compact(5)).outcome == .done)
        harness.publish()
        harness.checkState()
    }
}

@Suite struct LeaseApplyTests {
    @Test func grantsAreCheckedAndRaised() {
        let harness = ApplyHarness()
        #expect(harness.apply(.grant(1, ttl: 9_000_000_001)).outcome == .failed(.leaseTTLTooLarge))
        #expect(harness.apply(.grant(1, ttl: 9_000_000_000)).outcome == .done)
        #expect(harness.apply(.grant(1, ttl: 5)).outcome == .failed(.leaseExists))
        for (id, ttl) in [(2, 0), (3, -5), (4, 1), (-5, 2), (Int64.min, Int64.min)] as [(Int64, Int64)] {
            #expect(harness.apply(.grant(id, ttl: ttl)).answer(to: .grant(id, ttl: ttl)) == .grant(harness.model.header(1), id: id, ttl: 2))
        }
        harness.publish()
        harness.restart()
        harness.checkState()
    }

    @Test func aRevokeDeletesItsKeysInOrderInOneRevision() {
        let harness = ApplyHarness()
        #expect(harness.apply(.revoke(7)).outcome == .failed(.leaseNotFound))
        harness.apply(.grant(7, ttl: 60))
        for key in ["c", "a", "b\0", "b"] { harness.apply(.put(PutCase(key: Array(key.utf8), lease: 7))) }
        harness.apply(.put(PutCase(key: Array("other".utf8))))
        #expect(harness.apply(.revoke(7)).answer(to: .revoke(7)) == .bare(harness.model.header(7)))
        #expect(harness.model.changes.suffix(4).map(\.pair.key) == ["a", "b", "b\0", "c"].map { Array($0.utf8) })
        harness.publish()
        harness.checkState()
        // Without keys no revision.
        harness.apply(.grant(8, ttl: 60))
        #expect(harness.apply(.revoke(8)).answer(to: .revoke(8)) == .bare(harness.model.header(7)))
        harness.publish()
        harness.restart()
        harness.checkState()
    }

    @Test func deletesAndTransactionsDetach() {
        let harness = ApplyHarness()
        harness.apply(.grant(7, ttl: 60))
        harness.apply(.put(PutCase(key: a, lease: 7)))
        harness.apply(.delete(DeleteCase(key: [0], end: [0])))
        #expect(harness.keySpace.leases.keys(of: 7) == [])
        let attach = OperationCase.put(PutCase(key: a, lease: 7))
        harness.apply(.txn(TxnCase(success: [.txn(TxnCase(success: [attach]))])))
        #expect(harness.keySpace.leases.keys(of: 7) == [a])
        // Away and back in one transaction, past the overlap rules.
        harness.apply(.txn(TxnCase(success: [.delete(DeleteCase(key: a, end: [0])), attach])))
        #expect(harness.keySpace.leases.keys(of: 7) == [a])
        harness.publish()
        harness.restart()
        harness.checkState()
    }

    @Test func checkpointsOfUnknownLeasesAreNothing() {
        let harness = ApplyHarness()
        harness.apply(.grant(7, ttl: 600))
        harness.apply(.checkpoint([(id: 1, remaining: 5), (id: 7, remaining: 300)]))
        harness.publish()
        harness.restart()
        harness.checkState()
        harness.apply(.checkpoint([(id: 7, remaining: 0)]))
        harness.publish()
        harness.restart()
        harness.checkState()
    }
}

@Suite struct AlarmRuleTests {
    private func activate(_ kind: Int64, _ harness: ApplyHarness, member: Int64 = 3) {
        harness.apply(.alarm(action: 1, member: member, kind: kind))
    }

    private let growing: [RequestCase] = [
        .put(PutCase(key: a)), .grant(9, ttl: 5), .txn(TxnCase(success: [.put(PutCase(key: a))])),
        .txn(TxnCase(success: [.delete(DeleteCase(key: a))], failure: [.put(PutCase(key: a))])),
        .put(PutCase(key: a, lease: 77)),
    ]

    @Test func noSpaceRefusesWhatGrows() {
        let harness = ApplyHarness()
        harness.apply(.grant(1, ttl: 60))
        harness.apply(.put(PutCase(key: a, lease: 1)))
        activate(1, harness)
        for request in growing { #expect(harness.apply(request).outcome == .failed(.noSpace)) }
        for request in [
            .delete(DeleteCase(key: a)), .compact(2), .revoke(1), .checkpoint([]),
            .txn(TxnCase(success: [.delete(DeleteCase(key: a)), .txn(TxnCase())])), .range(RangeCase(key: a)),
        ] as [RequestCase] { #expect(harness.apply(request).outcome == .done) }
        harness.apply(.alarm(action: 2, member: 3, kind: 1))
        #expect(harness.apply(growing[0]).outcome == .done)
        harness.publish()
        harness.checkState()
    }

    @Test func corruptionRefusesEveryWriteAndWins() {
        let harness = ApplyHarness()
        harness.apply(.grant(1, ttl: 60))
        activate(2, harness)
        activate(1, harness)
        let all = growing + [.delete(DeleteCase(key: a)), .compact(0), .revoke(1), .txn(TxnCase(success: [.delete(DeleteCase(key: a))]))]
        for request in all { #expect(harness.apply(request).outcome == .failed(.corrupt)) }
        #expect(harness.apply(.checkpoint([(id: 1, remaining: 4)])).outcome == .done)
        harness.apply(.alarm(action: 2, member: 3, kind: 2))
        #expect(harness.apply(growing[0]).outcome == .failed(.noSpace))
        harness.publish()
        harness.restart()
        harness.checkState()
    }

    @Test func alarmsAreListedActivatedAndDeactivated() {
        let harness = ApplyHarness()
        func alarm(_ action: Int64, _ member: Int64, _ kind: Int64) -> [[Int64]]? {
            let request = RequestCase.alarm(action: action, member: member, kind: kind)
            guard case .alarms(let header, let listed)? = harness.apply(request).answer(to: request) else { return nil }
            #expect(header.revision == 1)
            return listed
        }
        #expect(alarm(0, 0, 0) == [])
        #expect(alarm(1, 5, 0) == [])
        #expect(alarm(1, 5, 1) == [[5, 1]])
        #expect(alarm(1, 5, 1) == [[5, 1]])
        #expect(alarm(1, 4, 2) == [[4, 2]])
        #expect(alarm(1, 0, 1) == [[0, 1]])
        #expect(alarm(1, -1, 1) == [[-1, 1]])
        #expect(alarm(0, 99, 0) == [[0, 1], [5, 1], [-1, 1], [4, 2]])
        #expect(alarm(0, 99, 2) == [[4, 2]])
        // Member 0 is a member like any other here.
        #expect(alarm(2, 0, 2) == [])
        #expect(alarm(2, 0, 1) == [[0, 1]])
        #expect(alarm(2, 4, 1) == [])
        #expect(alarm(2, -1, 1) == [[-1, 1]])
        #expect(alarm(2, 4, 2) == [[4, 2]])
        harness.publish()
        harness.restart()
        harness.checkState()
        #expect(alarm(0, 0, 0) == [[5, 1]])
    }

    @Test func unknownAlarmNumbersChangeNothing() {
        let harness = ApplyHarness()
        for (action, kind) in [(7, 1), (1, 9), (-1, 0), (2, 9)] as [(Int64, Int64)] {
            #expect(harness.applyRaw(RequestCase.alarm(action: action, member: 1, kind: kind).encoded(id: 1)).outcome == .done)
        }
        harness.publish()
        harness.checkState()
    }

    @Test func overTheQuotaARequestIsExecutedAndAnsweredWithTheError() {
        let harness = ApplyHarness(quota: 1)
        #expect(harness.apply(.put(PutCase(key: a))).outcome == .exceededQuota)
        #expect(harness.apply(.grant(1, ttl: 10)).outcome == .exceededQuota)
        #expect(harness.apply(.txn(TxnCase(failure: [.put(PutCase(key: a))]))).outcome == .exceededQuota)
        // What costs nothing is always allowed.
        #expect(harness.apply(.txn(TxnCase(success: [.delete(DeleteCase(key: a))]))).outcome == .done)
        #expect(harness.apply(.delete(DeleteCase(key: a))).outcome == .done)
        #expect(harness.apply(.revoke(1)).outcome == .done)
        // An error of the request's own is that error.
        #expect(harness.apply(.put(PutCase(key: a, lease: 7))).outcome == .failed(.leaseNotFound))
        harness.publish()
        harness.checkState()
    }
}
