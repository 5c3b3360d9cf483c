// A quorum of one: the same code, without waiting for anybody.

import Testing
import Wire

@testable import Raft

struct SingleVoterTests {
    static func node(electionTicks: Int = 10, preVote: Bool = true) throws -> RaftNode {
        try RaftNode(
            RaftConfiguration(id: MemberID(1), electionTicks: electionTicks, preVote: preVote, seed: 1),
            restoring: RestoredState(configuration: ConfigurationState(voters: [MemberID(1)])))
    }

    @Test func itElectsItselfOnceItsVoteIsDurable() throws {
        var node = try Self.node()
        for _ in 0..<20 where !node.hasReady || node.role == .follower { node.tick() }
        #expect(node.role == .candidate)
        let ready = node.ready()
        #expect(ready.hardState == HardState(term: 1, vote: MemberID(1), commit: 0))
        #expect(ready.mustSync)
        #expect(node.role == .candidate)
        node.didPersist(ready.persistence)
        #expect(node.role == .leader)
        #expect(node.hasReady)
        node.checkInvariants()
    }

    @Test func itsLogLinesAreThoseOfEtcd() throws {
        var node = try Self.node()
        node.campaign()
        let first = node.ready()
        node.didPersist(first.persistence)
        let second = node.ready()
        #expect(
            (first.logLines + second.logLines).map(\.text) == [
                "1 switched to configuration voters=(1)",
                "1 became follower at term 0",
                "newRaft 1 [peers: [1], term: 0, commit: 0, applied: 0, lastindex: 0, lastterm: 0]",
                "1 is starting a new election at term 0",
                "1 became pre-candidate at term 0",
                "1 received MsgPreVoteResp from 1 at term 0",
                "1 has received 1 MsgPreVoteResp votes and 0 vote rejections",
                "1 became candidate at term 1",
                "1 received MsgVoteResp from 1 at term 1",
                "1 has received 1 MsgVoteResp votes and 0 vote rejections",
                "1 became leader at term 1",
                "raft.node: 1 elected leader 1 at term 1",
            ])
    }

    @Test func aClusterIsFounded() throws {
        var node = try RaftNode(
            RaftConfiguration(id: MemberID(0xA), seed: 1), restoring: RestoredState(configuration: ConfigurationState()))
        try node.bootstrap([ConfigurationChange(kind: .addVoter, member: MemberID(0xA), context: [1, 2])])
        // Not before the founding entry is applied.
        node.campaign()
        #expect(node.role == .follower)
        let ready = node.ready()
        #expect(
            ready.logLines.map(\.text) == [
                "a switched to configuration voters=()",
                "a became follower at term 0",
                "newRaft a [peers: [], term: 0, commit: 0, applied: 0, lastindex: 0, lastterm: 0]",
                "a became follower at term 1",
                "a switched to configuration voters=(10)",
                "a cannot campaign at term 1 since there are still pending configuration changes to apply",
            ])
        #expect(ready.hardState == HardState(term: 1, vote: .none, commit: 1) && ready.mustSync)
        #expect(ready.entriesToAppend == 1..<2 && ready.committedEntries.isEmpty)
        node.didPersist(ready.persistence)
        let next = node.ready()
        #expect(next.committedEntries == 1..<2)
        try node.applyConfigurationChange(ConfigurationChangeV2(decoding: node.entries(1..<2)[0]))
        node.didApply(through: 1)
        node.campaign()
        node.didPersist(node.ready().persistence)
        #expect(node.role == .leader && node.term == 2)
        node.checkInvariants()
    }

    /// Campaigns and applies the term's first entry.
    static func leader() throws -> RaftNode {
        var node = try node()
        node.campaign()
        while node.hasReady {
            let ready = node.ready()
            node.didPersist(ready.persistence)
            if !ready.committedEntries.isEmpty { node.didApply(through: ready.committedEntries.upperBound - 1) }
        }
        #expect(node.role == .leader && node.appliedIndex == 1)
        return node
    }

    @Test func aBatchIsCommittedRightAfterItIsDurable() throws {
        var node = try Self.leader()
        for value in 0..<1000 { try node.propose([UInt8(truncatingIfNeeded: value)]) }
        let ready = node.ready()
        #expect(ready.entriesToAppend == 2..<1002)
        #expect(ready.committedEntries.isEmpty)
        #expect(ready.mustSync)
        #expect(node.commitIndex == 1)
        node.didPersist(ready.persistence)
        #expect(node.commitIndex == 1001)
        let next = node.ready()
        #expect(next.committedEntries == 2..<1002)
        #expect(!next.mustSync)
        #expect(next.hardState == HardState(term: 1, vote: MemberID(1), commit: 1001))
        #expect(node.withEntries(next.committedEntries) { $0[999].data } == [UInt8(truncatingIfNeeded: 999)])
        node.didApply(through: 1001)
        #expect(node.status.uncommittedBytes == 0)
        node.checkInvariants()
    }

    @Test func severalWritesMayBeUnderWay() throws {
        var node = try Self.leader()
        try node.propose([1])
        let first = node.ready()
        try node.propose([2])
        let second = node.ready()
        #expect(second.entriesToAppend == 3..<4)
        node.didPersist(first.persistence)
        #expect(node.commitIndex == 2)
        node.didPersist(second.persistence)
        #expect(node.commitIndex == 3)
    }

    @Test func readsAreAnsweredAtOnce() throws {
        var node = try Self.leader()
        #expect(node.immediateReadIndex == 1)
        try node.readIndex(context: [9])
        let ready = node.ready()
        #expect(ready.readStates == [ReadState(index: 1, context: [9])])
        #expect(ready.messages.isEmpty)
    }

    @Test func readsWaitForTheFirstCommitOfTheTerm() throws {
        var node = try Self.node()
        node.campaign()
        node.didPersist(node.ready().persistence)
        #expect(node.role == .leader)
        #expect(node.immediateReadIndex == nil)
        try node.readIndex(context: [9])
        let ready = node.ready()
        #expect(ready.readStates.isEmpty)
        node.didPersist(ready.persistence)
        #expect(node.ready().readStates == [ReadState(index: 1, context: [9])])
    }

    @Test func committedEntriesAreHandedOutInBoundedBatches() throws {
        var configuration = RaftConfiguration(id: MemberID(1), seed: 1)
        configuration.maxApplyingBytes = 3 * (100 + Limits.entryOverheadBytes)
        var node = try RaftNode(
            configuration, restoring: RestoredState(configuration: ConfigurationState(voters: [MemberID(1)])))
        node.campaign()
        while node.hasReady {
            let ready = node.ready()
            node.didPersist(ready.persistence)
            if !ready.committedEntries.isEmpty { node.didApply(through: ready.committedEntries.upperBound - 1) }
        }
        try node.propose((0..<10).map { _ in [UInt8](repeating: 7, count: 100) })
        node.didPersist(node.ready().persistence)
        let first = node.ready()
        #expect(first.committedEntries == 2..<5)
        // Nothing more until something was applied.
        #expect(!node.hasReady)
        node.didApply(through: 3)
        #expect(node.ready().committedEntries == 5..<7)
        node.didApply(through: 6)
        #expect(node.ready().committedEntries == 7..<10)
        node.checkInvariants()
    }

    @Test func theUncommittedLimitDropsProposals() throws {
        var configuration = RaftConfiguration(id: MemberID(1), seed: 1)
        configuration.maxUncommittedBytes = 100
        var node = try RaftNode(
            configuration, restoring: RestoredState(configuration: ConfigurationState(voters: [MemberID(1)])))
        node.campaign()
        node.didPersist(node.ready().persistence)
        // One that is larger than the limit fits alone.
        try node.propose([UInt8](repeating: 0, count: 150))
        #expect(throws: RaftError.proposalDropped(.uncommittedLimit)) { try node.propose([1]) }
        // Empty ones always fit.
        try node.propose([UInt8]())
        node.didPersist(node.ready().persistence)
        _ = node.ready()
        try node.propose([1])
    }

    @Test func itGoesOnAfterARestart() throws {
        let entries = (1...5).map { Entry(term: 1, index: LogIndex($0), data: [UInt8($0)]) }
        var node = try RaftNode(
            RaftConfiguration(id: MemberID(1), seed: 1),
            restoring: RestoredState(
                hardState: HardState(term: 1, vote: MemberID(1), commit: 4),
                configuration: ConfigurationState(voters: [MemberID(1)]), entries: entries, applied: 2))
        let ready = node.ready()
        #expect(ready.committedEntries == 3..<5)
        #expect(ready.entriesToAppend.isEmpty)
        node.didApply(through: 4)
        node.campaign()
        node.didPersist(node.ready().persistence)
        // The old term's last entry is committed only together with the new term's first one.
        #expect(node.commitIndex == 4)
        node.didPersist(node.ready().persistence)
        #expect(node.commitIndex == 6)
        node.checkInvariants()
    }

    @Test func damagedStateIsRefused() {
        let voters = ConfigurationState(voters: [MemberID(1)])
        let configuration = RaftConfiguration(id: MemberID(1), seed: 1)
        func restore(_ state: RestoredState) throws { _ = try RaftNode(configuration, restoring: state) }
        #expect(throws: RaftError.self) {
            try restore(RestoredState(hardState: HardState(term: 1, commit: 5), configuration: voters))
        }
        #expect(throws: RaftError.self) {
            try restore(
                RestoredState(
                    hardState: HardState(term: 1), configuration: voters, entries: [Entry(term: 1, index: 2)]))
        }
        #expect(throws: RaftError.self) {
            try restore(
                RestoredState(
                    hardState: HardState(term: 2), configuration: voters,
                    entries: [Entry(term: 2, index: 1), Entry(term: 1, index: 2)]))
        }
        #expect(throws: RaftError.self) {
            try restore(RestoredState(hardState: HardState(term: 1), configuration: voters, applied: 1))
        }
        #expect(throws: RaftError.self) {
            try restore(
                RestoredState(configuration: ConfigurationState(voters: [MemberID(1)], learners: [MemberID(1)])))
        }
    }

    @Test func aTornWriteMayHaveLostTheHardState() throws {
        // The entries and what was applied of them are there; term and commit index are those before.
        let node = try RaftNode(
            RaftConfiguration(id: MemberID(1), seed: 1),
            restoring: RestoredState(
                hardState: HardState(term: 1, vote: MemberID(1), commit: 0),
                configuration: ConfigurationState(voters: [MemberID(1)]),
                entries: [Entry(term: 1, index: 1), Entry(term: 3, index: 2)], applied: 1))
        #expect(node.term == 3 && node.status.vote == .none && node.commitIndex == 1)
        var writes = node
        #expect(writes.ready().hardState == HardState(term: 3, vote: .none, commit: 1))
    }

    @Test func compactionKeepsWhatCameAfter() throws {
        var node = try Self.leader()
        for round in 0..<50 {
            try node.propose((0..<100).map { _ in [1, 2, 3] })
            node.didPersist(node.ready().persistence)
            let committed = node.ready().committedEntries
            node.didApply(through: committed.upperBound - 1)
            let last = node.appliedIndex
            node.recordSnapshot(Snapshot(metadata: SnapshotMetadata(index: last, term: 1, configuration: node.configurationState)))
            if last > 150 { node.compactLog(through: last - 150) }
            node.checkInvariants()
            #expect(node.entries(last..<last + 1) == [Entry(term: 1, index: last, data: [1, 2, 3])])
            if round > 2 { #expect(node.term(at: last - 151) == nil && node.term(at: last - 150) == 1) }
        }
    }
}
