// §7: snapshots instead of compacted entries.

import Testing
import Wire

@testable import Raft

struct SnapshotTests {
    private let metadata = SnapshotMetadata(
        index: 11, term: 2, configuration: ConfigurationState(voters: [m1, m2, m3], learners: [MemberID(4)]))

    private func message(_ metadata: SnapshotMetadata, term: Term = 3) -> Message {
        Message(kind: .snapshot, to: m1, from: m2, term: term, snapshot: Snapshot(metadata: metadata, data: [7]))
    }

    @Test func aFollowerBeginsAnewBehindTheSnapshot() throws {
        var node = try makeNode(log: [1, 1])
        try node.step(message(metadata))
        #expect(node.firstIndex == 12 && node.lastIndex == 11 && node.commitIndex == 11 && node.lastTerm == 2)
        let ready = node.ready()
        #expect(ready.snapshot == Snapshot(metadata: metadata, data: [7]) && ready.mustSync)
        #expect(ready.messages.isEmpty)
        #expect(ready.messagesAfterAppend == [Message(kind: .appendResponse, to: m2, from: m1, term: 3, index: 11)])
        // It does not lead before it has installed it.
        node.campaign()
        #expect(node.role == .follower)
        // Entries after it may come before it is installed, and are applied after that.
        try node.step(
            Message(kind: .append, to: m1, from: m2, term: 3, logTerm: 2, index: 11, entries: [Entry(term: 3, index: 12)], commit: 12))
        let second = node.ready()
        #expect(second.entriesToAppend == 12..<13 && second.committedEntries.isEmpty)
        node.didPersist(second.persistence)
        #expect(node.ready().committedEntries.isEmpty)
        node.didApply(through: 11)
        #expect(node.ready().committedEntries == 12..<13)
        #expect(node.configurationState.learners == [MemberID(4)])
        node.checkInvariants()
    }

    @Test func aStaleSnapshotIsIgnored() throws {
        var node = try makeNode(log: Array(repeating: 1, count: 20), commit: 15)
        node.work()
        try node.step(message(SnapshotMetadata(index: 11, term: 1, configuration: metadata.configuration)))
        #expect(node.lastIndex == 20 && node.commitIndex == 15)
        #expect(node.work() == [Message(kind: .appendResponse, to: m2, from: m1, term: 3, index: 15)])
    }

    @Test func aSnapshotOfWhatTheLogHasOnlyCommits() throws {
        var node = try makeNode(log: Array(repeating: 2, count: 20), commit: 5)
        node.work()
        try node.step(message(metadata))
        #expect(node.lastIndex == 20 && node.commitIndex == 11)
        #expect(node.ready().snapshot == nil)
    }

    @Test func aSnapshotWithAnImpossibleConfigurationIsRefused() throws {
        var node = try makeNode()
        var broken = metadata
        broken.configuration = ConfigurationState(voters: [m1], learners: [m1])
        #expect(throws: RaftError.self) { try node.step(message(broken)) }
        #expect(node.lastIndex == 0)
        node.checkInvariants()
    }

    @Test func aLeaderSendsWhatItCompacted() throws {
        var node = try ReplicationTests.leader(2)
        node.work()
        try node.step(Message(kind: .appendResponse, to: m1, from: m2, term: 1, index: 1))
        for _ in 0..<5 { try node.propose([1]) }
        node.work()
        try node.step(Message(kind: .appendResponse, to: m1, from: m2, term: 1, index: 6))
        node.work()
        let snapshot = Snapshot(
            metadata: SnapshotMetadata(index: 6, term: 1, configuration: node.configurationState), data: [9])
        node.recordSnapshot(snapshot)
        node.compactLog(through: 6)
        node.checkInvariants()
        // The follower lost its disk and refuses everything.
        try node.propose([2])
        node.work()
        try node.step(
            Message(kind: .appendResponse, to: m1, from: m2, term: 1, index: 6, reject: true))
        // It had acknowledged index 6: such a refusal is taken for an old one.
        #expect(node.work().allSatisfy { $0.kind != .snapshot })

        var fresh = try ReplicationTests.leader(3, log: [1, 1, 1])
        fresh.work()
        try fresh.step(Message(kind: .appendResponse, to: m1, from: m2, term: 2, index: 4))
        fresh.work()
        fresh.recordSnapshot(
            Snapshot(metadata: SnapshotMetadata(index: 4, term: 2, configuration: fresh.configurationState), data: [9]))
        fresh.compactLog(through: 4)
        try fresh.step(Message(kind: .appendResponse, to: m1, from: m3, term: 2, index: 3, reject: true))
        let sent = fresh.work().filter { $0.to == m3 }
        #expect(sent.map(\.kind) == [.snapshot] && sent[0].snapshot?.metadata.index == 4)
        #expect(fresh.status.members[2].state == .snapshot)
        fresh.reportSnapshot(m3, succeeded: false)
        #expect(fresh.status.members[2].state == .probe && fresh.status.members[2].next == 1)
    }

    @Test func aNewerSnapshotThanTheOneSentIsFine() throws {
        // The driver may send its newest state instead of the one that the message named.
        var node = try ReplicationTests.leader(3, log: [1, 1, 1])
        node.work()
        try node.step(Message(kind: .appendResponse, to: m1, from: m2, term: 2, index: 4))
        node.work()
        node.recordSnapshot(
            Snapshot(metadata: SnapshotMetadata(index: 3, term: 1, configuration: node.configurationState)))
        node.compactLog(through: 3)
        try node.step(Message(kind: .appendResponse, to: m1, from: m3, term: 2, index: 3, reject: true))
        node.work()
        #expect(node.status.members[2].pendingSnapshot == 3)
        try node.step(Message(kind: .appendResponse, to: m1, from: m3, term: 2, index: 4))
        #expect(node.status.members[2].state == .replicate && node.status.members[2].next == 5)
    }
}
