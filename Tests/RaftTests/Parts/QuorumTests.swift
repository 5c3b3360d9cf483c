// Majorities against a model that sorts and counts.

import Testing
import Wire

@testable import Raft

struct QuorumTests {
    private func naiveCommit(_ voters: [MemberID], _ match: [MemberID: LogIndex]) -> LogIndex {
        if voters.isEmpty { return .max }
        // The largest index that more than half have.
        let indexes = Set(voters.map { match[$0] ?? 0 })
        return indexes.filter { index in voters.count { match[$0] ?? 0 >= index } * 2 > voters.count }.max() ?? 0
    }

    private func naiveVote(_ voters: [MemberID], _ votes: [MemberID: Bool]) -> VoteResult {
        if voters.isEmpty { return .won }
        let granted = voters.count { votes[$0] == true }
        let refused = voters.count { votes[$0] == false }
        if granted * 2 > voters.count { return .won }
        return (voters.count - refused) * 2 > voters.count ? .pending : .lost
    }

    @Test func commitIndexAndVotesAgreeWithTheModel() {
        for seed in 0..<3000 {
            var random = SeededGenerator(seed: UInt64(seed))
            func some(_ most: Int) -> [MemberID] {
                Array(Set((0..<random.below(most + 1)).map { _ in MemberID(UInt64(1 + random.below(9))) })).sorted()
            }
            let incoming = some(7)
            let outgoing = random.chance(50) ? some(7) : []
            var match: [MemberID: LogIndex] = [:]
            var votes: [MemberID: Bool] = [:]
            for id in Set(incoming + outgoing) {
                if random.chance(80) { match[id] = LogIndex(random.below(20)) }
                if random.chance(70) { votes[id] = random.chance(60) }
            }
            let quorum = JointQuorum(incoming: MemberSet(incoming), outgoing: MemberSet(outgoing))
            let expected = min(naiveCommit(incoming, match), naiveCommit(outgoing, match))
            #expect(quorum.committedIndex { match[$0] ?? 0 } == expected, "seed \(seed)")
            let halves = [naiveVote(incoming, votes), naiveVote(outgoing, votes)]
            let vote: VoteResult =
                halves.contains(.lost) ? .lost : halves.allSatisfy { $0 == .won } ? .won : .pending
            #expect(quorum.voteResult { votes[$0] } == vote, "seed \(seed)")
        }
    }

    @Test func setsStaySorted() {
        var random = SeededGenerator(seed: 1)
        var set = MemberSet()
        var model: Set<UInt64> = []
        for _ in 0..<500 {
            let value = UInt64(random.below(20))
            if random.chance(60) {
                set.insert(MemberID(value))
                model.insert(value)
            } else {
                set.remove(MemberID(value))
                model.remove(value)
            }
            #expect(set.ids.map(\.rawValue) == model.sorted())
        }
    }
}
