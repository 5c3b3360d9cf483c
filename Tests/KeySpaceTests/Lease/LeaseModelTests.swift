// Leases under random operations against dictionaries, and with very many of them.

import Testing
import Wire

@testable import KeySpace

/// The naive truth.
private struct LeaseModel {
    struct Entry {
        var ttl: Int64
        var remaining: Int64 = 0
        var keys: Set<[UInt8]> = []
        /// Must not be proposed for revocation before.
        var earliest: UInt64 = .max
        /// Is nothing but late after this.
        var isTaken = false
    }

    var leases: [Int64: Entry] = [:]
    var isPrimary = false
}

@Suite struct LeaseModelTests {
    @Test(arguments: [UInt64(21), 22, 23]) func randomOperations(_ seed: UInt64) throws {
        for round in 0..<UInt64(soakFactor) {
            try run(seed: testSeed(seed + 1000 * round))
        }
    }

    private func run(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let fixture = LeaseFixture()
        let store = fixture.store
        var model = LeaseModel()
        var owners: [[UInt8]: Int64] = [:]
        var inFlight: Set<Int64> = []
        func int(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }
        func id() -> Int64 { Int64(int(1...60)) }
        func key() -> [UInt8] { Array("key-\(int(0...400))".utf8) }
        func revoke(_ id: Int64) throws {
            let keys = try store.revoke(id: id)
            let entry = model.leases.removeValue(forKey: id)
            #expect(keys == entry?.keys.sorted { $0.lexicographicallyPrecedes($1) })
            for key in keys { owners[key] = nil }
            inFlight.remove(id)
        }
        for step in 0..<6000 {
            let now = fixture.clock.now
            switch int(0...99) {
            case 0..<10:
                let id = id()
                let ttl = Int64(int(0...20))
                if model.leases[id] != nil {
                    #expect(throws: CallError.leaseExists) { try store.grant(id: id, ttl: ttl) }
                } else {
                    #expect(try store.grant(id: id, ttl: ttl) == max(ttl, 2))
                    model.leases[id] = .init(ttl: max(ttl, 2), earliest: model.isPrimary ? now + UInt64(max(ttl, 2)) * 1_000_000_000 : .max)
                }
            case 10..<14:
                let id = id()
                if model.leases[id] != nil { try revoke(id) } else { #expect(throws: CallError.leaseNotFound) { try store.revoke(id: id) } }
            case 14..<50:
                // A put with or without a lease, or a delete, as apply does it.
                let key = key()
                let lease = int(0...3) == 0 ? 0 : model.leases.keys.sorted().randomElement(using: &random) ?? 0
                let old = owners[key] ?? 0
                guard old != lease else { break }
                if old != 0 {
                    key.withUnsafeBytes { store.detach(key: $0, from: old) }
                    model.leases[old]!.keys.remove(key)
                    owners[key] = nil
                }
                if lease != 0 {
                    key.withUnsafeBytes { store.attach(key: $0, to: lease) }
                    model.leases[lease]!.keys.insert(key)
                    owners[key] = lease
                }
            case 50..<70:
                let id = id()
                switch store.renew(id: id, now: now) {
                case .notPrimary: #expect(!model.isPrimary)
                case .notFound: #expect(model.isPrimary && model.leases[id] == nil)
                case .expiring: #expect(model.isPrimary && model.leases[id]!.earliest <= now)
                case .renewed(let ttl, let hasCheckpoint):
                    #expect(model.isPrimary && model.leases[id]!.ttl == ttl && !model.leases[id]!.isTaken)
                    #expect(hasCheckpoint == (model.leases[id]!.remaining > 0))
                    #expect(model.leases[id]!.earliest > now)
                    model.leases[id]!.earliest = now + UInt64(ttl) * 1_000_000_000
                }
            case 70..<85:
                fixture.clock.advance(seconds: Double(int(0...1500)) / 1000)
                let now = fixture.clock.now
                store.collectExpired(now: now)
                for id in store.takeRevokes(now: now) {
                    #expect(model.isPrimary && model.leases[id]!.earliest <= now, "lease \(id) expired early")
                    model.leases[id]!.isTaken = true
                    inFlight.insert(id)
                }
            case 85..<92:
                guard let id = inFlight.sorted().randomElement(using: &random) else { break }
                if int(0...4) == 0 { store.revokeFailed(id: id, now: now) } else { try revoke(id) }
            case 92..<94:
                let id = id()
                let remaining = Int64(int(0...10))
                #expect(store.checkpoint(id: id, remainingTTL: remaining) == (model.leases[id] != nil))
                model.leases[id]?.remaining = remaining
            case 94:
                store.promote(extend: 1_000_000_000)
                model.isPrimary = true
                inFlight = []
                for (id, entry) in model.leases {
                    model.leases[id]!.earliest = now + UInt64(entry.remaining > 0 ? entry.remaining : entry.ttl) * 1_000_000_000 + 1_000_000_000
                    model.leases[id]!.isTaken = false
                }
            case 95:
                guard int(0...2) == 0 else { break }
                store.demote()
                model.isPrimary = false
                inFlight = []
                for id in model.leases.keys {
                    model.leases[id]!.earliest = .max
                    model.leases[id]!.isTaken = false
                }
            default:
                let id = id()
                let status = store.timeToLive(id: id, wantsKeys: true, now: now)
                #expect((status == nil) == (model.leases[id] == nil))
                if let status, let entry = model.leases[id] {
                    #expect(status.granted == entry.ttl && Set(status.keys) == entry.keys)
                    #expect(status.remaining == (model.isPrimary ? (Int64(entry.earliest) - Int64(now)) / 1_000_000_000 : entry.ttl))
                }
            }
            if step % 32 == 0 {
                store.checkInvariants()
                #expect(store.list().sorted() == model.leases.keys.sorted())
            }
        }
        // Left alone, everything expires.
        store.promote(extend: 0)
        for _ in 0..<4 {
            fixture.clock.advance(seconds: 30)
            store.collectExpired(now: fixture.clock.now)
            while true {
                let ids = store.takeRevokes(now: fixture.clock.now)
                if ids.isEmpty { break }
                for id in ids { try revoke(id) }
            }
        }
        #expect(store.count == 0 && model.leases.isEmpty && owners.isEmpty)
        store.checkInvariants()
    }

    @Test(arguments: [UInt64(31), 32]) func keySets(_ seed: UInt64) {
        var random = SeededRandom(seed: testSeed(seed))
        var keys = LeaseKeys()
        var model: Set<[UInt8]> = []
        for step in 0..<6000 {
            // Grow, shrink, grow a little, vanish.
            let phase = step / 1500
            let key = Array("k\(Int.random(in: 0..<[600, 600, 20, 20][phase], using: &random))".utf8)
            let inserts = Int.random(in: 0..<10, using: &random) < [9, 2, 5, 1][phase]
            key.withUnsafeBytes { bytes in
                #expect(keys.contains(bytes) == model.contains(key))
                if inserts {
                    #expect(keys.insert(bytes) == model.insert(key).inserted)
                } else {
                    #expect(keys.remove(bytes) == (model.remove(key) != nil))
                }
            }
            if step % 20 == 0 {
                keys.checkInvariants()
                #expect(keys.sorted() == model.sorted { $0.lexicographicallyPrecedes($1) })
            }
        }
        for key in model { key.withUnsafeBytes { _ = keys.remove($0) } }
        keys.checkInvariants()
        #expect(keys.count == 0 && keys.memory == 0)
    }

    @Test(arguments: [UInt64(41), 42]) func deadlineHeap(_ seed: UInt64) {
        var random = SeededRandom(seed: testSeed(seed))
        var heap = DeadlineHeap()
        var model: [UInt32: UInt64] = [:]
        for step in 0..<5000 {
            let slot = UInt32.random(in: 0..<200, using: &random)
            switch Int.random(in: 0..<4, using: &random) {
            case 0, 1:
                let deadline = UInt64.random(in: 0..<1000, using: &random)
                heap.set(slot, deadline: deadline)
                model[slot] = deadline
            case 2:
                heap.remove(slot)
                model[slot] = nil
            default:
                if let first = heap.first {
                    heap.remove(first.slot)
                    #expect(model.removeValue(forKey: first.slot) == first.deadline)
                }
            }
            #expect(heap.first?.deadline == model.values.min() && heap.count == model.count)
            #expect(heap.deadline(of: slot) == model[slot])
            if step % 50 == 0 { heap.checkInvariants() }
        }
    }

    @Test func aHundredThousandLeases() throws {
        let fixture = LeaseFixture()
        let store = fixture.store
        store.promote(extend: 0)
        let count: Int64 = 100_000
        for id in 1...count {
            _ = try store.grant(id: id, ttl: 60 + id % 60)
            fixture.attach("/registry/events/\(id)", id)
        }
        // One lease with many keys.
        for number in 0..<5000 { fixture.attach("/registry/many/\(number)", 1) }
        for number in 0..<4000 { fixture.detach("/registry/many/\(number)", 1) }
        #expect(store.keys(of: 1)?.count == 1001)
        fixture.clock.advance(seconds: 50)
        for id in 1...count where id % 2 == 0 { #expect(fixture.renew(id) == .renewed(ttl: 60 + id % 60, hasCheckpoint: false)) }
        // 120 seconds in: the odd ones are over (some thousands a pass), the even ones are not, and are looked at once.
        fixture.clock.advance(seconds: 59.5)
        var taken: [Int64] = []
        for _ in 0..<5 {
            store.collectExpired(now: fixture.clock.now)
            while true {
                let ids = store.takeRevokes(now: fixture.clock.now)
                if ids.isEmpty { break }
                taken += ids
                for id in ids { _ = try store.revoke(id: id) }
            }
        }
        #expect(taken.count == 5 * LeaseLimits.expiredPerPass && taken.allSatisfy { $0 % 2 == 1 })
        store.checkInvariants()
        store.demote()
        store.promote(extend: 0)
        store.checkInvariants()
        #expect(store.list().count == Int(count) - taken.count)
    }
}
