// Changing roles, and the passing of time in each.

import Wire

extension RaftNode {
    mutating func becomeFollower(term: Term, leader: MemberID) {
        reset(term: term)
        role = .follower
        self.leader = leader
        info("\(id) became follower at term \(term)")
    }

    /// Asks whether an election could be won, without disturbing anybody: neither term nor vote change
    /// (dissertation §9.6).
    mutating func becomePreCandidate() {
        precondition(role != .leader, "raft: a leader cannot become pre-candidate")
        role = .preCandidate
        leader = .none
        ownVote = .none
        tracker.resetVotes()
        info("\(id) became pre-candidate at term \(term)")
    }

    mutating func becomeCandidate() {
        precondition(role != .leader, "raft: a leader cannot become candidate")
        reset(term: term + 1)
        role = .candidate
        vote = id
        ownVote = .unwritten
        info("\(id) became candidate at term \(term)")
    }

    mutating func becomeLeader() {
        precondition(role == .candidate, "raft: only a candidate becomes leader")
        reset(term: term)
        role = .leader
        leader = id
        if let own = tracker.place(of: id) {
            tracker.progress[own].becomeReplicate()
            tracker.progress[own].isRecentlyActive = true
        }
        // A change that an earlier leader proposed may still be uncommitted in the log.
        pendingConfigurationIndex = log.lastIndex
        // An entry of the own term: only it can commit those before it (§5.4.2).
        log.append(term: term, data: [])
        replicationIsDue = true
        info("\(id) became leader at term \(term)")
    }

    private mutating func reset(term: Term) {
        if self.term != term {
            self.term = term
            vote = .none
        }
        leader = .none
        electionElapsed = 0
        heartbeatElapsed = 0
        randomizedElectionTicks =
            configuration.electionTicks + Int.random(in: 0..<configuration.electionTicks, using: &random)
        transferee = .none
        ownVote = .none
        pendingConfigurationIndex = 0
        uncommittedBytes = 0
        reads.removeAll()
        earlyReads.removeAll()
        replicationIsDue = false
        tracker.resetVotes()
        for place in tracker.progress.indices {
            let known = tracker.progress[place]
            tracker.progress[place] = newProgress(known.id, isLearner: known.isLearner, next: log.lastIndex + 1)
            // Only what is durable counts, for oneself too.
            if known.id == id { _ = tracker.progress[place].acknowledge(log.stable) }
        }
    }

    func newProgress(_ id: MemberID, isLearner: Bool, next: LogIndex) -> Progress {
        Progress(
            id: id, next: next, isLearner: isLearner,
            inflight: InflightWindow(
                maxMessages: configuration.maxInflightMessages, maxBytes: configuration.maxInflightBytes))
    }

    /// One unit of time has passed.
    public mutating func tick() {
        if role == .leader {
            tickLeader()
        } else {
            electionElapsed += 1
            if isPromotable, electionElapsed >= randomizedElectionTicks {
                electionElapsed = 0
                startElection(.timeout)
            }
        }
    }

    private mutating func tickLeader() {
        heartbeatElapsed += 1
        electionElapsed += 1
        if electionElapsed >= configuration.electionTicks {
            electionElapsed = 0
            if configuration.checkQuorum { checkQuorum() }
            // A transfer that takes an election timeout has failed; proposals must go on.
            if role == .leader {
                transferee = .none
                leaveJointIfDue()
                handOverIfRemoved()
            }
        }
        if role == .leader, heartbeatElapsed >= configuration.heartbeatTicks {
            heartbeatElapsed = 0
            sendHeartbeats(context: reads.newestContext)
        }
    }

    /// A leader that a quorum has not answered for an election timeout may have been replaced (§6.2 of the
    /// dissertation): it must not go on to take in proposals and lease reads.
    private mutating func checkQuorum() {
        if let own = tracker.place(of: id) { tracker.progress[own].isRecentlyActive = true }
        if !tracker.isQuorumActive {
            warn("\(id) stepped down to follower since quorum is not active")
            becomeFollower(term: term, leader: .none)
        }
        for place in tracker.progress.indices where tracker.progress[place].id != id {
            tracker.progress[place].isRecentlyActive = false
        }
    }

    /// Follows nobody until a leader speaks, so that the vote is free before the lease ends.
    public mutating func forgetLeader() {
        guard role == .follower, leader != .none, configuration.readOnlyOption == .safe else { return }
        info("\(id) forgetting leader \(leader) at term \(term)")
        leader = .none
    }
}
