// Read-index rounds in the order of their arrival (§6.4 of the dissertation).
//
// A round is confirmed when a quorum has answered a heartbeat that carries its context. The heartbeat of a
// later round confirms all earlier ones too, so only the newest context ever needs to be sent.

import Wire

struct ReadQueue: Sendable {
    struct Round: Sendable {
        /// Who asked: this member itself or a follower.
        let from: MemberID
        let context: [UInt8]
        /// The commit index when the round began.
        let index: LogIndex
        var acknowledged: MemberSet
    }

    private var rounds: [Round] = []

    var isEmpty: Bool { rounds.isEmpty }
    var count: Int { rounds.count }
    var newestContext: [UInt8] { rounds.last?.context ?? [] }

    /// False if a round with this context is already under way.
    mutating func add(from: MemberID, context: [UInt8], index: LogIndex, self id: MemberID) -> Bool {
        if rounds.contains(where: { $0.context == context }) { return false }
        rounds.append(Round(from: from, context: context, index: index, acknowledged: MemberSet([id])))
        return true
    }

    /// `id` answered the heartbeat with `context`. Returns the rounds that this confirms, oldest first.
    mutating func acknowledge(_ context: [UInt8], by id: MemberID, quorum: JointQuorum) -> [Round] {
        guard let place = rounds.firstIndex(where: { $0.context == context }) else { return [] }
        rounds[place].acknowledged.insert(id)
        let acknowledged = rounds[place].acknowledged
        guard quorum.voteResult({ acknowledged.contains($0) ? true : nil }) == .won else { return [] }
        let confirmed = Array(rounds[...place])
        rounds.removeFirst(place + 1)
        return confirmed
    }

    mutating func removeAll() { rounds.removeAll() }
}
