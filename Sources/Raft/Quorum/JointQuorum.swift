// Two majorities that must agree while a joint configuration change is under way (§6 of the paper).

import Wire

struct JointQuorum: Equatable, Sendable {
    var incoming = MemberSet()
    /// Empty unless a joint change is under way.
    var outgoing = MemberSet()

    var isJoint: Bool { !outgoing.isEmpty }
    func contains(_ id: MemberID) -> Bool { incoming.contains(id) || outgoing.contains(id) }

    /// Every voter of either half.
    var voters: MemberSet { isJoint ? incoming.union(outgoing) : incoming }

    /// The one voter there is, if there is only one.
    var onlyVoter: MemberID? { !isJoint && incoming.count == 1 ? incoming.ids[0] : nil }

    func committedIndex(_ matched: (MemberID) -> LogIndex) -> LogIndex {
        let first = incoming.committedIndex(matched)
        return isJoint ? min(first, outgoing.committedIndex(matched)) : first
    }

    func voteResult(_ vote: (MemberID) -> Bool?) -> VoteResult {
        switch (incoming.voteResult(vote), outgoing.voteResult(vote)) {
        case (.lost, _), (_, .lost): .lost
        case (.won, .won): .won
        default: .pending
        }
    }
}
