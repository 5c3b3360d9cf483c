// How a committed change turns one configuration into the next (§6 of the paper, §4.3 of the dissertation).

import Wire

extension MemberConfiguration {
    /// The configuration after `change`.
    func applying(_ change: ConfigurationChangeV2) throws(RaftError) -> MemberConfiguration {
        if change.leavesJoint { return try leavingJoint() }
        if let autoLeave = change.entersJoint { return try enteringJoint(change.changes, autoLeave: autoLeave) }
        return try changingOneVoter(change.changes)
    }

    /// Without a joint configuration, old and new majorities overlap only if one voter changes.
    private func changingOneVoter(_ changes: [ConfigurationChangeV2.Single]) throws(RaftError) -> MemberConfiguration {
        if isJoint { throw .invalidConfigurationChange("can't apply simple config change in joint config") }
        var next = self
        try next.apply(changes)
        precondition(
            quorum.incoming.symmetricDifferenceCount(next.quorum.incoming) <= 1,
            "raft: one change made \(logText) to \(next.logText)")
        return try next.checked()
    }

    private func enteringJoint(
        _ changes: [ConfigurationChangeV2.Single], autoLeave: Bool
    ) throws(RaftError) -> MemberConfiguration {
        if isJoint { throw .invalidConfigurationChange("config is already joint") }
        if quorum.incoming.isEmpty { throw .invalidConfigurationChange("can't make a zero-voter config joint") }
        var next = self
        next.quorum.outgoing = quorum.incoming
        try next.apply(changes)
        next.autoLeave = autoLeave
        return try next.checked()
    }

    private func leavingJoint() throws(RaftError) -> MemberConfiguration {
        guard isJoint else { throw .invalidConfigurationChange("can't leave a non-joint config") }
        var next = self
        next.learners = learners.union(learnersNext)
        next.learnersNext = MemberSet()
        next.quorum.outgoing = MemberSet()
        next.autoLeave = false
        return try next.checked()
    }

    private mutating func apply(_ changes: [ConfigurationChangeV2.Single]) throws(RaftError) {
        // Member 0 stands for a change that the application refused: it changes nothing.
        for change in changes where change.member != .none {
            switch change.kind {
            case .addVoter: addVoter(change.member)
            case .addLearner: addLearner(change.member)
            case .remove: remove(change.member)
            case .update: break
            }
        }
        if quorum.incoming.isEmpty { throw .invalidConfigurationChange("removed all voters") }
    }

    private mutating func addVoter(_ id: MemberID) {
        learners.remove(id)
        learnersNext.remove(id)
        quorum.incoming.insert(id)
    }

    private mutating func addLearner(_ id: MemberID) {
        quorum.incoming.remove(id)
        if quorum.outgoing.contains(id) {
            learnersNext.insert(id)
        } else {
            learners.insert(id)
        }
    }

    private mutating func remove(_ id: MemberID) {
        quorum.incoming.remove(id)
        learners.remove(id)
        learnersNext.remove(id)
    }

    private func checked() throws(RaftError) -> MemberConfiguration {
        if let problem { throw .invalidConfigurationChange(problem) }
        return self
    }
}

extension ConfigurationChangeV2 {
    /// Without changes it leaves a joint configuration.
    var leavesJoint: Bool { transition == .auto && changes.isEmpty }

    /// Whether to leave the joint configuration automatically, if one is entered at all.
    var entersJoint: Bool? {
        if transition == .auto, changes.count <= 1 { return nil }
        return transition != .jointExplicit
    }
}
