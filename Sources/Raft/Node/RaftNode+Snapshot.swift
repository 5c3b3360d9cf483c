// Snapshots on the follower's side (§7).

import Wire

extension RaftNode {
    mutating func takeSnapshot(_ message: borrowing Message) throws(RaftError) {
        guard let snapshot = message.snapshot else { throw .malformed("MsgSnap without a snapshot") }
        let metadata = snapshot.metadata
        let point = "[index: \(metadata.index), term: \(metadata.term)]"
        if try restore(snapshot) {
            info("\(id) [commit: \(log.committed)] restored snapshot \(point)")
            sendAfterAppend(Message(kind: .appendResponse, to: message.from, index: log.lastIndex))
        } else {
            info("\(id) [commit: \(log.committed)] ignored snapshot \(point)")
            sendAfterAppend(Message(kind: .appendResponse, to: message.from, index: log.committed))
        }
    }

    /// False if the log has all that the snapshot stands for.
    private mutating func restore(_ snapshot: Snapshot) throws(RaftError) -> Bool {
        let metadata = snapshot.metadata
        if metadata.index <= log.committed { return false }
        // It need not name this member: the entry that adds it may come after. It does not campaign until then.
        let members = try MemberConfiguration(metadata.configuration)
        if log.matches(index: metadata.index, term: metadata.term) {
            info(
                "\(id) [commit: \(log.committed), lastindex: \(log.lastIndex), lastterm: \(log.lastTerm)] fast-forwarded "
                    + "commit to snapshot [index: \(metadata.index), term: \(metadata.term)]")
            log.commit(through: metadata.index)
            return false
        }
        info("\(log.logText) starts to restore snapshot [index: \(metadata.index), term: \(metadata.term)]")
        log.restore(snapshot)
        tracker.removeAll()
        adopt(members)
        info(
            "\(id) [commit: \(log.committed), lastindex: \(log.lastIndex), lastterm: \(log.lastTerm)] restored snapshot "
                + "[index: \(metadata.index), term: \(metadata.term)]")
        return true
    }
}

extension RaftLog {
    /// As etcd's logs show it.
    var logText: String {
        "log [committed=\(committed), applied=\(applied), applying=\(applying), unstable.offset=\(stable + 1), "
            + "unstable.offsetInProgress=\(offered + 1), len(unstable.Entries)=\(lastIndex - stable)]"
    }
}
