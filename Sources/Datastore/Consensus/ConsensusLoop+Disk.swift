// What the consensus thread writes: the log before anything is acknowledged, and how far it is no longer needed.

import DatastoreMetrics
import KeySpace
import DatastoreTracing
import Glibc
import Raft
import Storage
import Wire

extension ConsensusLoop {
    /// Makes entries and state durable: what a `Ready` names is acknowledged only after this.
    func persist(_ ready: Ready) {
        guard !ready.entriesToAppend.isEmpty || ready.hardState != nil else { return }
        let metrics = node.metrics.wal
        let began = monotonicNow()
        retryWhileDiskIsFull("write-ahead log") {
            try raft.withEntries(ready.entriesToAppend) { entries in
                try wal.append(hardState: ready.hardState, entries: entries)
            }
        }
        let appended = monotonicNow()
        metrics.writeDuration.observe(nanoseconds: appended - began)
        guard ready.mustSync else {
            rounds.wrote(appended: appended, fsynced: 0)
            return metrics.writtenBytes.set(wal.writtenBytes)
        }
        var took: UInt64 = 0
        retryWhileDiskIsFull("write-ahead log") { took = try wal.sync() }
        metrics.fsyncDuration.observe(nanoseconds: took)
        rounds.wrote(appended: appended, fsynced: monotonicNow())
        metrics.writtenBytes.set(wal.writtenBytes)
        if took > 1_000_000_000 {
            log.warn("slow fdatasync", .duration("took", took), .duration("expected-duration", 1_000_000_000 as UInt64))
        }
    }

    /// A full disk is waited out, and so is a lack of file descriptors: nothing has been acknowledged, reads go on.
    /// Any other error of the disk ends the process, because nobody can say what a failed sync has kept.
    func retryWhileDiskIsFull(_ what: String, _ body: () throws -> Void) {
        var hasSaidSo = false
        while true {
            do {
                try body()
                if hasSaidSo { log.info("the shortage is over; writes go on", .string("what", what)) }
                return
            } catch let error as StorageError where error.isShortage {
                if !hasSaidSo {
                    hasSaidSo = true
                    let message =
                        error.isNoSpace
                        ? "no space left on the disk; writes wait until there is"
                        : "no file descriptor left; writes wait until there is one"
                    log.warn(message, .string("what", what), .error(error.description))
                }
                // Callers are told after the request time-out; those that hand in more meet the admission limits.
                expireWaiters(monotonicNow())
                if taken.isStopping { log.fatal("stopped while writes had to wait", .string("what", what), .error(error.description)) }
                usleep(UInt32(ServerLimits.diskFullRetryNanoseconds / 1000))
            } catch {
                log.fatal("disk error; the process ends so that nothing unsure is acknowledged", .string("what", what), .error("\(error)"))
            }
        }
    }

    // MARK: Log compaction

    /// Marks how far the log is no longer needed, every `--snapshot-count` entries: the store itself is the
    /// snapshot, so only a record in the log is written.
    func snapshotIfDue() {
        guard applied - lastSnapshotIndex > node.configuration.raft.snapshotCount || wantsSnapshot else { return }
        // Entries whose effects are not durable in the store are still needed.
        let durable = min(applied, node.store.durableIndex)
        guard durable > lastSnapshotIndex, wantsSnapshot || durable - lastSnapshotIndex > node.configuration.raft.snapshotCount / 2 else { return }
        log.info(
            "triggering snapshot", .string("local-member-id", node.memberID.description),
            .uint64("local-member-applied-index", applied), .uint64("local-member-snapshot-index", lastSnapshotIndex),
            .uint64("local-member-snapshot-count", node.configuration.raft.snapshotCount), .bool("snapshot-forced", wantsSnapshot))
        wantsSnapshot = false
        guard let term = raft.term(at: durable) else { return }
        let metadata = SnapshotMetadata(index: durable, term: term, configuration: raft.configurationState)
        retryWhileDiskIsFull("write-ahead log") {
            let began = monotonicNow()
            try wal.saveSnapshot(metadata)
            // The record in the log stands for etcd's file: written and synced in one, with nothing to be encoded.
            let took = monotonicNow() &- began
            node.metrics.snapshotFiles.marshalDuration.observe(nanoseconds: 0)
            node.metrics.snapshotFiles.fsyncDuration.observe(nanoseconds: took)
            node.metrics.snapshotFiles.saveDuration.observe(nanoseconds: took)
            node.metrics.wal.fsyncDuration.observe(nanoseconds: took)
            try wal.release(through: durable)
        }
        lastSnapshotIndex = durable
        log.info("saved snapshot to disk", .uint64("snapshot-index", durable))
        raft.recordSnapshot(Snapshot(metadata: metadata))
        let kept = node.configuration.raft.snapshotCatchUpEntries
        if durable > kept { raft.compactLog(through: durable - kept) }
    }

    /// Alone, the log in memory is cut behind what is durable in the store, whatever the files keep. A member that joins
    /// later is sent the store.
    func forgetAppliedEntries() {
        guard isAlone, appliedEntryBytes > ServerLimits.appliedEntryBytesKeptAlone else { return }
        // The term of the next snapshot record is looked up here, so the entries behind it stay.
        let durable = min(applied, node.store.durableIndex)
        guard durable > forgottenIndex, let term = raft.term(at: durable) else { return }
        forgottenIndex = durable
        appliedEntryBytes = 0
        raft.recordSnapshot(
            Snapshot(metadata: SnapshotMetadata(index: durable, term: term, configuration: raft.configurationState)))
        raft.compactLog(through: durable)
    }
}
