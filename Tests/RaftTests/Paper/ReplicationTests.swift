// §5.3 and §5.4.2: log replication and the commit rule.

import Testing
import Wire

@testable import Raft

struct ReplicationTests {
    static func leader(_ voters: Int = 3, log: [Term] = [], tune: (inout RaftConfiguration) -> Void = { _ in }) throws -> RaftNode {
        var node = try makeNode(voters: voters, log: log, tune: tune)
        try node.becomeLeaderByVotes()
        return node
    }

    @Test func aLeaderBeginsItsTermWithAnEmptyEntry() throws {
        var node = try Self.leader(log: [1, 1])
        let sent = node.work()
        #expect(node.terms == [1, 1, 2])
        #expect(sent.count == 2)
        #expect(sent.allSatisfy { $0.kind == .append && $0.index == 2 && $0.logTerm == 1 && $0.entries.count == 1 })
    }

    /// Members, answers, whether the entry is committed.
    @Test(arguments: [(1, 0, true), (3, 0, false), (3, 1, true), (3, 2, true), (4, 1, false), (4, 2, true), (5, 1, false), (5, 2, true)])
    func aMajorityCommits(members: Int, answers: Int, committed: Bool) throws {
        var node = try Self.leader(members)
        try node.propose([1])
        node.work()
        for number in 0..<answers {
            try node.step(Message(kind: .appendResponse, to: m1, from: MemberID(UInt64(number + 2)), term: 1, index: 2))
        }
        #expect(node.commitIndex == (committed ? 2 : 0))
    }

    @Test func theEntriesBeforeAreCommittedToo() throws {
        var node = try Self.leader(log: [1, 1])
        try node.propose([7])
        node.work()
        try node.step(Message(kind: .appendResponse, to: m1, from: m2, term: 2, index: 4))
        var applied: [Term] = []
        let ready = node.ready()
        applied = node.entries(ready.committedEntries).map(\.term)
        #expect(applied == [1, 1, 2, 2])
    }

    /// §5.4.2: the log of the leader before its term 3, the index that a follower acknowledges, the commit after it.
    @Test(arguments: [(1, 0), (2, 0), (3, 3)] as [(LogIndex, LogIndex)])
    func onlyTheOwnTermIsCommittedByCounting(acknowledged: LogIndex, commit: LogIndex) throws {
        var node = try Self.leader(log: [1, 2])
        node.work()
        try node.step(Message(kind: .appendResponse, to: m1, from: m2, term: 3, index: acknowledged))
        #expect(node.commitIndex == commit)
    }

    /// The follower's log, the message's previous term and index, whether it is accepted, the hint otherwise.
    @Test(arguments: [
        ([1, 2], 0, 0, true, 0), ([1, 2], 1, 1, true, 0), ([1, 2], 2, 2, true, 0),
        ([1, 2], 1, 2, false, 1), ([1, 2], 3, 3, false, 2), ([1, 2, 2, 2, 5], 4, 7, false, 4), ([], 3, 9, false, 0),
    ] as [([Term], Term, LogIndex, Bool, LogIndex)])
    func followersCheckWhatComesBefore(
        log: [Term], previousTerm: Term, previous: LogIndex, accepted: Bool, hint: LogIndex
    ) throws {
        var node = try makeNode(log: log)
        try node.step(Message(kind: .append, to: m1, from: m2, term: 9, logTerm: previousTerm, index: previous))
        let answer = node.work()[0]
        #expect(answer.kind == .appendResponse && answer.reject == !accepted)
        #expect(answer.index == previous)
        if !accepted { #expect(answer.rejectHint == hint) }
    }

    /// The message's previous entry and its entries' terms, and the log that must result from [1, 2].
    @Test(arguments: [
        (2, 2, [3], [1, 2, 3]), (1, 1, [3, 4], [1, 3, 4]), (0, 0, [1], [1, 2]), (0, 0, [3], [3]),
        (0, 0, [1, 2, 2], [1, 2, 2]), (1, 1, [2], [1, 2]), (2, 2, [], [1, 2]),
    ] as [(Term, LogIndex, [Term], [Term])])
    func followersReplaceOnlyConflicts(previousTerm: Term, previous: LogIndex, sent: [Term], result: [Term]) throws {
        var node = try makeNode(log: [1, 2])
        let entries = sent.enumerated().map { Entry(term: $1, index: previous + LogIndex($0) + 1) }
        try node.step(
            Message(kind: .append, to: m1, from: m2, term: 9, logTerm: previousTerm, index: previous, entries: entries))
        #expect(node.terms == result)
        #expect(node.work()[0].index == previous + LogIndex(sent.count))
    }

    @Test func followersCommitWhatTheLeaderTells() throws {
        for (told, expected) in [(1, 1), (2, 2), (9, 2)] as [(LogIndex, LogIndex)] {
            var node = try makeNode(log: [1, 1, 1, 1])
            // Only what this message shows to agree may be committed.
            try node.step(
                Message(
                    kind: .append, to: m1, from: m2, term: 2, logTerm: 1, index: 1, entries: [Entry(term: 1, index: 2)],
                    commit: told))
            #expect(node.commitIndex == expected)
        }
    }

    /// Figure 7: whatever a follower's log looks like, the leader makes it its own.
    @Test(arguments: [
        [1, 1, 1, 4, 4, 5, 5, 6, 6], [1, 1, 1, 4], [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
        [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7], [1, 1, 1, 4, 4, 4, 4], [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3], [],
    ] as [[Term]])
    func aLeaderRepairsAnyLog(follower: [Term]) throws {
        let terms: [Term] = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6]
        for maxSize in [1, 1 << 20] {
            let leader = try makeNode(m1, log: terms, term: 8) { $0.maxSizePerMessage = maxSize }
            let other = try makeNode(m2, log: follower, term: 7)
            let third = try makeNode(m3, log: [1, 1, 1, 4], term: 7)
            var cluster = SmallCluster([leader, other, third])
            cluster[m1].campaign()
            cluster.settle()
            #expect(cluster[m1].role == .leader)
            try cluster[m1].propose([1])
            cluster.settle()
            for id in [m1, m2, m3] {
                #expect(cluster[id].terms == terms + [9, 9])
                #expect(cluster[id].commitIndex == 12)
            }
        }
    }

    @Test func termsAreSkippedByTheHint() throws {
        // The follower has a long tail of a term that the leader knows nothing of: one round finds the place.
        let terms: [Term] = [1] + Array(repeating: 3, count: 200)
        var leader = try makeNode(m1, log: terms, term: 3)
        var follower = try makeNode(m2, log: [1] + Array(repeating: 2, count: 300), term: 3)
        try leader.becomeLeaderByVotes()
        var rounds = 0
        for _ in 0..<10 {
            let sent = leader.work().filter { $0.to == m2 }
            if sent.isEmpty { break }
            rounds += 1
            for message in sent { try follower.step(message) }
            for message in follower.work() { try leader.step(message) }
        }
        #expect(follower.terms == leader.terms)
        #expect(rounds <= 3)
    }

    @Test func aPausedFollowerGetsNothing() throws {
        var node = try Self.leader(tune: { $0.maxInflightMessages = 2 })
        node.work()
        try node.step(Message(kind: .appendResponse, to: m1, from: m2, term: 1, index: 1))
        node.work()
        for round in 0..<4 {
            try node.propose([UInt8(round)])
            let sent = node.work().filter { $0.to == m2 && !$0.entries.isEmpty }
            #expect(sent.count == (round < 2 ? 1 : 0))
        }
        // 3 has not answered its probe and gets nothing at all.
        #expect(node.status.members[2].state == .probe && node.status.members[2].isPaused)
    }

    @Test func theWindowIsBoundedByBytes() throws {
        var node = try Self.leader(tune: {
            $0.maxSizePerMessage = 1000
            $0.maxInflightBytes = 1000
        })
        node.work()
        try node.step(Message(kind: .appendResponse, to: m1, from: m2, term: 1, index: 1))
        node.work()
        for _ in 0..<10 { try node.propose([UInt8](repeating: 0, count: 300)) }
        let sent = node.work().filter { $0.to == m2 && !$0.entries.isEmpty }
        #expect(sent.count == 2)
        #expect(node.status.members[1].inflightBytes >= 1000 && node.status.members[1].isPaused)
    }

    @Test func anEntryLargerThanAMessageTravelsAlone() throws {
        var node = try Self.leader(tune: { $0.maxSizePerMessage = 100 })
        node.work()
        try node.step(Message(kind: .appendResponse, to: m1, from: m2, term: 1, index: 1))
        node.work()
        try node.propose([[1], [UInt8](repeating: 0, count: 5000), [2]])
        let sent = node.work().filter { $0.to == m2 && !$0.entries.isEmpty }
        #expect(sent.map(\.entries.count) == [1, 1, 1])
    }

    @Test func manyProposalsTravelTogether() throws {
        var node = try Self.leader()
        node.work()
        try node.step(Message(kind: .appendResponse, to: m1, from: m2, term: 1, index: 1))
        node.work()
        for value in 0..<500 { try node.propose([UInt8(truncatingIfNeeded: value)]) }
        let sent = node.work().filter { $0.to == m2 }
        #expect(sent.count == 1 && sent[0].entries.count == 500)
    }
}
