// What must never happen, whatever the network, the disks and the members do. Fed with every step of a
// simulation; remembers only what a later step could contradict.

import Wire

@testable import Raft

struct SafetyViolation: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

struct SafetyObserver {
    private struct Place: Hashable {
        let index: LogIndex
        let term: Term
    }
    private struct Content: Equatable {
        let kind: EntryKind
        let data: [UInt8]
        let previousTerm: Term
    }
    private struct Committed {
        let term: Term
        /// The term in which somebody first knew of it.
        let knownIn: Term
    }

    private var leaders: [Term: MemberID] = [:]
    private var contents: [Place: Content] = [:]
    private var committed: [LogIndex: Committed] = [:]
    private var applied: [LogIndex: UInt64] = [:]
    private var commits: [MemberID: LogIndex] = [:]
    private var terms: [MemberID: Term] = [:]
    private var floors: [[UInt8]: LogIndex] = [:]
    /// The highest commit index that anybody ever knew.
    private(set) var highestCommit: LogIndex = 0
    private(set) var elections = 0
    private(set) var readsAnswered = 0

    private func require(_ condition: Bool, _ text: @autoclosure () -> String) throws {
        if !condition { throw SafetyViolation(text()) }
    }

    /// Log matching: entries of one index and term are one entry, and all before them agree too.
    mutating func appended(_ entries: [Entry], after previousTerm: Term, at id: MemberID) throws {
        var previousTerm = previousTerm
        for entry in entries {
            let content = Content(kind: entry.kind, data: entry.data, previousTerm: previousTerm)
            let place = Place(index: entry.index, term: entry.term)
            if let known = contents[place] {
                try require(known == content, "log matching: \(id) has another entry \(entry.term)/\(entry.index)")
            }
            contents[place] = content
            previousTerm = entry.term
        }
    }

    /// State machine safety: everybody applies the same at the same index.
    mutating func applied(_ machine: TestMachine, at id: MemberID) throws {
        if let known = applied[machine.applied] {
            try require(known == machine.hash, "state machine safety: \(id) differs at \(machine.applied)")
        }
        applied[machine.applied] = machine.hash
    }

    mutating func readBegins(_ context: [UInt8]) { floors[context] = highestCommit }

    /// Linearizable reads: never before what was committed when the read was asked for.
    mutating func readAnswered(_ state: ReadState, at id: MemberID) throws {
        guard let floor = floors[state.context] else {
            throw SafetyViolation("read: \(id) got an answer that nobody asked for")
        }
        try require(state.index >= floor, "read: \(id) got index \(state.index), \(floor) was committed before")
        readsAnswered += 1
    }

    /// A restart may forget the commit index, but not below what its disk has.
    mutating func restarted(_ member: TestMember) throws {
        try require(
            member.node.term >= member.disk.hardState.term, "\(member.id) forgot term \(member.disk.hardState.term)")
        commits[member.id] = member.node.snapshotMetadata.index
        terms[member.id] = member.node.term
    }

    /// Looks at a member after it did anything.
    mutating func observe(_ member: TestMember, among members: [TestMember]) throws {
        let node = member.node
        let id = member.id
        try require(node.term >= terms[id] ?? 0, "\(id) went back to term \(node.term)")
        terms[id] = node.term
        if node.role == .leader { try observeLeader(node) }
        let known = commits[id] ?? 0
        try require(node.commitIndex >= known, "commit of \(id) went back from \(known) to \(node.commitIndex)")
        if node.commitIndex > known { try observeCommit(of: node, since: known, among: members) }
        commits[id] = node.commitIndex
    }

    private mutating func observeLeader(_ node: RaftNode) throws {
        if let known = leaders[node.term] {
            return try require(known == node.id, "election safety: \(known) and \(node.id) lead term \(node.term)")
        }
        leaders[node.term] = node.id
        elections += 1
        // Leader completeness: what was committed in earlier terms is in the log of the new leader.
        for (index, entry) in committed where entry.knownIn < node.term && index >= node.firstIndex - 1 {
            try require(
                node.term(at: index) == entry.term,
                "leader completeness: \(node.id), leader of term \(node.term), lacks \(entry.term)/\(index)")
        }
    }

    private mutating func observeCommit(of node: RaftNode, since known: LogIndex, among members: [TestMember]) throws {
        for index in max(known + 1, node.firstIndex)..<node.commitIndex + 1 {
            let term = node.term(at: index)!
            if let other = committed[index] {
                try require(
                    other.term == term, "commit: \(node.id) has \(term)/\(index), \(other.term)/\(index) is committed")
            } else {
                committed[index] = Committed(term: term, knownIn: node.term)
            }
        }
        guard node.commitIndex > highestCommit else { return }
        highestCommit = node.commitIndex
        if node.role == .leader { try requireDurability(of: node, among: members) }
    }

    /// What a leader commits is on the disks of its quorum: not in memory, not under way.
    private func requireDurability(of node: RaftNode, among members: [TestMember]) throws {
        let index = node.commitIndex
        let term = node.term(at: index)!
        // The change that is applied at this very step came into force after its commit.
        let result = node.tracker.configuration.quorum.voteResult { id in
            guard let disk = members.first(where: { $0.id == id })?.disk else { return false }
            if index <= disk.snapshot.index { return true }
            let position = Int(index - disk.snapshot.index) - 1
            return position < disk.entries.count && disk.entries[position].term == term
        }
        try require(result == .won, "durability: \(node.id) committed \(term)/\(index) without a quorum of disks")
    }

    /// Forgets what nobody has in a log any more, so that long runs stay small.
    mutating func forget(below index: LogIndex) {
        contents = contents.filter { $0.key.index >= index }
        committed = committed.filter { $0.key >= index }
        applied = applied.filter { $0.key >= index }
    }
}
