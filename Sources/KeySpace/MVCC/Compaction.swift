// Compaction: forgetting history. Logical at once, physical in slices by the maintenance thread.

import Storage
import Wire

/// How far compaction has come. Guarded by the store's lock.
struct CompactionState {
    struct Job {
        let revision: Int64
        /// The compaction before it.
        let previous: Int64
        /// Whether the one before had finished when this one was asked for; only then is its hash remembered.
        let remembersHash: Bool
    }

    /// The last compaction asked for; reads below it fail. −1: none ever.
    var scheduled: Int64 = -1
    /// The last compaction whose purge is complete.
    var finished: Int64 = -1
    /// Compactions whose purge is not complete, oldest first.
    var queue: [Job] = []
    var hashes: [RememberedHash] = []
    var waiters: [@Sendable () -> Void] = []
}

/// A hash computed while compacting, for members to compare.
public struct RememberedHash: Sendable, Equatable {
    public let hash: UInt32
    /// The compaction's own revision.
    public let revision: Int64
    /// The compaction before it.
    public let compactRevision: Int64
}

extension MVCCStore {
    /// Compacts the history up to a revision, as part of the running entry; shown to readers by `publish()`.
    public func compact(to revision: Int64) throws(CallError) {
        precondition(isInEntry)
        // Order of the checks as etcd has it.
        if revision <= workingCompacted { throw .compacted }
        if revision > workingRevision { throw .futureRevision }
        log.append(kind: .compaction, main: revision, sub: 0, payloadCapacity: 0) { _ in }
        compaction.schedule(revision)
        workingCompacted = revision
        scheduledCompaction = true
    }

    /// Calls back once the purge of every compaction asked for so far is complete; at once if it is.
    /// The callback runs on the maintenance thread and must be short.
    public func notifyWhenCompacted(_ callback: @escaping @Sendable () -> Void) {
        let isDone = exclusively {
            if compaction.queue.isEmpty { return true }
            compaction.waiters.append(callback)
            return false
        }
        if isDone { callback() }
    }
}

extension CompactionState {
    mutating func schedule(_ revision: Int64) {
        queue.append(Job(revision: revision, previous: scheduled, remembersHash: queue.isEmpty))
        scheduled = revision
    }

    mutating func remember(_ hash: RememberedHash) {
        hashes.removeAll { $0.revision == hash.revision }
        hashes.append(hash)
        if hashes.count > StoreLimits.rememberedHashes { hashes.removeFirst(hashes.count - StoreLimits.rememberedHashes) }
    }
}
