// Changing the members: what happens when a committed change is applied (§6).

import Wire

extension RaftNode {
    /// Applies a committed change. To be called for every such entry, in order, before `didApply`.
    ///
    /// - Returns: the configuration in force now, to be remembered with the state machine.
    /// - Throws: `invalidConfigurationChange`; nothing has changed then. Every member comes to the same result.
    @discardableResult
    public mutating func applyConfigurationChange(_ change: ConfigurationChangeV2) throws(RaftError) -> ConfigurationState {
        adopt(try tracker.configuration.applying(change))
        return tracker.configuration.state
    }

    @discardableResult
    public mutating func applyConfigurationChange(_ change: ConfigurationChange) throws(RaftError) -> ConfigurationState {
        try applyConfigurationChange(ConfigurationChangeV2(change))
    }

    /// The voters and learners in force.
    public var configurationState: ConfigurationState { tracker.configuration.state }

    /// Founds a cluster: every founding member begins with the same changes, one per member, ascending by id,
    /// as the first entries of its log. They are committed by agreement beforehand, without a vote.
    public mutating func bootstrap(_ changes: [ConfigurationChange]) throws(RaftError) {
        precondition(log.lastIndex == 0 && term == 0, "raft: only an empty log can be bootstrapped")
        precondition(!changes.isEmpty, "raft: a cluster needs members")
        becomeFollower(term: 1, leader: .none)
        var members = tracker.configuration
        for change in changes {
            let sink = ByteSink()
            change.encode(to: sink)
            log.append(kind: .configurationChange, term: term, data: Array(sink.bytes))
            members = try members.applying(ConfigurationChangeV2(change))
        }
        log.commit(through: log.lastIndex)
        // In force at once, so that an election may follow; applying the entries changes nothing more.
        adopt(members)
    }

    mutating func adopt(_ next: MemberConfiguration) {
        let start = max(log.lastIndex, 1)
        var members = tracker
        members.adopt(next) { id, isLearner in
            var fresh = newProgress(id, isLearner: isLearner, next: id == self.id ? log.lastIndex + 1 : start)
            // A newcomer gets the benefit of the doubt until the quorum is checked next.
            fresh.isRecentlyActive = true
            if id == self.id { _ = fresh.acknowledge(log.stable) }
            return fresh
        }
        tracker = members
        info("\(id) switched to configuration \(next.logText)")
        guard role == .leader else { return }

        // A smaller quorum may already have more.
        if !advanceCommit() { replicateToAll() }
        if transferee != .none, !tracker.configuration.quorum.contains(transferee) { transferee = .none }
        handOverIfRemoved()
        // With a smaller quorum, reads may have their majority already.
        releaseReadsOfOnlyVoter()
    }

    private mutating func releaseReadsOfOnlyVoter() {
        guard tracker.configuration.quorum.onlyVoter == id, !reads.isEmpty else { return }
        confirmReads(context: reads.newestContext, by: id)
    }

    /// A joint configuration that was entered with `autoLeave` is left by an entry of the leader's own.
    mutating func leaveJointIfDue() {
        guard role == .leader, tracker.configuration.autoLeave, log.applied >= pendingConfigurationIndex,
            transferee == .none
        else { return }
        info("initiating automatic transition out of joint configuration \(tracker.configuration.logText)")
        pendingConfigurationIndex = log.lastIndex + 1
        log.append(kind: .configurationChangeV2, term: term, data: [])
        replicationIsDue = true
    }
}
