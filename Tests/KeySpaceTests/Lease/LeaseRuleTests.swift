// The rules of leases one by one.

import Synchronization
import Testing
import Wire

@testable import KeySpace

/// Time that stands still until the test moves it.
final class ManualClock: Sendable {
    private let value = Atomic<UInt64>(1_000_000_000_000)
    var now: UInt64 { value.load(ordering: .relaxed) }
    func advance(seconds: Double) { value.wrappingAdd(UInt64(seconds * 1e9), ordering: .relaxed) }
}

struct LeaseFixture {
    let clock = ManualClock()
    let store: LeaseStore

    init(minimumTTL: Int64 = 2) {
        let clock = clock
        store = LeaseStore(minimumTTL: minimumTTL, revokeTimeoutNanoseconds: 7_000_000_000, clock: { clock.now })
    }

    func attach(_ key: String, _ id: Int64) { Array(key.utf8).withUnsafeBytes { store.attach(key: $0, to: id) } }
    func detach(_ key: String, _ id: Int64) { Array(key.utf8).withUnsafeBytes { store.detach(key: $0, from: id) } }
    func renew(_ id: Int64) -> LeaseRenewal { store.renew(id: id, now: clock.now) }
    func remaining(_ id: Int64) -> Int64? { store.timeToLive(id: id, wantsKeys: false, now: clock.now)?.remaining }

    /// One pass of the timer: what is proposed for revocation.
    func pass() -> [Int64] {
        store.collectExpired(now: clock.now)
        return store.takeRevokes(now: clock.now)
    }
}

@Suite struct LeaseRuleTests {
    @Test func grantRules() throws {
        let fixture = LeaseFixture()
        #expect(try fixture.store.grant(id: 1, ttl: 10) == 10)
        #expect(try fixture.store.grant(id: 2, ttl: 0) == 2)
        #expect(try fixture.store.grant(id: 3, ttl: -5) == 2)
        #expect(try fixture.store.grant(id: 4, ttl: 9_000_000_000) == 9_000_000_000)
        #expect(throws: CallError.leaseTTLTooLarge) { try fixture.store.grant(id: 5, ttl: 9_000_000_001) }
        #expect(throws: CallError.leaseExists) { try fixture.store.grant(id: 1, ttl: 10) }
        #expect(throws: CallError.leaseNotFound) { try fixture.store.grant(id: 0, ttl: 10) }
        #expect(fixture.store.count == 4 && fixture.store.contains(4) && !fixture.store.contains(5))
        fixture.store.checkInvariants()
    }

    @Test func revokeReturnsKeysInByteOrder() throws {
        let fixture = LeaseFixture()
        _ = try fixture.store.grant(id: 1, ttl: 10)
        for key in ["b", "a", "ab", "\u{0}", "b"] { fixture.attach(key, 1) }
        fixture.detach("a", 1)
        fixture.detach("zz", 1)
        fixture.attach("x", 99)
        fixture.detach("x", 99)
        #expect(fixture.store.keys(of: 1)?.count == 3)
        #expect(try fixture.store.revoke(id: 1) == [[0], Array("ab".utf8), Array("b".utf8)])
        #expect(throws: CallError.leaseNotFound) { try fixture.store.revoke(id: 1) }
        #expect(fixture.store.keys(of: 1) == nil)
        _ = try fixture.store.grant(id: 2, ttl: 10)
        #expect(try fixture.store.revoke(id: 2).isEmpty)
        fixture.store.checkInvariants()
    }

    @Test func onlyThePrimaryCountsTime() throws {
        let fixture = LeaseFixture()
        _ = try fixture.store.grant(id: 1, ttl: 5)
        fixture.clock.advance(seconds: 100)
        #expect(fixture.pass().isEmpty)
        #expect(fixture.renew(1) == .notPrimary && fixture.renew(2) == .notPrimary)
        #expect(fixture.remaining(1) == 5)
        fixture.store.promote(extend: 1_000_000_000)
        #expect(fixture.remaining(1) == 6, "the whole time and one election timeout")
        fixture.clock.advance(seconds: 5.5)
        #expect(fixture.pass().isEmpty)
        fixture.clock.advance(seconds: 0.5)
        #expect(fixture.pass() == [1])
        fixture.store.demote()
        #expect(fixture.renew(1) == .notPrimary && fixture.pass().isEmpty && !fixture.store.isPrimary)
        fixture.store.checkInvariants()
    }

    @Test func timeToLiveTruncates() throws {
        let fixture = LeaseFixture()
        fixture.store.promote(extend: 0)
        _ = try fixture.store.grant(id: 1, ttl: 10)
        fixture.attach("k", 1)
        #expect(fixture.remaining(1) == 10)
        fixture.clock.advance(seconds: 0.1)
        #expect(fixture.remaining(1) == 9)
        fixture.clock.advance(seconds: 9.5)
        #expect(fixture.remaining(1) == 0)
        #expect(fixture.pass().isEmpty, "0 seconds left is not expired")
        #expect(fixture.store.timeToLive(id: 1, wantsKeys: true, now: fixture.clock.now) == LeaseStatus(granted: 10, remaining: 0, keys: [[107]]))
        #expect(fixture.store.timeToLive(id: 2, wantsKeys: true, now: fixture.clock.now) == nil)
    }

    @Test func renewalAnswers() throws {
        let fixture = LeaseFixture()
        fixture.store.promote(extend: 0)
        _ = try fixture.store.grant(id: 1, ttl: 10)
        #expect(fixture.renew(2) == .notFound)
        fixture.clock.advance(seconds: 9.9)
        #expect(fixture.renew(1) == .renewed(ttl: 10, hasCheckpoint: false))
        fixture.clock.advance(seconds: 9.9)
        #expect(fixture.pass().isEmpty)
        fixture.clock.advance(seconds: 0.1)
        // Expired: neither before nor after it was taken up may it come back to life.
        #expect(fixture.renew(1) == .expiring)
        #expect(fixture.pass() == [1])
        #expect(fixture.renew(1) == .expiring)
        _ = try fixture.store.revoke(id: 1)
        #expect(fixture.renew(1) == .notFound)
        #expect(fixture.store.expiredCount == 0)
        fixture.store.checkInvariants()
    }

    @Test func checkpointsOutliveTheLeader() throws {
        let fixture = LeaseFixture()
        fixture.store.promote(extend: 0)
        _ = try fixture.store.grant(id: 1, ttl: 1000)
        #expect(fixture.store.checkpoint(id: 1, remainingTTL: 400))
        #expect(!fixture.store.checkpoint(id: 2, remainingTTL: 400))
        #expect(fixture.remaining(1) == 1000, "a checkpoint does not touch a running clock")
        let follower = LeaseFixture()
        try fixture.store.record(1)!.withUnsafeBytes { try follower.store.restore($0) }
        follower.store.promote(extend: 0)
        #expect(follower.remaining(1) == 400)
        #expect(follower.renew(1) == .renewed(ttl: 1000, hasCheckpoint: true))
        #expect(follower.remaining(1) == 1000)
        #expect(follower.store.checkpoint(id: 1, remainingTTL: 0))
        #expect(follower.renew(1) == .renewed(ttl: 1000, hasCheckpoint: false))
    }

    @Test func storedForm() throws {
        let fixture = LeaseFixture()
        _ = try fixture.store.grant(id: 0x0102_0304_0506_0708, ttl: 300)
        #expect(LeaseStore.key(0x0102_0304_0506_0708) == [1, 2, 3, 4, 5, 6, 7, 8])
        let record = try #require(fixture.store.record(0x0102_0304_0506_0708))
        #expect(record == [8, 0x88, 0x8e, 0x98, 0xa8, 0xc0, 0xe0, 0x80, 0x81, 1, 16, 0xac, 2])
        #expect(fixture.store.record(1) == nil)
        // A TTL from before the minimum was raised.
        let later = LeaseFixture(minimumTTL: 500)
        try record.withUnsafeBytes { try later.store.restore($0) }
        #expect(later.remaining(0x0102_0304_0506_0708) == 500)
        #expect(throws: ProtobufError.self) { try [8 as UInt8].withUnsafeBytes { try later.store.restore($0) } }
        later.store.removeAll()
        #expect(later.store.count == 0)
        later.store.checkInvariants()
    }

    @Test func listIsOrderedByExpiryOnThePrimary() throws {
        let fixture = LeaseFixture()
        for (id, ttl) in [(1, 30), (2, 10), (3, 20)] as [(Int64, Int64)] { _ = try fixture.store.grant(id: id, ttl: ttl) }
        #expect(fixture.store.list().sorted() == [1, 2, 3])
        fixture.store.promote(extend: 0)
        #expect(fixture.store.list() == [2, 3, 1])
        fixture.clock.advance(seconds: 5)
        _ = fixture.renew(2)
        #expect(fixture.store.list() == [2, 3, 1])
        fixture.clock.advance(seconds: 8)
        _ = fixture.renew(2)
        #expect(fixture.store.list() == [3, 2, 1])
    }

    @Test func revokesAreBoundedAndRetried() throws {
        let fixture = LeaseFixture()
        fixture.store.promote(extend: 0)
        let pass = LeaseLimits.expiredPerPass
        for id in 1...Int64(pass + 100) { _ = try fixture.store.grant(id: id, ttl: 2) }
        fixture.clock.advance(seconds: 3)
        #expect(fixture.store.collectExpired(now: fixture.clock.now) == pass, "one pass does not take up all")
        let first = fixture.store.takeRevokes(now: fixture.clock.now)
        #expect(first.count == LeaseLimits.revokesInFlightMax)
        #expect(fixture.store.takeRevokes(now: fixture.clock.now).isEmpty)
        // One answered, one failed.
        _ = try fixture.store.revoke(id: first[0])
        let second = fixture.store.takeRevokes(now: fixture.clock.now)
        #expect(second.count == 1)
        fixture.store.revokeFailed(id: first[1], now: fixture.clock.now)
        #expect(fixture.store.takeRevokes(now: fixture.clock.now).isEmpty, "not at once")
        fixture.clock.advance(seconds: 0.5)
        #expect(fixture.store.takeRevokes(now: fixture.clock.now) == [first[1]])
        // No answer at all.
        fixture.clock.advance(seconds: 6.5)
        #expect(Set(fixture.store.takeRevokes(now: fixture.clock.now)) == Set(first.dropFirst(2) + second))
        fixture.store.checkInvariants()
        // Everything goes in the end.
        var passes = 0
        while fixture.store.count > 0 {
            passes += 1
            fixture.clock.advance(seconds: 7.5)
            fixture.store.collectExpired(now: fixture.clock.now)
            while true {
                let ids = fixture.store.takeRevokes(now: fixture.clock.now)
                if ids.isEmpty { break }
                for id in ids { _ = try fixture.store.revoke(id: id) }
            }
        }
        #expect(passes <= 3 && fixture.store.expiredCount == 0)
    }

    @Test func anExpiredLeaseThatIsRevokedByAClientAndGrantedAgainLives() throws {
        let fixture = LeaseFixture()
        fixture.store.promote(extend: 0)
        for id in 1...20 as ClosedRange<Int64> { _ = try fixture.store.grant(id: id, ttl: 2) }
        fixture.clock.advance(seconds: 2)
        fixture.store.collectExpired(now: fixture.clock.now)
        _ = try fixture.store.revoke(id: 7)
        _ = try fixture.store.grant(id: 7, ttl: 2)
        var proposed: [Int64] = []
        while true {
            let ids = fixture.store.takeRevokes(now: fixture.clock.now)
            if ids.isEmpty { break }
            proposed += ids
            for id in ids { _ = try fixture.store.revoke(id: id) }
        }
        #expect(!proposed.contains(7) && proposed.count == 19)
        #expect(fixture.renew(7) == .renewed(ttl: 2, hasCheckpoint: false))
        fixture.store.checkInvariants()
    }

    // MARK: Promotion

    @Test func promotionSpreadsPileUps() throws {
        let fixture = LeaseFixture()
        for id in 1...3000 as ClosedRange<Int64> { _ = try fixture.store.grant(id: id, ttl: 60) }
        for id in 3001...3100 as ClosedRange<Int64> { _ = try fixture.store.grant(id: id, ttl: 30) }
        fixture.store.promote(extend: 1_000_000_000)
        fixture.store.checkInvariants()
        #expect((3001...3100).allSatisfy { fixture.remaining($0) == 31 }, "those that are few in their second stay")
        fixture.clock.advance(seconds: 60.999)
        var expired: [Int] = []
        var seconds = 0
        while fixture.store.count > 0, seconds < 20 {
            var count = 0
            for _ in 0..<2 {
                fixture.store.collectExpired(now: fixture.clock.now)
                while true {
                    let ids = fixture.store.takeRevokes(now: fixture.clock.now)
                    if ids.isEmpty { break }
                    count += ids.count
                    for id in ids { _ = try fixture.store.revoke(id: id) }
                }
                fixture.clock.advance(seconds: 0.5)
            }
            expired.append(count)
            seconds += 1
        }
        #expect(expired[0] <= 850 && expired.dropFirst().allSatisfy { $0 <= 750 }, "\(expired)")
        #expect(expired.reduce(0, +) == 3100 && seconds <= 6)
    }

    @Test(arguments: [UInt64(1), 2, 3]) func spreadingKeepsItsPromises(_ seed: UInt64) {
        var random = SeededRandom(seed: testSeed(seed))
        var starts = (0..<5000).map { slot in
            DeadlineHeap.Entry(deadline: UInt64.random(in: 0..<5_000_000_000, using: &random), slot: UInt32(slot))
        }
        starts.sort { $0.deadline < $1.deadline }
        let before = starts
        LeaseStore.spread(&starts)
        for (old, new) in zip(before, starts) { #expect(old.slot == new.slot && new.deadline >= old.deadline, "never early") }
        for index in 1..<starts.count { #expect(starts[index].deadline >= starts[index - 1].deadline) }
        let width = LeaseLimits.spreadExpiriesPerSecond
        for index in width..<starts.count { #expect(starts[index].deadline - starts[index - width].deadline >= 1_000_000_000) }
    }

    @Test func aRenewalAfterPromotionCountsFromNow() throws {
        let fixture = LeaseFixture()
        _ = try fixture.store.grant(id: 1, ttl: 5)
        fixture.store.promote(extend: 100_000_000_000)
        #expect(fixture.remaining(1) == 105)
        #expect(fixture.renew(1) == .renewed(ttl: 5, hasCheckpoint: false))
        fixture.store.checkInvariants()
        #expect(fixture.remaining(1) == 5)
        fixture.clock.advance(seconds: 5)
        #expect(fixture.pass() == [1])
    }

    // MARK: Messages

    @Test func messages() throws {
        let sink = ByteSink()
        LeaseCheckpointRequest(checkpoints: [LeaseCheckpoint(id: 1, remainingTTL: 2), LeaseCheckpoint(id: 3, remainingTTL: 0)]).encode(to: sink)
        sink.always(77, 1)
        #expect(try LeaseCheckpointRequest(decoding: sink.bytes).checkpoints.map(\.id) == [1, 3])
        sink.clear()
        LeaseGrantRequest(ttl: 15, id: 0).encode(to: sink)
        #expect(sink.array() == [8, 15])
        LeaseGrantRequest(ttl: 0, id: -1).encode(to: sink)
        #expect(try LeaseGrantRequest(decoding: sink.bytes) == LeaseGrantRequest(ttl: 15, id: -1))
        sink.clear()
        sink.always(1, [1, 2, 3].withUnsafeBytes { $0 })
        #expect(throws: ProtobufError.unexpectedWireType) { try LeaseRevokeRequest(decoding: sink.bytes) }
        #expect(throws: ProtobufError.unexpectedWireType) { try LeaseKeepAliveRequest(decoding: sink.bytes) }
        sink.clear()
        LeaseTimeToLiveRequest(id: 5, wantsKeys: true).encode(to: sink)
        #expect(try LeaseTimeToLiveRequest(decoding: sink.bytes) == LeaseTimeToLiveRequest(id: 5, wantsKeys: true))
        let inner = sink.array()
        sink.clear()
        inner.withUnsafeBytes { LeaseInternalMessage.wrap($0, to: sink) }
        #expect(try [UInt8](LeaseInternalMessage.unwrap(sink.bytes)) == inner)
        sink.clear()
        sink.leaseStatus(id: 5)
        sink.leaseStatus(id: 300)
        #expect(sink.array() == [18, 2, 8, 5, 18, 3, 8, 0xac, 2])
    }
}
