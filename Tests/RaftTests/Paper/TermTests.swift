// §5.1: terms are a logical clock.

import Testing
import Wire

@testable import Raft

struct TermTests {
    @Test func membersStartAsFollowers() throws {
        let node = try makeNode()
        #expect(node.role == .follower && node.leader == .none)
    }

    @Test(arguments: ["follower", "candidate", "leader"])
    func aHigherTermIsTakenOver(role: String) throws {
        var node = try makeNode()
        if role != "follower" { node.campaign() }
        if role == "leader" { try node.becomeLeaderByVotes() }
        try node.step(Message(kind: .append, to: m1, from: m2, term: 9))
        #expect(node.term == 9 && node.role == .follower && node.leader == m2)
    }

    @Test func aVoteRequestOfAHigherTermMakesAFollowerWithoutLeader() throws {
        var node = try makeNode()
        try node.becomeLeaderByVotes()
        try node.step(Message(kind: .vote, to: m1, from: m2, term: 9))
        #expect(node.term == 9 && node.role == .follower && node.leader == .none)
        // Its log is behind: the term is taken over, the vote is not given.
        #expect(node.status.vote == .none)
    }

    @Test func staleMessagesAreIgnored() throws {
        var node = try makeNode(log: [1, 5])
        node.work()
        try node.step(Message(kind: .append, to: m1, from: m2, term: 2, entries: [Entry(term: 2, index: 1)]))
        try node.step(Message(kind: .heartbeat, to: m1, from: m2, term: 2))
        try node.step(Message(kind: .vote, to: m1, from: m2, term: 2, logTerm: 9, index: 9))
        #expect(node.terms == [1, 5] && node.term == 5 && node.leader == .none)
        #expect(node.work().isEmpty)
    }

    @Test func aStaleLeaderIsToldTheTerm() throws {
        var node = try makeNode(log: [5], checkQuorum: true)
        try node.step(Message(kind: .heartbeat, to: m1, from: m2, term: 2))
        #expect(node.work() == [Message(kind: .appendResponse, to: m2, from: m1, term: 5)])
    }
}
