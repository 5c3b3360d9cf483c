// §5.2 and §5.4.1: leader election. Dissertation §9.6: pre-vote; §4.2.3: leases.

import Testing
import Wire

@testable import Raft

struct ElectionTests {
    @Test func aLeaderSendsHeartbeats() throws {
        var node = try makeNode()
        try node.becomeLeaderByVotes()
        node.work()
        node.tick()
        let heartbeats = node.work().filter { $0.kind == .heartbeat }
        #expect(heartbeats.map(\.to) == [m2, m3])
        #expect(heartbeats.allSatisfy { $0.term == 1 && $0.from == m1 })
    }

    /// A timeout lies between one and two election timeouts, and every value in between occurs.
    @Test func electionTimeoutsAreRandom() throws {
        var seen: Set<Int> = []
        for seed in 0..<300 {
            var node = try makeNode(seed: UInt64(seed))
            var ticks = 0
            while node.role == .follower {
                node.tick()
                ticks += 1
            }
            seen.insert(ticks)
        }
        #expect(seen == Set(10...19))
    }

    @Test func membersRarelyCampaignAtOnce() throws {
        var conflicts = 0
        for round in 0..<200 {
            var nodes = try (1...5).map { try makeNode(MemberID(UInt64($0)), voters: 5, seed: UInt64(round * 5 + $0)) }
            while !nodes.contains(where: { $0.role == .candidate }) { for place in nodes.indices { nodes[place].tick() } }
            if nodes.count(where: { $0.role == .candidate }) > 1 { conflicts += 1 }
        }
        #expect(conflicts < 120, "\(conflicts) of 200 elections began with several candidates")
    }

    @Test func aCandidateStartsANewElectionWhenNobodyWins() throws {
        var node = try makeNode()
        node.campaign()
        #expect(node.term == 1)
        for _ in 0..<20 where node.term == 1 { node.tick() }
        #expect(node.term == 2 && node.role == .candidate && node.status.vote == m1)
    }

    /// Members, granted, refused, expected.
    @Test(arguments: [
        (3, 1, 0, RaftNode.Role.leader), (3, 0, 0, .candidate), (3, 0, 1, .candidate), (3, 0, 2, .follower),
        (5, 2, 2, .leader), (5, 1, 2, .candidate), (5, 1, 3, .follower), (5, 0, 4, .follower), (4, 1, 1, .candidate),
        (4, 1, 2, .follower), (4, 2, 0, .leader),
    ])
    func aMajorityDecides(members: Int, granted: Int, refused: Int, expected: RaftNode.Role) throws {
        var node = try makeNode(voters: members)
        node.campaign()
        node.work()
        for number in 0..<(granted + refused) {
            try node.step(
                Message(
                    kind: .voteResponse, to: m1, from: MemberID(UInt64(number + 2)), term: 1, reject: number >= granted))
        }
        #expect(node.role == expected)
    }

    @Test func aMemberVotesOncePerTerm() throws {
        for (vote, candidate, granted) in [(MemberID.none, m2, true), (m2, m2, true), (m3, m2, false)] {
            var node = try makeNode(term: 1, vote: vote)
            try node.step(Message(kind: .vote, to: m1, from: candidate, term: 1))
            let answer = node.work()
            #expect(answer.count == 1 && answer[0].reject == !granted)
        }
    }

    @Test func theVoteSurvivesARestart() throws {
        var node = try makeNode()
        try node.step(Message(kind: .vote, to: m1, from: m2, term: 4))
        let ready = node.ready()
        #expect(ready.mustSync && ready.hardState == HardState(term: 4, vote: m2, commit: 0))
        #expect(ready.messages.isEmpty && ready.messagesAfterAppend.count == 1)
        var restarted = try makeNode(term: 4, vote: m2)
        try restarted.step(Message(kind: .vote, to: m1, from: m3, term: 4))
        #expect(restarted.work()[0].reject)
    }

    @Test func anotherLeaderEndsACandidacy() throws {
        for kind in [MessageKind.append, .heartbeat] {
            var node = try makeNode()
            node.campaign()
            try node.step(Message(kind: kind, to: m1, from: m2, term: 1))
            #expect(node.role == .follower && node.leader == m2 && node.term == 1)
        }
    }

    /// §5.4.1. The voter's log, the candidate's last term and index, whether it is granted.
    @Test(arguments: [
        ([1], 1, 1, true), ([1], 1, 2, true), ([1, 1], 1, 1, false), ([1], 2, 1, true), ([1, 1], 2, 1, true),
        ([2], 1, 1, false), ([2], 1, 2, false), ([2, 3], 2, 9, false), ([], 0, 0, true), ([1], 0, 0, false),
    ] as [([Term], Term, LogIndex, Bool)])
    func votersKeepTheBetterLog(log: [Term], lastTerm: Term, lastIndex: LogIndex, granted: Bool) throws {
        for kind in [MessageKind.vote, .preVote] {
            var node = try makeNode(log: log)
            try node.step(Message(kind: kind, to: m1, from: m2, term: 9, logTerm: lastTerm, index: lastIndex))
            let answer = node.work()[0]
            #expect(answer.reject == !granted)
            #expect(answer.kind == (kind == .vote ? .voteResponse : .preVoteResponse))
        }
    }

    @Test func aVoteRequestShowsTheLog() throws {
        var node = try makeNode(log: [1, 2, 2])
        node.campaign()
        #expect(
            node.work() == [m2, m3].map {
                Message(kind: .vote, to: $0, from: m1, term: 3, logTerm: 2, index: 3)
            })
    }

    @Test func aPreVoteChangesNothing() throws {
        var node = try makeNode(term: 3, preVote: true)
        node.campaign()
        #expect(node.role == .preCandidate && node.term == 3)
        let ready = node.ready()
        #expect(ready.hardState == nil)
        #expect(ready.messagesAfterAppend.allSatisfy { $0.kind == .preVote && $0.term == 4 })
        // The asked member does not change either.
        var other = try makeNode(m2, term: 3, preVote: true)
        try other.step(ready.messagesAfterAppend[0])
        let answer = other.ready()
        #expect(answer.hardState == nil && other.term == 3 && other.status.vote == .none)
        #expect(answer.messagesAfterAppend == [Message(kind: .preVoteResponse, to: m1, from: m2, term: 4)])
        try node.step(answer.messagesAfterAppend[0])
        #expect(node.role == .candidate && node.term == 4)
    }

    @Test func aPreVoteIsGrantedToSeveral() throws {
        var node = try makeNode(preVote: true)
        for candidate in [m2, m3] {
            try node.step(Message(kind: .preVote, to: m1, from: candidate, term: 1))
            #expect(!node.work()[0].reject)
        }
    }

    @Test func aLeaseIgnoresCandidatesUnlessTheLeaderSentThem() throws {
        var node = try makeNode(checkQuorum: true)
        try node.step(Message(kind: .heartbeat, to: m1, from: m2, term: 1))
        node.work()
        for kind in [MessageKind.vote, .preVote] {
            try node.step(Message(kind: kind, to: m1, from: m3, term: 5, logTerm: 9, index: 9))
            #expect(node.work().isEmpty && node.term == 1)
        }
        try node.step(
            Message(
                kind: .vote, to: m1, from: m3, term: 5, logTerm: 9, index: 9, context: Array("CampaignTransfer".utf8)))
        #expect(node.work()[0].reject == false)
        // After an election timeout without the leader the lease is over.
        var other = try makeNode(checkQuorum: true)
        try other.step(Message(kind: .heartbeat, to: m1, from: m2, term: 1))
        other.work()
        for _ in 0..<10 where other.role == .follower { other.tick() }
        try other.step(Message(kind: .vote, to: m1, from: m3, term: 5, logTerm: 9, index: 9))
        #expect(other.work().contains { $0.kind == .voteResponse && !$0.reject })
    }

    @Test func aLeaderWithoutQuorumStepsDown() throws {
        var node = try makeNode(checkQuorum: true)
        try node.becomeLeaderByVotes()
        for _ in 0..<10 { node.tick() }
        #expect(node.role == .follower || node.term == 1)
        for _ in 0..<10 where node.role == .leader { node.tick() }
        #expect(node.role == .follower)
        // One follower's answers are enough of three.
        var heard = try makeNode(checkQuorum: true)
        try heard.becomeLeaderByVotes()
        for _ in 0..<50 {
            heard.tick()
            heard.work()
            try heard.step(Message(kind: .heartbeatResponse, to: m1, from: m3, term: 1))
        }
        #expect(heard.role == .leader)
    }

    @Test func learnersAndStrangersDoNotCampaign() throws {
        var learner = try makeNode(MemberID(4), learners: [MemberID(4)])
        var stranger = try makeNode(MemberID(9))
        for _ in 0..<100 {
            learner.tick()
            stranger.tick()
        }
        learner.campaign()
        stranger.campaign()
        #expect(learner.role == .follower && stranger.role == .follower)
        // Their votes do not count, either.
        var candidate = try makeNode(learners: [MemberID(4)])
        candidate.campaign()
        candidate.work()
        try candidate.step(Message(kind: .voteResponse, to: m1, from: MemberID(4), term: 1))
        #expect(candidate.role == .candidate)
        #expect(throws: RaftError.unknownMember(MemberID(9))) {
            try candidate.step(Message(kind: .voteResponse, to: m1, from: MemberID(9), term: 1))
        }
    }
}
