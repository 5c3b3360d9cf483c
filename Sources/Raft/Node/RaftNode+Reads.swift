// Linearizable reads without writing to the log (§8; dissertation §6.4).
//
// A read may run on any member that has applied the commit index which the leader had when the read came in,
// if the leader was still the leader at that moment. The leader asks a quorum, once for all reads that wait.

import Wire

extension RaftNode {
    /// The index at which a read may run at once, without asking anybody: a leader that is the only voter
    /// needs no quorum, one with a lease trusts it.
    public var immediateReadIndex: LogIndex? {
        guard role == .leader, hasCommittedInTerm else { return nil }
        if tracker.configuration.quorum.onlyVoter == id || configuration.readOnlyOption == .lease {
            return log.committed
        }
        return nil
    }

    /// Asks for a read index; it comes as a `ReadState` with the same context, or never: then ask again.
    ///
    /// - Parameter context: not empty, and unlike any other ever used in the cluster, or an old answer could
    ///   confirm a new read.
    /// - Throws: `readDropped` if no leader is known or too many reads wait.
    public mutating func readIndex(context: [UInt8]) throws(RaftError) {
        if context.isEmpty { throw .malformed("a read without a context") }
        try takeRead(context: context, from: id)
    }

    mutating func takeForwardedRead(_ message: Message) throws(RaftError) {
        guard message.entries.count == 1, !message.entries[0].data.isEmpty else {
            throw .malformed("MsgReadIndex without its context")
        }
        try takeRead(context: message.entries[0].data, from: message.from)
    }

    private mutating func takeRead(context: [UInt8], from member: MemberID) throws(RaftError) {
        switch role {
        case .leader:
            if let index = immediateReadIndex {
                answerRead(context: context, from: member, index: index)
            } else if !hasCommittedInTerm {
                // The commit index may be behind what earlier leaders have acknowledged.
                guard earlyReads.count < Limits.maxPendingReads else { throw .readDropped }
                earlyReads.append((member, context))
            } else {
                try beginRound(context: context, from: member)
            }
        case .follower where leader != .none:
            send(
                Message(
                    kind: .readIndex, to: leader, from: member, entries: [Entry(term: 0, index: 0, data: context)]))
        default:
            info("\(id) no leader at term \(term); dropping index reading msg")
            throw .readDropped
        }
    }

    private mutating func beginRound(context: [UInt8], from member: MemberID) throws(RaftError) {
        guard reads.count < Limits.maxPendingReads else { throw .readDropped }
        guard reads.add(from: member, context: context, index: log.committed, self: id) else { return }
        sendHeartbeats(context: context)
    }

    mutating func confirmReads(context: [UInt8], by member: MemberID) {
        for round in reads.acknowledge(context, by: member, quorum: tracker.configuration.quorum) {
            answerRead(context: round.context, from: round.from, index: round.index)
        }
    }

    /// The first entry of the term is committed: now the commit index is known to be up to date.
    mutating func answerEarlyReads() {
        guard !earlyReads.isEmpty, hasCommittedInTerm else { return }
        let waiting = earlyReads
        earlyReads = []
        for (member, context) in waiting {
            if let index = immediateReadIndex {
                answerRead(context: context, from: member, index: index)
            } else {
                // Full queues drop reads; whoever asked asks again.
                try? beginRound(context: context, from: member)
            }
        }
    }

    private mutating func answerRead(context: [UInt8], from member: MemberID, index: LogIndex) {
        if member == id {
            readStates.append(ReadState(index: index, context: context))
        } else {
            send(
                Message(
                    kind: .readIndexResponse, to: member, index: index,
                    entries: [Entry(term: 0, index: 0, data: context)]))
        }
    }
}
