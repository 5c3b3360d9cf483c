// §6: changing the members.

import Testing
import Wire

@testable import Raft

struct MembershipTests {
    private func configuration(_ voters: [UInt64], learners: [UInt64] = []) throws -> MemberConfiguration {
        try MemberConfiguration(
            ConfigurationState(voters: voters.map { MemberID($0) }, learners: learners.map { MemberID($0) }))
    }

    private func change(_ singles: [(ConfigurationChangeKind, UInt64)], _ transition: ConfigurationTransition = .auto) -> ConfigurationChangeV2 {
        ConfigurationChangeV2(
            transition: transition, changes: singles.map { .init(kind: $0.0, member: MemberID($0.1)) })
    }

    @Test func oneVoterMayChangeWithoutAJointConfiguration() throws {
        let three = try configuration([1, 2, 3])
        #expect(try three.applying(change([(.addVoter, 4)])).logText == "voters=(1 2 3 4)")
        #expect(try three.applying(change([(.remove, 3)])).logText == "voters=(1 2)")
        #expect(try three.applying(change([(.addLearner, 4)])).logText == "voters=(1 2 3) learners=(4)")
        #expect(try three.applying(change([(.addLearner, 3)])).logText == "voters=(1 2) learners=(3)")
        #expect(try three.applying(change([(.update, 3)])) == three)
        #expect(try three.applying(change([(.addVoter, 0)])) == three)
        #expect(try three.applying(change([(.remove, 9)])) == three)
        #expect(throws: RaftError.self) { try configuration([1]).applying(change([(.remove, 1)])) }
    }

    @Test func severalChangesGoThroughAJointConfiguration() throws {
        let three = try configuration([1, 2, 3], learners: [7])
        let joint = try three.applying(change([(.addVoter, 4), (.addVoter, 7), (.remove, 1), (.addLearner, 2)]))
        #expect(joint.logText == "voters=(3 4 7)&&(1 2 3) learners_next=(2) autoleave")
        #expect(joint.members.ids.map(\.rawValue) == [1, 2, 3, 4, 7])
        #expect(throws: RaftError.self) { try joint.applying(change([(.addVoter, 5)])) }
        #expect(throws: RaftError.self) { try joint.applying(change([(.addVoter, 5), (.remove, 3)])) }
        #expect(try joint.applying(change([])).logText == "voters=(3 4 7) learners=(2)")
        #expect(throws: RaftError.self) { try three.applying(change([])) }
        let explicit = try three.applying(change([(.addVoter, 4)], .jointExplicit))
        #expect(explicit.logText == "voters=(1 2 3 4)&&(1 2 3) learners=(7)")
        #expect(try three.applying(change([(.addVoter, 4)], .jointImplicit)).autoLeave)
    }

    /// Whatever is proposed, an accepted configuration is sound, and its state round-trips.
    @Test func anySequenceOfChangesKeepsTheConfigurationSound() throws {
        for seed in 0..<200 {
            var random = SeededGenerator(seed: UInt64(seed))
            var current = try configuration([1, 2, 3])
            for _ in 0..<60 {
                let kinds: [ConfigurationChangeKind] = [.addVoter, .addLearner, .remove, .update]
                let singles = (0..<random.below(4)).map { _ in (kinds[random.below(4)], UInt64(random.below(6))) }
                let transition = ConfigurationTransition(rawValue: UInt64(random.below(3)))!
                guard let next = try? current.applying(change(singles, transition)) else { continue }
                #expect(next.problem == nil, "seed \(seed)")
                #expect(try MemberConfiguration(next.state) == next, "seed \(seed)")
                // Old and new majorities overlap: two disjoint sets can never both decide.
                #expect(majoritiesOverlap(current.quorum, next.quorum), "seed \(seed): \(current.logText) \(next.logText)")
                current = next
            }
        }
    }

    private func majoritiesOverlap(_ one: JointQuorum, _ other: JointQuorum) -> Bool {
        let everybody = one.voters.union(other.voters).ids
        for subset in 0..<(1 << everybody.count) {
            func isIn(_ id: MemberID) -> Bool { subset & (1 << everybody.firstIndex(of: id)!) != 0 }
            if one.voteResult({ isIn($0) ? true : nil }) == .won, other.voteResult({ isIn($0) ? nil : true }) == .won {
                return false
            }
        }
        return true
    }

    @Test func oneChangeAtATime() throws {
        var node = try ReplicationTests.leader()
        node.work()
        try node.step(Message(kind: .appendResponse, to: m1, from: m2, term: 1, index: 1))
        node.work()
        try node.proposeConfigurationChange(ConfigurationChange(kind: .addVoter, member: MemberID(4)))
        try node.proposeConfigurationChange(ConfigurationChange(kind: .addVoter, member: MemberID(5)))
        #expect(node.entries(2..<4).map(\.kind) == [.configurationChange, .normal])
        #expect(node.entries(3..<4)[0].data.isEmpty)
    }

    @Test func aNewLeaderWaitsForWhatItsPredecessorProposed() throws {
        var node = try makeNode(log: [1])
        try node.becomeLeaderByVotes()
        // Its log may hold a change that is not applied yet.
        try node.proposeConfigurationChange(ConfigurationChange(kind: .addVoter, member: MemberID(4)))
        #expect(node.entries(3..<4).map(\.kind) == [.normal])
    }

    @Test func whatCannotBeDecodedBecomesAnEmptyEntry() throws {
        var node = try ReplicationTests.leader()
        node.work()
        try node.step(
            Message(
                kind: .propose, to: m1, from: m2,
                entries: [Entry(kind: .configurationChange, term: 0, index: 0, data: [0xFF])]))
        #expect(node.entries(2..<3) == [Entry(term: 1, index: 2)])
    }

    @Test func jointElectionsNeedBothMajorities() throws {
        var configuration = RaftConfiguration(id: m1, preVote: false, checkQuorum: false, seed: 1)
        configuration.handsOverOnRemoval = false
        var node = try RaftNode(
            configuration,
            restoring: RestoredState(
                configuration: ConfigurationState(
                    voters: [m1, MemberID(4), MemberID(5)], votersOutgoing: [m1, m2, m3])))
        node.campaign()
        node.work()
        for id in [UInt64(4), 5] { try node.step(Message(kind: .voteResponse, to: m1, from: MemberID(id), term: 1)) }
        #expect(node.role == .candidate)
        try node.step(Message(kind: .voteResponse, to: m1, from: m2, term: 1))
        #expect(node.role == .leader)
    }

    @Test func aLaterChangeInTheLogProvesTheEarlierCommitted() throws {
        // A torn write lost the commit index. Two changes in the log: the second was proposed when the first
        // had been applied.
        let entries = [
            Entry(term: 1, index: 1), Entry(kind: .configurationChange, term: 1, index: 2),
            Entry(term: 1, index: 3), Entry(kind: .configurationChange, term: 1, index: 4),
        ]
        var node = try RaftNode(
            RaftConfiguration(id: m1, preVote: false, checkQuorum: false, seed: 1),
            restoring: RestoredState(
                hardState: HardState(term: 1), configuration: ConfigurationState(voters: [m1, m2, m3]), entries: entries))
        #expect(node.commitIndex == 2)
        // And so it is not campaigned with the configuration before it.
        node.campaign()
        #expect(node.role == .follower)
    }

    @Test func removingTheOtherVoterCommitsWhatItHeldUp() throws {
        var node = try ReplicationTests.leader(2)
        node.work()
        try node.propose([1])
        node.work()
        #expect(node.commitIndex == 0)
        try node.applyConfigurationChange(ConfigurationChange(kind: .remove, member: m2))
        #expect(node.commitIndex == 2)
        #expect(node.status.members.map(\.id) == [m1])
    }
}
