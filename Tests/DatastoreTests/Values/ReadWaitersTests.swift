// Reads that wait for a read index: each is handed out exactly once.

import StorageSimulation
import Synchronization
import Testing
import Wire

@testable import Datastore

@Suite struct ReadWaitersTests {
    private func probe(_ start: UInt64) -> ReadWaiter { .probe(start: start) { _ in } }

    @Test func readsWaitForTheQuorumAndForApply() {
        var waiters = ReadWaiters()
        let none = waiters.add([])
        #expect(none == nil)
        let first = waiters.add([probe(1), probe(2)])!
        let second = waiters.add([probe(3)])!
        #expect(first != second)
        let found1 = waiters.takeReady(applied: 100)
        #expect(found1.isEmpty)
        waiters.confirm(ReadWaiters.encode(first), index: 7)
        let found2 = waiters.takeReady(applied: 6)
        #expect(found2.isEmpty)
        let found3 = waiters.takeReady(applied: 7)
        #expect(found3.map(\.start) == [1, 2])
        let found4 = waiters.takeReady(applied: 7)
        #expect(found4.isEmpty)
        waiters.confirm(ReadWaiters.encode(second), index: 7)
        let found5 = waiters.takeReady(applied: 9)
        #expect(found5.map(\.start) == [3])
    }

    @Test func roundsSayWhenTheyWereAskedAndAnswered() {
        var waiters = ReadWaiters()
        let first = waiters.add([probe(5), probe(9)])!
        let second = waiters.add([probe(11)])!
        waiters.confirm(ReadWaiters.encode(first), index: 7, at: 30)
        waiters.confirm(ReadWaiters.encode(second), index: 9, at: 31)
        #expect(waiters.takeReady(applied: 7).count == 2)
        #expect(waiters.served.map { [$0.index, $0.asked, $0.confirmed] } == [[7, 5, 30]])
        #expect(waiters.takeReady(applied: 9).count == 1)
        #expect(waiters.served.map { [$0.index, $0.asked, $0.confirmed] } == [[9, 11, 31]])
    }

    @Test func foreignContextsAreNothing() {
        var waiters = ReadWaiters()
        let context = waiters.add([probe(1)])!
        for foreign in [[], [1], ReadWaiters.encode(context + 1), ReadWaiters.encode(.max), Array(repeating: 0, count: 9)] as [[UInt8]] {
            waiters.confirm(foreign, index: 1)
        }
        let found6 = waiters.takeReady(applied: .max)
        #expect(found6.isEmpty)
        #expect(ReadWaiters.encode(0x0102_0304_0506_0708) == [1, 2, 3, 4, 5, 6, 7, 8])
    }

    @Test func retriesAreForThoseThatStillWait() {
        var waiters = ReadWaiters()
        let first = waiters.add([probe(1)])!
        let second = waiters.add([probe(20)])!
        waiters.retryLater(first)
        waiters.retryLater(second)
        let found7 = waiters.expire(startedBefore: 10)
        #expect(found7.map(\.start) == [1])
        let found8 = waiters.takeRetries()
        #expect(found8 == [second])
        let found9 = waiters.takeRetries()
        #expect(found9.isEmpty)
    }

    /// Whatever happens in whatever order, every read comes out exactly once, and none before its index is applied.
    @Test(arguments: 1...5) func everyReadComesOutOnce(seed: Int) {
        print("seed \(seed)")
        var random = SplitMix64(seed: UInt64(seed))
        var waiters = ReadWaiters()
        var waiting: [UInt64: (context: UInt64, index: UInt64?)] = [:]
        var next: UInt64 = 1
        func take(_ found: [ReadWaiter], _ isExpected: ((context: UInt64, index: UInt64?)) -> Bool) {
            for waiter in found {
                guard let known = waiting.removeValue(forKey: waiter.start) else {
                    Issue.record("a read came out that does not wait")
                    continue
                }
                #expect(isExpected(known))
            }
        }
        for _ in 0..<2000 {
            switch Int.random(in: 0..<8, using: &random) {
            case 0, 1, 2:
                let starts = Array(next..<next + UInt64.random(in: 1..<4, using: &random))
                next = starts.last! + 1
                let context = waiters.add(starts.map(probe))!
                for start in starts { waiting[start] = (context, nil) }
            case 3, 4:
                guard let context = waiting.values.map(\.context).sorted().randomElement(using: &random) else { continue }
                let index = UInt64.random(in: 0..<20, using: &random)
                waiters.confirm(ReadWaiters.encode(context), index: index)
                for (start, known) in waiting where known.context == context { waiting[start] = (known.context, index) }
            case 5, 6:
                let applied = UInt64.random(in: 0..<20, using: &random)
                take(waiters.takeReady(applied: applied)) { $0.index.map { $0 <= applied } ?? false }
                #expect(!waiting.values.contains { $0.index.map { $0 <= applied } ?? false })
            default:
                guard Int.random(in: 0..<4, using: &random) == 0 else { continue }
                let limit = next - min(next, UInt64.random(in: 0..<30, using: &random))
                let before = waiting
                take(waiters.expire(startedBefore: limit)) { _ in true }
                #expect(before.keys.filter { $0 >= limit }.sorted() == waiting.keys.sorted())
            }
        }
        take(waiters.failAll()) { _ in true }
        #expect(waiting.isEmpty)
        let found10 = waiters.failAll()
        #expect(found10.isEmpty)
    }
}
