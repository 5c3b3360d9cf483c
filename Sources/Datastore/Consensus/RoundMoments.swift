// When the last rounds of the log were proposed, written and synced: one clock reading serves all writes of a round.

/// A ring of rounds by number; who asks for one that is overwritten learns nothing.
struct RoundMoments {
    private struct Round {
        var number: UInt64 = .max
        var proposed: UInt64 = 0
        var appended: UInt64 = 0
        var fsynced: UInt64 = 0
    }

    private static let kept = 256
    private var rounds = [Round](repeating: Round(), count: kept)
    private var next: UInt64 = 0
    /// The first round whose entries are not on the disk yet.
    private var firstOpen: UInt64 = 0

    /// Proposals were handed to Raft; returns their round.
    mutating func began(at now: UInt64) -> UInt64 {
        let number = next
        rounds[Int(number % UInt64(Self.kept))] = Round(number: number, proposed: now)
        next += 1
        return number
    }

    /// What was proposed is in the log's file, and on the disk if that was asked for.
    mutating func wrote(appended: UInt64, fsynced: UInt64) {
        for number in max(firstOpen, next < UInt64(Self.kept) ? 0 : next - UInt64(Self.kept))..<next {
            rounds[Int(number % UInt64(Self.kept))].appended = appended
            rounds[Int(number % UInt64(Self.kept))].fsynced = fsynced
        }
        firstOpen = next
    }

    /// The moments of a write of a round.
    func moments(_ number: UInt64, committed: UInt64, applied: UInt64) -> WriteMoments {
        var moments = WriteMoments(committed: committed, applied: applied)
        let round = rounds[Int(number % UInt64(Self.kept))]
        if round.number == number {
            moments.proposed = round.proposed
            moments.appended = round.appended
            moments.fsynced = round.fsynced
        }
        return moments
    }
}
