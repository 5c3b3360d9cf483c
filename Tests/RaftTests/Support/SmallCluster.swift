// A few members and a perfect network, for tests that look at one rule.

import Testing
import Wire

@testable import Raft

let m1 = MemberID(1)
let m2 = MemberID(2)
let m3 = MemberID(3)

/// One value with a log of entries that have these terms, all durable.
func makeNode(
    _ id: MemberID = m1, voters: Int = 3, learners: [MemberID] = [], log terms: [Term] = [], term: Term? = nil,
    vote: MemberID = .none, commit: LogIndex = 0, preVote: Bool = false, checkQuorum: Bool = false,
    electionTicks: Int = 10, seed: UInt64 = 1, tune: (inout RaftConfiguration) -> Void = { _ in }
) throws -> RaftNode {
    var configuration = RaftConfiguration(
        id: id, electionTicks: electionTicks, preVote: preVote, checkQuorum: checkQuorum, seed: seed)
    tune(&configuration)
    let entries = terms.enumerated().map { Entry(term: $1, index: LogIndex($0 + 1)) }
    return try RaftNode(
        configuration,
        restoring: RestoredState(
            hardState: HardState(term: term ?? terms.last ?? 0, vote: vote, commit: commit),
            configuration: ConfigurationState(
                voters: voters == 0 ? [] : (1...voters).map { MemberID(UInt64($0)) }, learners: learners),
            entries: entries))
}

extension RaftNode {
    /// Does all the work at once, applies everything, and returns the messages.
    @discardableResult
    mutating func work() -> [Message] {
        var sent: [Message] = []
        while hasReady {
            let ready = ready()
            sent += ready.messages
            didPersist(ready.persistence)
            sent += ready.messagesAfterAppend
            if ready.snapshot != nil { didApply(through: firstIndex - 1) }
            for entry in entries(ready.committedEntries) where entry.kind != .normal {
                if let change = try? ConfigurationChangeV2(decoding: entry) { _ = try? applyConfigurationChange(change) }
            }
            if !ready.committedEntries.isEmpty { didApply(through: ready.committedEntries.upperBound - 1) }
        }
        return sent
    }

    /// Makes a leader of a member by granting all votes.
    mutating func becomeLeaderByVotes() throws {
        campaign()
        work()
        for voter in configurationState.voters where voter != id && role != .leader {
            try step(Message(kind: .voteResponse, to: id, from: voter, term: term))
        }
        #expect(role == .leader)
    }

    var terms: [Term] { entries(firstIndex..<lastIndex + 1).map(\.term) }
}

/// Members and the messages between them, delivered in order.
struct SmallCluster {
    var nodes: [MemberID: RaftNode]
    var cut: Set<MemberID> = []

    init(_ nodes: [RaftNode]) {
        self.nodes = Dictionary(uniqueKeysWithValues: nodes.map { ($0.id, $0) })
    }

    /// Works and delivers until nothing is left to do.
    mutating func settle() {
        for _ in 0..<1000 {
            var messages: [Message] = []
            for id in nodes.keys.sorted() { messages += nodes[id]!.work() }
            messages.removeAll { cut.contains($0.from) || cut.contains($0.to) }
            if messages.isEmpty { return }
            for message in messages { try? nodes[message.to]?.step(message) }
            for id in nodes.keys { nodes[id]!.checkInvariants() }
        }
        Issue.record("the cluster does not settle")
    }

    subscript(id: MemberID) -> RaftNode {
        get { nodes[id]! }
        set { nodes[id] = newValue }
    }
}
