// Handing leadership over (dissertation §3.10): the transferee is brought up to date, then told to campaign.

import Wire

extension RaftNode {
    /// Hands over to `target`, or asks the leader to. Proposals are dropped until it is done or has taken an
    /// election timeout.
    public mutating func transferLeadership(to target: MemberID) {
        switch role {
        case .leader: beginTransfer(to: target)
        case .follower where leader != .none: send(Message(kind: .transferLeader, to: leader, from: target))
        default: info("\(id) no leader at term \(term); dropping leader transfer msg")
        }
    }

    /// Whom leadership is being handed over to.
    public var transferTarget: MemberID? { transferee == .none ? nil : transferee }

    private mutating func beginTransfer(to target: MemberID) {
        guard let place = tracker.place(of: target) else { return }
        if tracker.progress[place].isLearner || !tracker.configuration.quorum.contains(target) {
            if logsDebug {
                debug("\(id) is learner. Ignored transferring leadership")
            }
            return
        }
        if transferee == target {
            info("\(id) [term \(term)] transfer leadership to \(target) is in progress, ignores request to same node \(target)")
            return
        }
        if transferee != .none {
            info("\(id) [term \(term)] abort previous transferring leadership to \(transferee)")
            transferee = .none
        }
        if target == id {
            if logsDebug {
                debug("\(id) is already leader. Ignored transferring leadership to self")
            }
            return
        }
        info("\(id) [term \(term)] starts to transfer leadership to \(target)")
        // The transfer has one election timeout from now.
        electionElapsed = 0
        transferee = target
        if tracker.progress[place].match == log.lastIndex {
            send(Message(kind: .timeoutNow, to: target))
            info("\(id) sends MsgTimeoutNow to \(target) immediately as \(target) already has up-to-date log")
        } else {
            sendAppend(to: place, evenEmpty: true)
        }
    }

    /// A leader that is no voter any more goes on until another has taken over (§6): falling silent at once
    /// could leave voters behind that do not know of the commit which removed it, and that still ask for its vote.
    mutating func handOverIfRemoved() {
        guard role == .leader, configuration.handsOverOnRemoval, transferee == .none,
            !tracker.configuration.quorum.contains(id)
        else { return }
        let voters = tracker.progress.filter { tracker.configuration.quorum.incoming.contains($0.id) }
        let active = voters.filter(\.isRecentlyActive)
        let candidates = active.isEmpty ? voters : active
        // Any of the furthest: if it does not take over in time, another may be tried.
        let furthest = candidates.map(\.match).max() ?? 0
        if let target = candidates.filter({ $0.match == furthest }).randomElement(using: &random) {
            beginTransfer(to: target.id)
        }
    }
}
