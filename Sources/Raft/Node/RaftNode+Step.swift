// Messages from other members: first what terms say about them, then what the role does with them.

import Wire

extension RaftNode {
    /// Takes a message from another member.
    ///
    /// - Throws: `localMessage`, `unknownMember`, `malformed`, `proposalDropped`, `readDropped`. The message was
    ///   ignored then; nothing that a member sends can do more harm than that.
    public mutating func step(_ message: Message) throws(RaftError) {
        if message.kind.isLocal { throw .localMessage(message.kind) }
        if message.kind.isResponse, message.kind != .readIndexResponse, tracker.place(of: message.from) == nil {
            throw .unknownMember(message.from)
        }
        try checkShape(of: message)
        guard try settleTerm(of: message) else { return }

        switch message.kind {
        case .vote, .preVote: answerVote(message)
        case .propose: try takeForwardedProposal(message)
        case .readIndex: try takeForwardedRead(message)
        case .transferLeader: transferLeadership(to: message.from)
        default:
            switch role {
            case .leader: try stepLeader(message)
            case .follower: try stepFollower(message)
            case .candidate, .preCandidate: try stepCandidate(message)
            }
        }
    }

    /// Refuses what no correct member sends.
    private func checkShape(of message: borrowing Message) throws(RaftError) {
        // What is passed on keeps its first sender, and may come back to it.
        let isPassedOn = message.kind.isTermless || message.kind == .transferLeader
        if message.from == .none || (message.from == id && !isPassedOn) {
            throw .malformed("\(message.kind.logName) from \(message.from)")
        }
        if message.to != .none, message.to != id { throw .malformed("\(message.kind.logName) for \(message.to)") }
        if message.term == 0, !isPassedOn {
            throw .malformed("\(message.kind.logName) without a term")
        }
        switch message.kind {
        case .append:
            var before = (index: message.index, term: message.logTerm)
            guard message.logTerm <= message.term, message.index < .max - UInt64(message.entries.count) else {
                throw .malformed("MsgApp at \(message.index)")
            }
            for entry in message.entries {
                guard entry.index == before.index + 1, entry.term >= before.term, entry.term <= message.term else {
                    throw .malformed("MsgApp with entry \(entry.index) of term \(entry.term) after \(before)")
                }
                before = (entry.index, entry.term)
            }
        case .snapshot:
            guard let metadata = message.snapshot?.metadata, metadata.index > 0, metadata.term > 0,
                metadata.term <= message.term, metadata.index < .max
            else { throw .malformed("MsgSnap without a valid snapshot") }
        default: break
        }
    }

    /// Brings the own term up to the message's, or turns the message away. True if it is to be handled.
    private mutating func settleTerm(of message: borrowing Message) throws(RaftError) -> Bool {
        if message.term == 0 || message.term == term { return true }
        return message.term > term ? try settleHigherTerm(of: message) : settleLowerTerm(of: message)
    }

    private mutating func settleHigherTerm(of message: borrowing Message) throws(RaftError) -> Bool {
        switch message.kind {
        case .vote, .preVote:
            if isWithinLease(of: message) {
                ignoreWithinLease(message)
                return false
            }
            if message.kind == .preVote { return true }
        case .preVoteResponse where !message.reject:
            // Granted in the term asked for, which is ours once the election starts.
            return true
        default: break
        }
        info(
            "\(id) [term: \(term)] received a \(message.kind.logName) message with higher term from "
                + "\(message.from) [term: \(message.term)]")
        let speaksAsLeader =
            message.kind == .append || message.kind == .heartbeat || message.kind == .snapshot
        becomeFollower(term: message.term, leader: speaksAsLeader ? message.from : .none)
        return true
    }

    private mutating func settleLowerTerm(of message: borrowing Message) -> Bool {
        if configuration.checkQuorum || configuration.preVote,
            message.kind == .heartbeat || message.kind == .append
        {
            // A member that was cut off and has a higher term gets no vote from those that hear the leader,
            // and would ignore that leader for good. This answer makes the leader step down and the term known.
            sendAfterAppend(Message(kind: .appendResponse, to: message.from))
        } else if message.kind == .preVote {
            // The asker may be stuck at a term that it can only learn of from us.
            info(
                "\(id) [logterm: \(log.lastTerm), index: \(log.lastIndex), vote: \(vote)] rejected MsgPreVote from "
                    + "\(message.from) [logterm: \(message.logTerm), index: \(message.index)] at term \(term)")
            refuseVote(.preVoteResponse, to: message.from)
        } else {
            info(
                "\(id) [term: \(term)] ignored a \(message.kind.logName) message with lower term from "
                    + "\(message.from) [term: \(message.term)]")
        }
        return false
    }

    private mutating func stepLeader(_ message: Message) throws(RaftError) {
        switch message.kind {
        case .appendResponse: try takeAppendResponse(message)
        case .heartbeatResponse: takeHeartbeatResponse(message)
        // A second leader of the term cannot be; what looks like one is not listened to.
        case .append, .heartbeat, .snapshot: throw .malformed("\(message.kind.logName) of term \(term), which is ours")
        default: break
        }
    }

    private mutating func stepFollower(_ message: Message) throws(RaftError) {
        switch message.kind {
        case .append:
            hear(leader: message.from)
            takeAppend(message)
        case .heartbeat:
            hear(leader: message.from)
            try takeHeartbeat(message)
        case .snapshot:
            hear(leader: message.from)
            try takeSnapshot(message)
        case .timeoutNow:
            info("\(id) [term \(term)] received MsgTimeoutNow from \(message.from) and starts an election to get leadership.")
            // No pre-vote: the leader itself wants to be replaced.
            startElection(.transfer)
        case .readIndexResponse:
            guard message.entries.count == 1 else { throw .malformed("MsgReadIndexResp without its context") }
            guard readStates.count < Limits.maxPendingReads else { throw .readDropped }
            readStates.append(ReadState(index: message.index, context: message.entries[0].data))
        default: break
        }
    }

    private mutating func hear(leader: MemberID) {
        electionElapsed = 0
        self.leader = leader
    }

    private mutating func stepCandidate(_ message: Message) throws(RaftError) {
        switch message.kind {
        case .append, .heartbeat, .snapshot:
            // Somebody else won this term.
            becomeFollower(term: message.term, leader: message.from)
            try stepFollower(message)
        case .voteResponse, .preVoteResponse:
            if message.reject { learnCommit(from: message) }
            count(vote: !message.reject, from: message.from, kind: message.kind)
        case .timeoutNow:
            if logsDebug {
                debug("\(id) [term \(term) state \(role)] ignored MsgTimeoutNow from \(message.from)")
            }
        default: break
        }
    }
}
