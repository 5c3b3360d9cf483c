// What a leader or candidate knows of everybody: the configuration, each member's progress, the votes.

import Wire

struct Tracker: Sendable {
    private(set) var configuration = MemberConfiguration()
    /// One per member, ascending by id.
    var progress: [Progress] = []
    private var votes: [(member: MemberID, granted: Bool)] = []

    func place(of id: MemberID) -> Int? { progress.firstIndex { $0.id == id } }
    subscript(id: MemberID) -> Progress? { place(of: id).map { progress[$0] } }

    /// Takes a configuration: members that stay keep their progress, others get `fresh`.
    mutating func adopt(_ next: MemberConfiguration, fresh: (_ id: MemberID, _ isLearner: Bool) -> Progress) {
        let old = progress
        progress = next.members.map { id in
            let isLearner = next.learners.contains(id)
            guard var known = old.first(where: { $0.id == id }) else { return fresh(id, isLearner) }
            known.isLearner = isLearner
            return known
        }
        configuration = next
    }

    /// The highest index that the quorum has durably.
    var committedIndex: LogIndex {
        configuration.quorum.committedIndex { id in
            for member in progress where member.id == id { return member.match }
            return 0
        }
    }

    /// Whether a quorum was heard from since the flags were last cleared.
    var isQuorumActive: Bool {
        configuration.quorum.voteResult { self[$0]?.isRecentlyActive ?? false } == .won
    }

    /// Forgets everybody, before a snapshot's configuration is adopted.
    mutating func removeAll() {
        progress = []
        configuration = MemberConfiguration()
    }

    // Votes

    mutating func resetVotes() { votes.removeAll() }

    /// Only a member's first answer counts.
    mutating func record(vote granted: Bool, of id: MemberID) {
        if !votes.contains(where: { $0.member == id }) { votes.append((id, granted)) }
    }

    var voteResult: VoteResult {
        configuration.quorum.voteResult { id in votes.first { $0.member == id }?.granted }
    }

    /// Learners do not count.
    var voteCounts: (granted: Int, rejected: Int) {
        let counted = votes.filter { configuration.quorum.contains($0.member) }
        let granted = counted.count { $0.granted }
        return (granted, counted.count - granted)
    }
}
