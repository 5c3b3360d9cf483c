// The log against a plain array, and the life of its entries.

import Testing
import Wire

@testable import Raft

struct RaftLogTests {
    private func log(_ terms: [Term] = []) throws -> RaftLog {
        try RaftLog(
            restoring: RestoredState(
                hardState: HardState(term: terms.last ?? 0), configuration: ConfigurationState(voters: [m1]),
                entries: terms.enumerated().map { Entry(term: $1, index: LogIndex($0 + 1)) }))
    }

    @Test func itAgreesWithAnArray() throws {
        for seed in 0..<150 {
            var random = SeededGenerator(seed: UInt64(seed))
            var log = try log()
            var model: [Entry] = []
            var term: Term = 1
            var compacted: LogIndex = 0
            for step in 0..<300 {
                switch random.below(8) {
                case 0...2:
                    let entry = Entry(term: term, index: LogIndex(model.count + 1), data: [UInt8(step & 255)])
                    log.append(term: term, data: entry.data)
                    model.append(entry)
                case 3:
                    // Another leader replaces a part that is not committed.
                    term += 1
                    let keep = Int(log.committed) + random.below(model.count - Int(log.committed) + 1)
                    let fresh = (0..<random.below(4)).map {
                        Entry(term: term, index: LogIndex(keep + $0 + 1), data: [UInt8(step & 255), 1])
                    }
                    let agreed = log.append(fresh, after: LogIndex(keep), term: keep == 0 ? 0 : model[keep - 1].term)
                    #expect(agreed == LogIndex(keep + fresh.count), "seed \(seed)")
                    if !fresh.isEmpty { model = Array(model.prefix(keep)) + fresh }
                case 4:
                    let range = log.offer()
                    #expect(log.withEntries(range) { Array($0) } == Array(model.suffix(range.count)), "seed \(seed)")
                    if random.chance(80) { log.didPersist(through: log.offered, epoch: log.epoch) }
                case 5:
                    log.commit(through: LogIndex(random.below(model.count + 1)))
                case 6:
                    let (range, bytes) = log.takeEntriesToApply(maxBytes: 1 + random.below(200))
                    let expected = range.map { model[Int($0) - 1] }
                    #expect(log.withEntries(range) { Array($0) } == expected, "seed \(seed)")
                    #expect(bytes == expected.reduce(0) { $0 + $1.data.count }, "seed \(seed)")
                    if log.applying > log.applied {
                        log.didApply(through: log.applied + 1 + LogIndex(random.below(Int(log.applying - log.applied))))
                    }
                default:
                    guard log.applied > compacted, let at = log.term(at: log.applied) else { break }
                    log.record(Snapshot(metadata: SnapshotMetadata(index: log.applied, term: at)))
                    compacted += LogIndex(random.below(Int(log.applied - compacted) + 1))
                    log.compact(through: compacted)
                }
                log.checkInvariants()
                #expect(log.lastIndex == LogIndex(model.count), "seed \(seed)")
                let probe = LogIndex(random.below(model.count + 3))
                let expected =
                    probe < compacted || probe > model.count ? nil : probe == 0 ? 0 : model[Int(probe) - 1].term
                #expect(log.term(at: probe) == expected, "seed \(seed)")
            }
        }
    }

    @Test func theHintAgreesWithALinearSearch() throws {
        for seed in 0..<300 {
            var random = SeededGenerator(seed: UInt64(seed))
            var term: Term = 1
            let terms = (0..<random.below(40)).map { _ -> Term in
                if random.chance(30) { term += Term(random.below(3)) }
                return term
            }
            let log = try log(terms)
            for _ in 0..<20 {
                let index = LogIndex(random.below(terms.count + 1))
                let limit = Term(random.below(Int(term) + 2))
                var expected = index
                while expected > 0, terms[Int(expected) - 1] > limit { expected -= 1 }
                let found = log.lastEntry(notAfter: index, notAboveTerm: limit)
                #expect(found.index == expected, "seed \(seed)")
                #expect(found.term == (expected == 0 ? 0 : terms[Int(expected) - 1]), "seed \(seed)")
            }
        }
    }

    @Test func aLateAcknowledgementOfReplacedEntriesCountsForNothing() throws {
        var log = try log()
        log.append(term: 1, data: [1])
        _ = log.offer()
        let first = (log.offered, log.epoch)
        // Replaced, and replaced back by the very same entry: its last write has still to reach the disk.
        #expect(log.append([Entry(term: 2, index: 1)], after: 0, term: 0) == 1)
        _ = log.offer()
        let second = (log.offered, log.epoch)
        #expect(log.append([Entry(term: 1, index: 1, data: [1])], after: 0, term: 0) == 1)
        _ = log.offer()
        let third = (log.offered, log.epoch)
        log.didPersist(through: first.0, epoch: first.1)
        #expect(log.stable == 0)
        log.didPersist(through: second.0, epoch: second.1)
        #expect(log.stable == 0)
        log.didPersist(through: third.0, epoch: third.1)
        #expect(log.stable == 1)
    }

    @Test func compactionFreesMemoryAndKeepsPositions() throws {
        var log = try log()
        for _ in 0..<10_000 {
            log.append(term: 1, data: [1, 2, 3])
            _ = log.offer()
            log.didPersist(through: log.offered, epoch: log.epoch)
            log.commit(through: log.lastIndex)
            _ = log.takeEntriesToApply(maxBytes: .max)
            log.didApply(through: log.lastIndex)
            if log.lastIndex % 100 == 0 {
                log.record(Snapshot(metadata: SnapshotMetadata(index: log.lastIndex, term: 1)))
                log.compact(through: log.lastIndex - 50)
                log.checkInvariants()
            }
        }
        #expect(log.firstIndex == 9951 && log.lastIndex == 10_000)
        #expect(log.entries(from: 9960, maxBytes: .max).entries.count == 41)
        #expect(log.entries(from: 9960, maxBytes: 1).entries.count == 1)
    }
}
