// Majorities: how far a set of voters has got, and how it votes.

import Wire

/// How an election or a read round stands.
enum VoteResult: Equatable {
    case pending, lost, won
}

extension MemberSet {
    /// The highest index that more than half of the voters have. Without voters, everything is agreed on:
    /// that lets the empty half of a configuration that is not joint decide nothing.
    func committedIndex(_ matched: (MemberID) -> LogIndex) -> LogIndex {
        if count == 1 { return matched(ids[0]) }
        if isEmpty { return .max }
        return withUnsafeTemporaryAllocation(of: LogIndex.self, capacity: count) { sorted in
            // Insertion sort, descending: the voters are few.
            for (position, voter) in ids.enumerated() {
                let value = matched(voter)
                var slot = position
                while slot > 0, sorted[slot - 1] < value {
                    sorted[slot] = sorted[slot - 1]
                    slot -= 1
                }
                sorted[slot] = value
            }
            return sorted[count / 2]
        }
    }

    /// - Parameter vote: nil while the voter has not answered.
    func voteResult(_ vote: (MemberID) -> Bool?) -> VoteResult {
        if isEmpty { return .won }
        var granted = 0
        var missing = 0
        for voter in ids {
            switch vote(voter) {
            case .some(true): granted += 1
            case .none: missing += 1
            case .some(false): break
            }
        }
        let needed = count / 2 + 1
        if granted >= needed { return .won }
        return granted + missing >= needed ? .pending : .lost
    }
}
