// Looking for bit rot: whole logs pass, damage is found where it is, and nothing damaged is copied.

import Storage
import StorageSimulation
import Testing
import Wire

@Suite struct VerificationTests {
    @Test func damageIsFoundWhereItIs() throws {
        for seed in 1...UInt64(6 * soak) {
            let history = MiniHistory(seed: seed, entries: 150)
            let system = SimulatedFileSystem(seed: seed)
            var (written, durable) = (0, 0)
            let store = try MiniStore(system)
            try history.run(store, written: &written, durable: &durable)
            try store.log.verifyAll()
            let sealed = store.log.segmentStatistics.filter { $0.isSealed && $0.written > 100 }
            guard let victim = sealed.randomElement() else { continue }
            // Passes over everything, segment by segment.
            var last: UInt32 = 0
            var seen: [UInt32] = []
            while var verification = store.log.beginVerification(after: last) {
                last = verification.segmentID
                seen.append(last)
                while try store.log.step(&verification, maxBytes: 100).hasMore {}
            }
            #expect(seen == sealed.map(\.id).sorted() || seen.contains(victim.id))
            let name = (victim.kind == .log ? "log-" : "gc-") + hexadecimal(victim.id) + ".seg"
            var random = SplitMix64(seed: seed)
            try system.corrupt("/store/" + name, at: 40 + random.below(Int(victim.written) - 40), xor: UInt8(1 + random.below(255)))
            var verification = try #require(store.log.beginVerification(after: victim.id - 1))
            #expect(verification.segmentID == victim.id)
            let error = #expect(throws: StorageError.self) {
                while try store.log.step(&verification, maxBytes: 100).hasMore {}
            }
            #expect(error?.isCorrupt == true, "seed \(seed)")
            #expect(throws: StorageError.self) { try store.log.verifyAll() }
        }
    }

    private func hexadecimal(_ id: UInt32) -> String {
        let digits = String(id, radix: 16)
        return String(repeating: "0", count: 8 - digits.count) + digits
    }
}
