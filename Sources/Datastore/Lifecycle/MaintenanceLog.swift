// What the store's maintenance has done, as log lines and metrics.

import DatastoreTracing
import KeySpace

enum MaintenanceLog {
    static func write(_ report: MaintenanceReport, _ log: Log, _ metrics: NodeMetrics, _ store: MVCCStore) {
        switch report {
        case .purged(let versions, let took):
            metrics.compaction.pauseDuration.observe(took / 1_000_000)
            metrics.compaction.keysRemoved.add(versions)
        case .purgeEnded(let longest):
            metrics.compaction.indexPauseDuration.observe(longest / 1_000_000)
        case .compacted(let revision, let hash, let took):
            metrics.compaction.totalDuration.observe(took / 1_000_000)
            metrics.compaction.lastEnd.set(WallClock.milliseconds() / 1000)
            if let hash {
                log.info(
                    "storing new hash", .uint64("hash", UInt64(hash.hash)), .int("revision", hash.revision),
                    .int("compact-revision", hash.compactRevision))
            }
            log.info(
                "finished scheduled compaction",
                [
                    .int("compact-revision", revision), .duration("took", took), .uint64("hash", UInt64(hash?.hash ?? 0)),
                    .int("current-db-size-bytes", store.size), .string("current-db-size", humanBytes(UInt64(store.size))),
                    .int("current-db-size-in-use-bytes", store.sizeInUse),
                    .string("current-db-size-in-use", humanBytes(UInt64(store.sizeInUse))),
                ])
        case .checkpointed(let bytes, let took):
            log.debug("wrote index checkpoint", [.int("bytes", bytes), .duration("took", took)])
        case .collected(let segments, let took):
            log.debug("collected garbage", [.int("segments", segments), .duration("took", took)])
        case .synced(_, let took):
            metrics.backend.commitDuration.observe(nanoseconds: took)
            // A log is written, not spilled or rebalanced; as in etcd the sync is part of the writing.
            metrics.backend.commitWriteDuration.observe(nanoseconds: took)
            metrics.backend.commitSpillDuration.observe(nanoseconds: 0)
            metrics.backend.commitRebalanceDuration.observe(nanoseconds: 0)
        case .damaged(let error):
            log.error(
                "data on the disk is damaged: what is read from this segment may be wrong; replace this member or restore a snapshot",
                .error(error.description))
        case .willRetry(let error):
            log.warn("store maintenance failed; it will be tried again", .error(error.description))
        case .failed(let error):
            log.fatal("disk error; the process ends so that nothing unsure is acknowledged", .error(error.description))
        }
    }
}
