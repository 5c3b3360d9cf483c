// The physical side of compaction, one short slice at a time: hash, purge, squeeze. Owned by the maintenance thread.

import CShims
import Storage

/// Works off the queue of compactions.
final class CompactionRunner {
    enum Progress {
        /// Nothing to do.
        case idle
        /// A slice was done; there may be more.
        case worked
        /// Readers are pinned below the compaction: try again later.
        case blocked
    }

    private enum Phase {
        case idle
        case hashing(CompactionState.Job, HashJob)
        case purging(CompactionState.Job, VersionTable.Purge)
    }

    private let store: MVCCStore
    /// Versions visited by a slice; fewer in tests.
    var sliceBudget = StoreLimits.versionsPerSlice
    private var phase = Phase.idle
    private var hash: RememberedHash?
    private var slice: (versions: Int, nanoseconds: UInt64)?
    private var finished: (revision: Int64, hash: RememberedHash?)?

    init(store: MVCCStore) { self.store = store }

    func step() throws(StorageError) -> Progress {
        switch phase {
        case .idle: return startNext()
        case .hashing(let job, let hashJob):
            if try hashJob.step() {
                let remembered = RememberedHash(hash: hashJob.hash, revision: job.revision, compactRevision: job.previous)
                store.lock.withLock { store.compaction.remember(remembered) }
                hash = remembered
                phase = .purging(job, purge(for: job))
            }
            return .worked
        case .purging(let job, var purge):
            // Out of the enum while it changes.
            phase = .idle
            var reached = false
            var limit = Int64.max
            var versions = 0
            var took: UInt64 = 0
            store.lock.withLock {
                let began = martlet_monotonic_ns()
                limit = store.pins.oldest
                reached = store.table.step(&purge, limit: limit, budget: sliceBudget) {
                    store.log.release($0)
                    versions += 1
                }
                took = martlet_monotonic_ns() &- began
            }
            if versions > 0 { slice = (versions, took) }
            if reached, limit >= job.revision {
                finish(job)
                return .worked
            }
            phase = .purging(job, purge)
            return reached ? .blocked : .worked
        }
    }

    private func purge(for job: CompactionState.Job) -> VersionTable.Purge {
        // From the last finished purge: an interrupted one left something in between.
        VersionTable.Purge(after: store.lock.withLock { store.compaction.finished }, target: job.revision)
    }

    private func startNext() -> Progress {
        let job = store.lock.withLock { () -> CompactionState.Job? in
            // Not before it is published: a hash must not see what readers cannot.
            guard let job = store.compaction.queue.first, job.revision <= store.compactRevision else { return nil }
            return job
        }
        guard let job else { return squeeze() }
        if job.remembersHash, store.options.hashesCompactions {
            phase = .hashing(job, store.compactionHashJob(job))
        } else {
            phase = .purging(job, purge(for: job))
        }
        return .worked
    }

    /// What the last slice of a purge did.
    func takeSlice() -> (versions: Int, nanoseconds: UInt64)? {
        defer { slice = nil }
        return slice
    }

    /// The compaction that was finished since the last call.
    func takeFinished() -> (revision: Int64, hash: RememberedHash?)? {
        defer { finished = nil }
        return finished
    }

    private func finish(_ job: CompactionState.Job) {
        let waiters = store.lock.withLock { () -> [@Sendable () -> Void] in
            store.compaction.queue.removeFirst()
            store.compaction.finished = job.revision
            guard store.compaction.queue.isEmpty else { return [] }
            defer { store.compaction.waiters = [] }
            return store.compaction.waiters
        }
        finished = (job.revision, hash)
        hash = nil
        for waiter in waiters { waiter() }
    }

    /// Takes dead versions out of the revision order when they have become many.
    private func squeeze() -> Progress {
        store.lock.withLock {
            let table = store.table
            if !table.order.isSqueezing {
                guard table.wantsSqueeze else { return .idle }
                let boundary = Revision(main: store.compaction.finished, sub: .max)
                table.order.beginSqueeze(before: table.order.lowerBound(boundary, in: table.slab))
            }
            _ = table.order.squeeze(table.slab, budget: sliceBudget * 4)
            return .worked
        }
    }
}
