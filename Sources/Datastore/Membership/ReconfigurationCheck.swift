// --strict-reconfig-check: refuses a change of the members that would cost the cluster its quorum. Rules and
// words of etcd 3.7.

import KeySpace
import Wire

/// A pure function of who is there and who can be reached.
struct ReconfigurationCheck {
    let view: ClusterView
    let local: MemberID
    /// Has been reachable for five seconds; the local member always is.
    let isConnected: (MemberID) -> Bool

    private var voters: [MemberDescription] { view.sortedMembers.filter { !$0.isLearner } }
    /// A member has started when it has said its name.
    private func started(_ members: [MemberDescription]) -> Int { members.count { !$0.name.isEmpty } }
    private func connected(_ members: [MemberDescription]) -> Int { members.count { $0.id == local || isConnected($0.id) } }
    private static func quorum(_ count: Int) -> Int { count / 2 + 1 }

    func add(isLearner: Bool) throws(CallError) {
        let voters = voters
        if !isLearner {
            let started = started(voters)
            // One member may always get a second one, or no cluster could grow.
            let isFirst = started == 1 && voters.count == 1
            guard isFirst || started >= Self.quorum(voters.count + 1) else { throw .notEnoughStartedMembers }
        }
        guard voters.count == 1 || connected(voters) >= Self.quorum(voters.count + 1) else { throw .unhealthyCluster }
    }

    func promote(_ id: MemberID) throws(CallError) {
        // The learner was found in step with the leader, so it has started.
        let others = voters.filter { $0.id != id }
        guard started(others) + 1 >= Self.quorum(others.count + 1) else { throw .notEnoughStartedMembers }
    }

    func remove(_ id: MemberID) throws(CallError) {
        if let member = view.members[id], member.isLearner { return }
        let rest = voters.filter { $0.id != id }
        guard started(rest) >= Self.quorum(rest.count) else { throw .notEnoughStartedMembers }
        // Who is down already is not part of the quorum.
        if id != local, !isConnected(id) { return }
        let voters = voters
        guard connected(voters) - 1 >= 1 + (voters.count - 1) / 2 else { throw .unhealthyCluster }
    }
}
