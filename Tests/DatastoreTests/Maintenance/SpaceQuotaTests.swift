// When a member takes its NOSPACE alarm back, and what transactions weigh.

import KeySpace
import Testing
import Wire

@testable import Datastore

struct SpaceQuotaTests {
    private func action(_ size: Int, _ inUse: Int, quota: Int = 1000, collectedAt: Int = -1) -> SpaceQuota.Action {
        SpaceQuota.action(size: size, sizeInUse: inUse, quota: quota, lastCollectedAt: collectedAt)
    }

    @Test func thereIsADistanceBetweenFullAndFreeAgain() {
        #expect(action(1000, 1000) == .none && action(999, 901) == .none)
        #expect(action(900, 100) == .disarm && action(0, 0) == .disarm)
    }

    @Test func whatIsFreeInsideIsCollectedOnce() {
        #expect(action(901, 900) == .collect && action(5000, 10) == .collect)
        #expect(action(901, 900, collectedAt: 900) == .none)
        #expect(action(901, 899, collectedAt: 900) == .collect)
    }

    @Test func hugeQuotasDoNotOverflow() {
        #expect(action(.max / 2, .max / 2, quota: .max) == .disarm)
        #expect(action(.max, .max, quota: .max) == .none)
    }

    private func put(_ key: Int, _ value: Int, to sink: ByteSink) {
        sink.message(2) {
            $0.field(1, [UInt8](repeating: 1, count: key))
            $0.field(2, [UInt8](repeating: 1, count: value))
        }
    }

    @Test func transactionsWeighTheirDearerBranch() throws {
        let sink = ByteSink()
        sink.message(2) { put(3, 10, to: $0) }
        sink.message(3) { put(1, 0, to: $0) }
        sink.message(3) { put(1, 0, to: $0) }
        #expect(QuotaCost.transaction(try TxnRequest(decoding: sink.bytes)) == 514)
        sink.message(2) { sink in sink.message(4) { sink in sink.message(3) { put(0, 1000, to: $0) } } }
        #expect(QuotaCost.transaction(try TxnRequest(decoding: sink.bytes)) == 269 + 1256)
        #expect(QuotaCost.transactionAtMost(bytes: sink.count) >= 269 + 1256)
    }

    @Test func noTransactionWeighsMoreThanItsBytesAllow() throws {
        let sink = ByteSink()
        for _ in 0..<1000 { sink.message(2) { put(0, 0, to: $0) } }
        #expect(QuotaCost.transaction(try TxnRequest(decoding: sink.bytes)) == 256_000)
        #expect(QuotaCost.transactionAtMost(bytes: sink.count) >= 256_000)
    }

    @Test func depthIsBounded() throws {
        var inner: [UInt8] = []
        for _ in 0..<5000 {
            let sink = ByteSink(capacity: inner.count + 32)
            inner.withUnsafeBytes { bytes in sink.message(2) { $0.always(4, bytes) } }
            inner = sink.array()
        }
        let cost = try inner.withUnsafeBytes { QuotaCost.transaction(try TxnRequest(decoding: $0)) }
        #expect(cost == 0)
    }
}

struct MinorVersionTests {
    @Test(arguments: [
        ("3.6", MinorVersion(3, 6)), ("3.6.0", MinorVersion(3, 6)), ("3.6.99", MinorVersion(3, 6)), ("3.6.1-rc.2+x", MinorVersion(3, 6)),
        ("", nil), ("3", nil), ("v3.6", nil), ("3.6.", nil), ("3.x", nil), ("3.6.0.0", nil), ("3.-1", nil), ("+3.6.0", nil), (".", nil),
    ])
    func texts(_ text: String, _ version: MinorVersion?) {
        #expect(MinorVersion(text) == version)
    }

    private let v35 = MinorVersion(3, 5)
    private let v36 = MinorVersion(3, 6)
    private let v37 = MinorVersion(3, 7)

    @Test func aNewClusterTakesTheLowestMember() {
        #expect(MinorVersion.decide(cluster: nil, lowest: v37, downgradeTarget: nil) == v37)
        #expect(MinorVersion.decide(cluster: nil, lowest: nil, downgradeTarget: nil) == MinorVersion(3, 0))
    }

    @Test func versionsOnlyRiseByThemselves() {
        #expect(MinorVersion.decide(cluster: v36, lowest: v37, downgradeTarget: nil) == v37)
        #expect(MinorVersion.decide(cluster: v37, lowest: v37, downgradeTarget: nil) == nil)
        #expect(MinorVersion.decide(cluster: v37, lowest: v36, downgradeTarget: nil) == nil)
        #expect(MinorVersion.decide(cluster: v36, lowest: nil, downgradeTarget: nil) == nil)
    }

    @Test func aDowngradeGoesOneDownAndStays() {
        #expect(MinorVersion.decide(cluster: v37, lowest: v37, downgradeTarget: v36) == v36)
        #expect(MinorVersion.decide(cluster: v36, lowest: v37, downgradeTarget: v36) == nil)
        #expect(MinorVersion.decide(cluster: v37, lowest: v37, downgradeTarget: v35) == nil)
    }
}
