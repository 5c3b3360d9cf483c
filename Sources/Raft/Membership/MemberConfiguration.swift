// The members in force: who votes, who only learns, and what a joint change will make of them.

import Wire

struct MemberConfiguration: Equatable, Sendable {
    var quorum = JointQuorum()
    var learners = MemberSet()
    /// Voters of the outgoing half that become learners when the joint configuration is left: nobody may be
    /// voter and learner at once.
    var learnersNext = MemberSet()
    /// Leave the joint configuration as soon as it is applied.
    var autoLeave = false

    var isJoint: Bool { quorum.isJoint }

    init() {}

    /// - Throws: `invalidConfigurationChange` if the lists contradict each other.
    init(_ state: ConfigurationState) throws(RaftError) {
        quorum.incoming = MemberSet(state.voters)
        quorum.outgoing = MemberSet(state.votersOutgoing)
        learners = MemberSet(state.learners)
        learnersNext = MemberSet(state.learnersNext)
        autoLeave = state.autoLeave
        if let problem { throw .invalidConfigurationChange(problem) }
    }

    var state: ConfigurationState {
        ConfigurationState(
            voters: quorum.incoming.ids, learners: learners.ids, votersOutgoing: quorum.outgoing.ids,
            learnersNext: learnersNext.ids, autoLeave: autoLeave)
    }

    /// Everybody whom a leader replicates to.
    var members: MemberSet { quorum.voters.union(learners).union(learnersNext) }

    /// What is wrong with it, if anything.
    var problem: String? {
        for learner in learners where quorum.contains(learner) {
            return "\(learner) is in learners and voters"
        }
        for next in learnersNext where !quorum.outgoing.contains(next) {
            return "\(next) is in learnersNext, but not outgoing"
        }
        for next in learnersNext where quorum.incoming.contains(next) || learners.contains(next) {
            return "\(next) is in learnersNext, but also in voters or learners"
        }
        if !isJoint, !learnersNext.isEmpty { return "learnersNext must be empty when not joint" }
        if !isJoint, autoLeave { return "autoLeave must be false when not joint" }
        if quorum.incoming.isEmpty, isJoint { return "no incoming voters in a joint configuration" }
        if members.contains(.none) { return "0 is not a member" }
        if members.count > Limits.maxMembers { return "more than \(Limits.maxMembers) members" }
        return nil
    }

    /// As etcd's logs show it.
    var logText: String {
        var text = "voters=" + quorum.incoming.logText
        if isJoint { text += "&&" + quorum.outgoing.logText }
        if !learners.isEmpty { text += " learners=" + learners.logText }
        if !learnersNext.isEmpty { text += " learners_next=" + learnersNext.logText }
        if autoLeave { text += " autoleave" }
        return text
    }
}
