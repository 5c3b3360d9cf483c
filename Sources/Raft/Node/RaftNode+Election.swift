// Elections: campaigning, counting and granting votes (§5.2, §5.4.1; pre-vote: dissertation §9.6).

import Wire

extension RaftNode {
    enum Campaign { case timeout, requested, transfer }

    /// What a candidate that the old leader asked for says, so that leases do not stand in its way.
    static let transferContext = Array("CampaignTransfer".utf8)

    /// Starts an election now.
    public mutating func campaign() { startElection(.requested) }

    mutating func startElection(_ cause: Campaign) {
        if role == .leader {
            if logsDebug {
                debug("\(id) ignoring MsgHup because already leader")
            }
            return
        }
        guard isPromotable else {
            warn("\(id) is unpromotable and can not campaign")
            return
        }
        // With a committed change not yet applied, the wrong quorum would be asked.
        if hasUnappliedConfigurationChange {
            warn(
                "\(id) cannot campaign at term \(term) since there are still pending configuration changes to apply")
            return
        }
        info("\(id) is starting a new election at term \(term)")
        if configuration.preVote, cause != .transfer {
            becomePreCandidate()
            requestVotes(.preVote, context: [])
            // A pre-vote promises nothing, so the own one need not be durable.
            count(vote: true, from: id, kind: .preVoteResponse)
        } else {
            becomeElectionCandidate(context: cause == .transfer ? Self.transferContext : [])
        }
    }

    private mutating func becomeElectionCandidate(context: [UInt8]) {
        becomeCandidate()
        requestVotes(.vote, context: context)
    }

    private var hasUnappliedConfigurationChange: Bool {
        let range = log.applied + 1..<log.committed + 1
        return log.withEntries(range) { entries in entries.contains { $0.kind != .normal } }
    }

    private mutating func requestVotes(_ kind: MessageKind, context: [UInt8]) {
        let requested = kind == .preVote ? term + 1 : term
        let (index, logTerm) = (log.lastIndex, log.lastTerm)
        for voter in tracker.configuration.quorum.voters where voter != id {
            info("\(id) [logterm: \(logTerm), index: \(index)] sent \(kind.logName) request to \(voter) at term \(term)")
            // The term and the log that the request boasts of must outlive a crash: a vote granted for them
            // may arrive after it.
            sendAfterAppend(
                Message(kind: kind, to: voter, logTerm: logTerm, index: index, context: context), term: requested)
        }
    }

    /// An answer has come. `kind` is that of the answer.
    mutating func count(vote granted: Bool, from voter: MemberID, kind: MessageKind) {
        let expected = role == .preCandidate ? MessageKind.preVoteResponse : .voteResponse
        guard role == .candidate || role == .preCandidate, kind == expected else { return }
        if granted {
            info("\(id) received \(kind.logName) from \(voter) at term \(term)")
        } else {
            info("\(id) received \(kind.logName) rejection from \(voter) at term \(term)")
        }
        tracker.record(vote: granted, of: voter)
        let counts = tracker.voteCounts
        info("\(id) has received \(counts.granted) \(kind.logName) votes and \(counts.rejected) vote rejections")
        switch tracker.voteResult {
        case .won where role == .preCandidate: becomeElectionCandidate(context: [])
        case .won: becomeLeader()
        // The same term: a refused pre-vote may carry a term that nobody leads.
        case .lost: becomeFollower(term: term, leader: .none)
        case .pending: break
        }
    }

    /// A leader was heard from within the election timeout: it stands, and nobody who asks for its place is
    /// listened to (dissertation §4.2.3), unless it asked for that itself.
    func isWithinLease(of message: borrowing Message) -> Bool {
        configuration.checkQuorum && leader != .none && electionElapsed < configuration.electionTicks
            && message.context != Self.transferContext
    }

    mutating func ignoreWithinLease(_ message: borrowing Message) {
        info(
            "\(voteText) ignored \(message.kind.logName) from \(message.from) "
                + "[logterm: \(message.logTerm), index: \(message.index)] at term \(term): lease is not expired "
                + "(remaining ticks: \(configuration.electionTicks - electionElapsed))")
    }

    private var voteText: String { "\(id) [logterm: \(log.lastTerm), index: \(log.lastIndex), vote: \(vote)]" }

    /// Answers a request for a vote or pre-vote in the message's term, which is not below ours.
    mutating func answerVote(_ message: borrowing Message) {
        let isPreVote = message.kind == .preVote
        let answer: MessageKind = isPreVote ? .preVoteResponse : .voteResponse
        let mayVote =
            vote == message.from  // asked again
            || (vote == .none && leader == .none)
            || (isPreVote && message.term > term)
        let isUpToDate = log.isUpToDate(lastIndex: message.index, term: message.logTerm)
        let candidate = "\(message.from) [logterm: \(message.logTerm), index: \(message.index)] at term \(term)"
        if mayVote, isUpToDate {
            info("\(voteText) cast \(message.kind.logName) for \(candidate)")
            // A pre-vote is granted in the term asked for, else the asker would take it for an old one.
            sendAfterAppend(Message(kind: answer, to: message.from), term: message.term)
            if !isPreVote {
                electionElapsed = 0
                vote = message.from
            }
        } else {
            info("\(voteText) rejected \(message.kind.logName) from \(candidate)")
            refuseVote(answer, to: message.from)
        }
    }

    /// A refusal tells what is committed here.
    mutating func refuseVote(_ answer: MessageKind, to candidate: MemberID) {
        let commit = log.committed
        sendAfterAppend(
            Message(kind: answer, to: candidate, logTerm: log.term(at: commit) ?? 0, commit: commit, reject: true))
    }

    /// A refused candidate may not know of a commit that takes away its need for the refuser's vote: the only
    /// voter of a new configuration would for ever ask a member that was removed and has a longer log. What the
    /// refuser has committed, and the own log has too, is committed.
    mutating func learnCommit(from refusal: borrowing Message) {
        guard refusal.commit > log.committed, refusal.logTerm > 0,
            log.matches(index: refusal.commit, term: refusal.logTerm)
        else { return }
        log.commit(through: refusal.commit)
        if hasUnappliedConfigurationChange { becomeFollower(term: term, leader: .none) }
    }
}
