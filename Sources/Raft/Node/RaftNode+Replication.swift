// Log replication (§5.3): what a leader sends, what a follower makes of it, what the leader learns from that.

import Wire

extension RaftNode {
    // The leader's side

    /// Sends everybody what they lack.
    mutating func replicateToAll() {
        replicationIsDue = false
        for place in tracker.progress.indices where tracker.progress[place].id != id { replicate(to: place) }
    }

    /// Sends a follower all it lacks, as far as its window allows, or at least a newer commit index.
    mutating func replicate(to place: Int) {
        while sendAppend(to: place, evenEmpty: false) {}
        if tracker.progress[place].canBumpCommit(log.committed) { sendAppend(to: place, evenEmpty: true) }
    }

    /// One message, if the follower's state allows. True if it carried entries or a snapshot.
    @discardableResult
    mutating func sendAppend(to place: Int, evenEmpty: Bool) -> Bool {
        let follower = tracker.progress[place]
        if follower.isPaused { return false }
        let previous = follower.next - 1
        guard let previousTerm = log.term(at: previous) else { return sendSnapshot(to: place) }
        var (entries, bytes): ([Entry], Int) = ([], 0)
        if follower.state != .replicate || !follower.inflight.isFull {
            (entries, bytes) = log.entries(from: follower.next, maxBytes: configuration.maxSizePerMessage)
        }
        if entries.isEmpty, !evenEmpty { return false }
        let count = entries.count
        send(
            Message(
                kind: .append, to: follower.id, logTerm: previousTerm, index: previous, entries: entries,
                commit: log.committed))
        tracker.progress[place].didSend(entries: count, bytes: bytes)
        tracker.progress[place].didSend(commit: log.committed)
        return count > 0
    }

    private mutating func sendSnapshot(to place: Int) -> Bool {
        let follower = tracker.progress[place]
        guard follower.isRecentlyActive else {
            if logsDebug {
                debug("ignore sending snapshot to \(follower.id) since it is not recently active")
            }
            return false
        }
        let snapshot = log.snapshot
        let metadata = snapshot.metadata
        if logsDebug {
            debug(
                "\(id) [firstindex: \(log.firstIndex), commit: \(log.committed)] sent snapshot[index: \(metadata.index), "
                    + "term: \(metadata.term)] to \(follower.id) [\(follower.logText)]")
        }
        tracker.progress[place].becomeSnapshot(metadata.index)
        if logsDebug {
            debug("\(id) paused sending replication messages to \(follower.id) [\(tracker.progress[place].logText)]")
        }
        send(Message(kind: .snapshot, to: follower.id, snapshot: snapshot))
        return true
    }

    mutating func sendHeartbeats(context: [UInt8]) {
        for follower in tracker.progress where follower.id != id {
            // Not beyond what it is known to have: it may not have the rest of what is committed.
            send(
                Message(
                    kind: .heartbeat, to: follower.id, commit: min(follower.match, log.committed), context: context))
        }
    }

    /// The leader's own log is one of the quorum's.
    mutating func acknowledgeOwnEntries() {
        guard let own = tracker.place(of: id), tracker.progress[own].acknowledge(log.stable) else { return }
        advanceCommit()
    }

    /// Commits what a quorum has, if the last of it is of this term: an older entry on a quorum may still be
    /// replaced (§5.4.2).
    @discardableResult
    mutating func advanceCommit() -> Bool {
        let index = tracker.committedIndex
        guard index > log.committed, index <= log.lastIndex, log.term(at: index) == term else { return false }
        log.commit(through: index)
        replicationIsDue = true
        answerEarlyReads()
        return true
    }

    var hasCommittedInTerm: Bool { log.term(at: log.committed) == term }

    mutating func takeAppendResponse(_ message: borrowing Message) throws(RaftError) {
        guard let place = tracker.place(of: message.from) else { throw .unknownMember(message.from) }
        tracker.progress[place].isRecentlyActive = true
        if message.reject {
            takeAppendRejection(message, place: place)
            return
        }
        guard message.index <= log.lastIndex else {
            throw .malformed("MsgAppResp for \(message.index), the last index is \(log.lastIndex)")
        }
        let progress = tracker.progress[place]
        let isNews = tracker.progress[place].acknowledge(message.index)
        guard isNews || (progress.match == message.index && progress.state == .probe) else { return }
        switch progress.state {
        case .probe: tracker.progress[place].becomeReplicate()
        case .snapshot where tracker.progress[place].match + 1 >= log.firstIndex:
            if logsDebug {
                debug(
                    "\(id) recovered from needing snapshot, resumed sending replication messages to \(message.from) "
                        + "[\(tracker.progress[place].logText)]")
            }
            // The follower has what was compacted, by this snapshot or another way.
            tracker.progress[place].becomeProbe()
            tracker.progress[place].becomeReplicate()
        case .snapshot: break
        case .replicate: tracker.progress[place].freeInflight(through: message.index)
        }
        if !advanceCommit() { replicate(to: place) }
        if message.from == transferee, tracker.progress[place].match == log.lastIndex {
            info("\(id) sent MsgTimeoutNow to \(message.from) after received MsgAppResp")
            send(Message(kind: .timeoutNow, to: message.from))
        }
    }

    private mutating func takeAppendRejection(_ message: borrowing Message, place: Int) {
        if logsDebug {
            debug(
                "\(id) received MsgAppResp(rejected, hint: (index \(message.rejectHint), term \(message.logTerm))) from "
                    + "\(message.from) for index \(message.index)")
        }
        // The follower named the last entry of its own that can agree with us, by its term. Ours may end
        // that term earlier: whole terms are skipped, instead of one entry per round.
        var hint = message.rejectHint
        if message.logTerm > 0 { hint = log.lastEntry(notAfter: hint, notAboveTerm: message.logTerm).index }
        guard tracker.progress[place].decrease(rejected: message.index, hint: hint) else { return }
        if logsDebug {
            debug("\(id) decreased progress of \(message.from) to [\(tracker.progress[place].logText)]")
        }
        if tracker.progress[place].state == .replicate { tracker.progress[place].becomeProbe() }
        sendAppend(to: place, evenEmpty: true)
    }

    mutating func takeHeartbeatResponse(_ message: borrowing Message) {
        guard let place = tracker.place(of: message.from) else { return }
        tracker.progress[place].isRecentlyActive = true
        tracker.progress[place].resumeFlow()
        let follower = tracker.progress[place]
        // A message or its answer may have been lost; an empty one finds out.
        if follower.match < log.lastIndex || follower.state == .probe { sendAppend(to: place, evenEmpty: true) }
        if configuration.readOnlyOption == .safe, !message.context.isEmpty {
            confirmReads(context: message.context, by: message.from)
        }
    }

    /// A message to the member could not be delivered.
    public mutating func reportUnreachable(_ member: MemberID) {
        guard role == .leader, let place = tracker.place(of: member) else { return }
        // What was sent ahead is probably lost.
        if tracker.progress[place].state == .replicate { tracker.progress[place].becomeProbe() }
        if logsDebug {
            debug("\(id) failed to send message to \(member) because it is unreachable [\(tracker.progress[place].logText)]")
        }
    }

    /// How the delivery of a snapshot ended. Without such a report a follower in need of one gets nothing more.
    public mutating func reportSnapshot(_ member: MemberID, succeeded: Bool) {
        guard role == .leader, let place = tracker.place(of: member),
            tracker.progress[place].state == .snapshot
        else { return }
        if !succeeded { tracker.progress[place].abandonSnapshot() }
        tracker.progress[place].becomeProbe()
        if logsDebug {
            debug(
                "\(id) snapshot \(succeeded ? "succeeded" : "failed"), resumed sending replication messages to \(member) "
                    + "[\(tracker.progress[place].logText)]")
        }
        // After success its answer comes soon; after failure the next heartbeat's answer will do.
        tracker.progress[place].pauseFlow()
    }

    // The follower's side

    mutating func takeAppend(_ message: borrowing Message) {
        if message.index < log.committed {
            // Old news: all of it is there already.
            sendAfterAppend(Message(kind: .appendResponse, to: message.from, index: log.committed))
            return
        }
        if let agreed = log.append(message.entries, after: message.index, term: message.logTerm) {
            log.commit(through: min(message.commit, agreed))
            sendAfterAppend(Message(kind: .appendResponse, to: message.from, index: agreed))
            return
        }
        if logsDebug {
            debug(
                "\(id) [logterm: \(log.term(at: message.index) ?? 0), index: \(message.index)] rejected MsgApp "
                    + "[logterm: \(message.logTerm), index: \(message.index)] from \(message.from)")
        }
        let hint = log.lastEntry(notAfter: min(message.index, log.lastIndex), notAboveTerm: message.logTerm)
        sendAfterAppend(
            Message(
                kind: .appendResponse, to: message.from, logTerm: hint.term, index: message.index, reject: true,
                rejectHint: hint.index))
    }

    mutating func takeHeartbeat(_ message: borrowing Message) throws(RaftError) {
        // A leader tells no more than we confirmed to have.
        guard message.commit <= log.lastIndex else {
            throw .malformed(
                "MsgHeartbeat commits \(message.commit), the last index is \(log.lastIndex). "
                    + "Was the raft log corrupted, truncated, or lost?")
        }
        log.commit(through: message.commit)
        send(Message(kind: .heartbeatResponse, to: message.from, context: message.context))
    }
}
