// Which leases a leader writes checkpoints of.

import Synchronization
import Testing

@testable import KeySpace

/// A clock that is set by hand.
private final class ManualSeconds: Sendable {
    private let value = Mutex(UInt64(1_000))
    var nanoseconds: UInt64 { value.withLock { $0 } * 1_000_000_000 }
    func advance(_ seconds: UInt64) { value.withLock { $0 += seconds } }
}

@Suite struct LeaseCheckpointTests {
    @Test func longLeasesThatHaveRunAWhile() throws {
        let clock = ManualSeconds()
        let store = LeaseStore(minimumTTL: 1, clock: { clock.nanoseconds })
        store.promote(extend: 0)
        for (id, ttl) in [(1, 300), (2, 301), (3, 1_000), (4, 1_000), (5, 400)] as [(Int64, Int64)] { _ = try store.grant(id: id, ttl: ttl) }
        func taken() -> [Int64: Int64] {
            Dictionary(uniqueKeysWithValues: store.checkpoints(now: clock.nanoseconds, interval: 300).joined().map { ($0.id, $0.remaining) })
        }
        // All have just begun.
        #expect(taken().isEmpty)
        clock.advance(350)
        _ = store.renew(id: 4, now: clock.nanoseconds)
        // 1 is too short, 2 is over, 4 has begun anew.
        #expect(taken() == [3: 650, 5: 50])
        #expect(store.checkpoint(id: 3, remainingTTL: 650))
        // The next leader goes on from there.
        store.promote(extend: 0)
        #expect(store.timeToLive(id: 3, wantsKeys: false, now: clock.nanoseconds)?.remaining == 650)
        store.demote()
        #expect(taken().isEmpty)
    }

    @Test func proposalsAreBounded() throws {
        let clock = ManualSeconds()
        let store = LeaseStore(minimumTTL: 1, clock: { clock.nanoseconds })
        store.promote(extend: 0)
        for id in 1...2_500 { _ = try store.grant(id: Int64(id), ttl: 10_000) }
        clock.advance(400)
        let batches = store.checkpoints(now: clock.nanoseconds, interval: 300)
        #expect(batches.map(\.count) == [1_000, 1_000, 500])
        #expect(batches.joined().map(\.id) == (1...2_500).map(Int64.init))
    }
}
