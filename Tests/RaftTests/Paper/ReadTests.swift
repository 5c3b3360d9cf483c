// §8 and dissertation §6.4: linearizable reads. Dissertation §3.10: leadership transfer.

import Testing
import Wire

@testable import Raft

struct ReadTests {
    private func cluster(_ count: Int = 3) throws -> SmallCluster {
        var cluster = SmallCluster(try (1...count).map { try makeNode(MemberID(UInt64($0)), voters: count, seed: UInt64($0)) })
        cluster[m1].campaign()
        cluster.settle()
        #expect(cluster[m1].role == .leader)
        return cluster
    }

    @Test func aQuorumConfirmsARead() throws {
        var node = try cluster()[m1]
        try node.readIndex(context: [1])
        let heartbeats = node.work()
        #expect(heartbeats.map(\.context) == [[1], [1]])
        try node.step(Message(kind: .heartbeatResponse, to: m1, from: m2, term: 1, context: [9]))
        #expect(node.ready().readStates.isEmpty)
        try node.step(Message(kind: .heartbeatResponse, to: m1, from: m2, term: 1, context: [1]))
        #expect(node.ready().readStates == [ReadState(index: 1, context: [1])])
        // Once is enough.
        try node.step(Message(kind: .heartbeatResponse, to: m1, from: m3, term: 1, context: [1]))
        #expect(node.ready().readStates.isEmpty)
    }

    @Test func aReadIsAsOldAsItsRequest() throws {
        var node = try cluster()[m1]
        try node.readIndex(context: [1])
        try node.propose([1])
        node.work()
        try node.step(Message(kind: .appendResponse, to: m1, from: m2, term: 1, index: 2))
        #expect(node.commitIndex == 2)
        try node.step(Message(kind: .heartbeatResponse, to: m1, from: m2, term: 1, context: [1]))
        #expect(node.ready().readStates == [ReadState(index: 1, context: [1])])
    }

    @Test func learnersDoNotConfirm() throws {
        var node = try makeNode(learners: [MemberID(4)])
        try node.becomeLeaderByVotes()
        node.work()
        try node.step(Message(kind: .appendResponse, to: m1, from: m2, term: 1, index: 1))
        node.work()
        try node.readIndex(context: [1])
        node.work()
        try node.step(Message(kind: .heartbeatResponse, to: m1, from: MemberID(4), term: 1, context: [1]))
        #expect(node.ready().readStates.isEmpty)
    }

    @Test func aDeposedLeaderForgetsItsReads() throws {
        var node = try cluster()[m1]
        try node.readIndex(context: [1])
        node.work()
        try node.step(Message(kind: .heartbeat, to: m1, from: m2, term: 2))
        try node.step(Message(kind: .heartbeatResponse, to: m1, from: m2, term: 1, context: [1]))
        #expect(node.ready().readStates.isEmpty && node.status.pendingReads == 0)
    }

    @Test func readsAreBounded() throws {
        var node = try cluster()[m1]
        for number in 0..<Limits.maxPendingReads {
            try node.readIndex(context: [UInt8(number & 255), UInt8(number >> 8)])
            if number % 512 == 0 { _ = node.ready() }
        }
        #expect(throws: RaftError.readDropped) { try node.readIndex(context: [1, 2, 3]) }
        #expect(throws: RaftError.self) { try node.readIndex(context: []) }
    }

    @Test func aLeaseAnswersAtOnce() throws {
        var node = try makeNode(checkQuorum: true) { $0.readOnlyOption = .lease }
        try node.becomeLeaderByVotes()
        node.work()
        #expect(node.immediateReadIndex == nil)
        try node.step(Message(kind: .appendResponse, to: m1, from: m2, term: 1, index: 1))
        #expect(node.immediateReadIndex == 1)
        try node.readIndex(context: [1])
        #expect(node.ready().readStates == [ReadState(index: 1, context: [1])])
    }

    @Test func followersAskTheirLeader() throws {
        var cluster = try cluster()
        try cluster[m2].readIndex(context: [5])
        let asked = cluster[m2].work()
        #expect(asked == [Message(kind: .readIndex, to: m1, from: m2, entries: [Entry(term: 0, index: 0, data: [5])])])
        try cluster[m1].step(asked[0])
        for message in cluster[m1].work() { try? cluster.nodes[message.to]?.step(message) }
        for message in cluster[m3].work() { try cluster[m1].step(message) }
        let answer = cluster[m1].work().first { $0.kind == .readIndexResponse }!
        #expect(answer.to == m2 && answer.index == 1)
        try cluster[m2].step(answer)
        #expect(cluster[m2].ready().readStates == [ReadState(index: 1, context: [5])])
    }

    @Test func leadershipIsHandedOver() throws {
        var cluster = try cluster()
        cluster[m1].transferLeadership(to: m3)
        #expect(cluster[m1].transferTarget == m3)
        #expect(throws: RaftError.proposalDropped(.transferringLeadership)) { try cluster[m1].propose([1]) }
        cluster.settle()
        #expect(cluster[m3].role == .leader && cluster[m1].role == .follower)
    }

    @Test func aTransferEndsAfterAnElectionTimeout() throws {
        var cluster = try cluster()
        cluster.cut = [m3]
        cluster[m1].transferLeadership(to: m3)
        for _ in 0..<10 { cluster[m1].tick() }
        #expect(cluster[m1].transferTarget == nil)
        try cluster[m1].propose([1])
    }

    @Test func anotherTargetReplacesTheFirst() throws {
        var cluster = try cluster()
        cluster.cut = [m3]
        cluster[m1].transferLeadership(to: m3)
        cluster[m1].transferLeadership(to: m2)
        cluster.settle()
        #expect(cluster[m2].role == .leader)
    }
}
