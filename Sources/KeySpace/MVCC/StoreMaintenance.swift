// The thread that keeps the store in shape: purges what is compacted, makes the log durable, writes checkpoints,
// collects garbage. Everything in slices; one kind of work at a time, which is what lets a checkpoint run beside
// writes without a copy of the index.

import CShims
import Storage
import Synchronization

#if canImport(Glibc)
import Glibc
#endif

/// What the maintenance thread tells its owner; called on that thread, must be short.
public enum MaintenanceReport: Sendable {
    /// A slice of a purge held the store for so long and dropped so many versions.
    case purged(versions: Int, nanoseconds: UInt64)
    /// The longest slice of the purge that is complete with the next report.
    case purgeEnded(longestSliceNanoseconds: UInt64)
    /// A compaction's purge is complete.
    case compacted(revision: Int64, hash: RememberedHash?, nanoseconds: UInt64)
    case checkpointed(bytes: Int, nanoseconds: UInt64)
    /// A round of garbage collection is over.
    case collected(segments: Int, nanoseconds: UInt64)
    /// The log was made durable up to an entry; the write-ahead log may be released up to it.
    case synced(index: UInt64, nanoseconds: UInt64)
    /// A part of the log does not have the checksum that it was written with. Its segment stays as it is; what is read
    /// from it may be wrong.
    case damaged(StorageError)
    /// Work failed, nothing is lost, it will be tried again: typically a full disk.
    case willRetry(StorageError)
    /// The disk no longer keeps what it is given. The server must stop.
    case failed(StorageError)
}

/// How fast compaction may go, where somebody has said so: versions looked at in one hold of the lock, and the pause
/// between two such slices.
public struct CompactionPace: Sendable {
    let versions: Int
    let pauseNanoseconds: UInt64

    /// A slice is bounded all the same: readers wait for it.
    public init(versions: Int, pauseNanoseconds: UInt64) {
        self.versions = min(max(versions, 1), StoreLimits.versionsPerSliceMax)
        self.pauseNanoseconds = pauseNanoseconds
    }
}

public final class StoreMaintenance: @unchecked Sendable {
    // Unchecked: `control` is a lock; the rest belongs to the thread.

    private let store: MVCCStore
    private let report: @Sendable (MaintenanceReport) -> Void
    private let control = WaitableControl()
    private var thread: pthread_t?

    private let compactionPause: UInt64
    private let compaction: CompactionRunner
    private let checkpoints: CheckpointRunner
    private let collection: CollectionRunner
    private let verification: VerificationRunner
    private var schedule = Schedule()

    private struct Schedule {
        var nextSync: UInt64 = 0
        var nextWeighing: UInt64 = 0
        var nextCompactionSlice: UInt64 = 0
        var retryAt: UInt64 = 0
        var syncedBytes = 0
        var compactionStarted: UInt64?
        var longestSlice: UInt64 = 0
        var collectionStarted: UInt64?
        var needsCheckpoint = false
        /// Asked for, and those whose collection has begun; the latter end with the next checkpoint.
        var requested: [@Sendable (StorageError?) -> Void] = []
        var defragmenting: [@Sendable (StorageError?) -> Void] = []
        /// What ended all trust in the disk.
        var failure: StorageError?
    }

    /// - Parameter verificationInterval: nanoseconds between passes that look for damage; nil: once a day.
    public init(
        store: MVCCStore, pace: CompactionPace? = nil, verificationInterval: UInt64? = nil,
        report: @escaping @Sendable (MaintenanceReport) -> Void
    ) {
        self.store = store
        self.report = report
        compactionPause = pace?.pauseNanoseconds ?? StoreLimits.slicePauseNanoseconds
        compaction = CompactionRunner(store: store)
        checkpoints = CheckpointRunner(store: store)
        collection = CollectionRunner(store: store)
        verification = VerificationRunner(
            store: store, interval: verificationInterval ?? StoreLimits.verificationIntervalNanoseconds, now: martlet_monotonic_ns())
        if let pace { compaction.sliceBudget = pace.versions }
        store.wakeMaintenance = { [control] in control.wake() }
    }

    deinit { precondition(thread == nil, "a maintenance thread is stopped before it is dropped") }

    // MARK: Control, any thread

    /// Starts the thread. Once.
    public func start() {
        precondition(thread == nil)
        var handle = pthread_t()
        let result = pthread_create(&handle, nil, { context in
            Unmanaged<StoreMaintenance>.fromOpaque(context!).takeRetainedValue().run()
            return nil
        }, Unmanaged.passRetained(self).toOpaque())
        precondition(result == 0, "pthread_create: \(result)")
        thread = handle
    }

    /// Ends the thread after a last sync and, if a start would otherwise have much to read, a checkpoint. Blocks.
    /// After the last `publish()`.
    public func stop() {
        guard let handle = thread else { return }
        control.stop()
        pthread_join(handle, nil)
        thread = nil
    }

    /// Says that there is work now.
    public func wake() { control.wake() }

    /// Gives space back now: seals the running segment and collects whatever is noticeably dead. Entries and reads go on.
    ///
    /// - Parameter completion: called on the maintenance thread when the files are gone, or with what stopped it.
    public func defragment(_ completion: @escaping @Sendable (StorageError?) -> Void) { control.request(completion) }

    // MARK: The thread

    private func run() {
        schedule.nextSync = martlet_monotonic_ns() + StoreLimits.syncIntervalNanoseconds
        while !control.isStopping {
            let pause = step(now: martlet_monotonic_ns())
            control.wait(nanoseconds: pause)
        }
        finish()
    }

    /// Does one slice of the most urgent work; returns how long to rest.
    private func step(now: UInt64) -> UInt64 {
        schedule.requested += control.takeRequests()
        if let failure = schedule.failure {
            endDefragmentations(failure)
            return StoreLimits.idleNanoseconds
        }
        guard now >= schedule.retryAt else { return min(schedule.retryAt - now, StoreLimits.idleNanoseconds) }
        var rest = StoreLimits.idleNanoseconds
        do throws(StorageError) {
            if try syncIfDue(now) { return StoreLimits.slicePauseNanoseconds }
            // Also when something else has woken the thread meanwhile.
            if now < schedule.nextCompactionSlice { return min(schedule.nextCompactionSlice - now, StoreLimits.idleNanoseconds) }
            switch try compactionSlice(now) {
            case .worked:
                schedule.nextCompactionSlice = now + compactionPause
                return min(compactionPause, StoreLimits.idleNanoseconds)
            case .blocked: rest = StoreLimits.blockedNanoseconds
            case .idle: break
            }
            if schedule.needsCheckpoint || checkpoints.isDue {
                try writeCheckpoint()
                return StoreLimits.slicePauseNanoseconds
            }
            if try collectionSlice(now) { return StoreLimits.bulkPauseNanoseconds }
            if try verificationSlice(now) { rest = StoreLimits.verificationPauseNanoseconds }
        } catch {
            take(error, now)
        }
        return rest
    }

    private func take(_ error: StorageError, _ now: UInt64) {
        // A full disk passes; everything else of this thread is about files that nobody else writes, so that a
        // second try is as safe as the first. Only a failed sync ends all trust.
        if error.reason == .failedEarlier || error.operation == .sync || error.operation == .syncDirectory || error.isCorrupt {
            schedule.failure = error
            report(.failed(error))
        } else {
            schedule.retryAt = now + StoreLimits.retryNanoseconds
            report(.willRetry(error))
        }
        endDefragmentations(error)
    }

    private func syncIfDue(_ now: UInt64) throws(StorageError) -> Bool {
        let appended = store.lock.withLock { store.appendedBytes }
        guard appended - schedule.syncedBytes >= StoreLimits.syncBytes || now >= schedule.nextSync else { return false }
        schedule.nextSync = now + StoreLimits.syncIntervalNanoseconds
        guard appended > schedule.syncedBytes || store.log.appliedIndex > store.log.durableIndex || store.log.retiredSegments > 0
        else { return false }
        let index = try store.log.sync()
        schedule.syncedBytes = appended
        report(.synced(index: index, nanoseconds: martlet_monotonic_ns() - now))
        return true
    }

    private func compactionSlice(_ now: UInt64) throws(StorageError) -> CompactionRunner.Progress {
        let progress = try compaction.step()
        if case .worked = progress, schedule.compactionStarted == nil { schedule.compactionStarted = now }
        if let slice = compaction.takeSlice() {
            schedule.longestSlice = max(schedule.longestSlice, slice.nanoseconds)
            report(.purged(versions: slice.versions, nanoseconds: slice.nanoseconds))
        }
        if let finished = compaction.takeFinished() {
            report(.purgeEnded(longestSliceNanoseconds: schedule.longestSlice))
            schedule.longestSlice = 0
            report(.compacted(
                revision: finished.revision, hash: finished.hash,
                nanoseconds: martlet_monotonic_ns() - (schedule.compactionStarted ?? now)))
            schedule.compactionStarted = nil
            // What was purged may be worth collecting.
            schedule.nextWeighing = now
        }
        return progress
    }

    private func writeCheckpoint() throws(StorageError) {
        let start = martlet_monotonic_ns()
        guard try checkpoints.write(pause: { control.rest(nanoseconds: StoreLimits.slicePauseNanoseconds) }) else { return }
        schedule.needsCheckpoint = false
        schedule.syncedBytes = store.lock.withLock { store.appendedBytes }
        collection.checkpointWritten()
        report(.checkpointed(bytes: checkpoints.lastBytes, nanoseconds: martlet_monotonic_ns() - start))
        guard !collection.isRunning else { return }
        let finished = schedule.defragmenting
        schedule.defragmenting = []
        for completion in finished { completion(nil) }
    }

    private func endDefragmentations(_ error: StorageError?) {
        let waiting = schedule.defragmenting + schedule.requested
        schedule.defragmenting = []
        schedule.requested = []
        for completion in waiting { completion(error) }
    }

    private func collectionSlice(_ now: UInt64) throws(StorageError) -> Bool {
        if collection.isRunning {
            do throws(StorageError) {
                if try collection.step() { return true }
            } catch {
                // What is damaged must not be copied as if it were whole: the segment stays, and the rest goes on.
                guard error.isCorrupt, let segment = collection.lastSegment else { throw error }
                verification.note(segment)
                report(.damaged(error))
                schedule.collectionStarted = nil
                schedule.needsCheckpoint = true
                return true
            }
            report(.collected(
                segments: collection.collectedSegments,
                nanoseconds: martlet_monotonic_ns() - (schedule.collectionStarted ?? now)))
            schedule.collectionStarted = nil
            // Only a checkpoint gives the files back.
            schedule.needsCheckpoint = true
            return true
        }
        if !schedule.requested.isEmpty {
            schedule.defragmenting += schedule.requested
            schedule.requested = []
            store.lock.withLock { _ = store.log.rotate() }
            if collection.begin(isThorough: true, except: verification.damaged) { schedule.collectionStarted = now } else { schedule.needsCheckpoint = true }
            return true
        }
        guard now >= schedule.nextWeighing else { return false }
        schedule.nextWeighing = now + StoreLimits.collectionIntervalNanoseconds
        guard collection.begin(isThorough: false, except: verification.damaged) else { return false }
        schedule.collectionStarted = now
        return true
    }

    private func verificationSlice(_ now: UInt64) throws(StorageError) -> Bool {
        do throws(StorageError) {
            return try verification.step(now: now)
        } catch {
            guard error.isCorrupt else { throw error }
            report(.damaged(error))
            return true
        }
    }

    /// The last work before the files are closed.
    private func finish() {
        schedule.requested += control.takeRequests()
        guard schedule.failure == nil else { return endDefragmentations(schedule.failure) }
        do throws(StorageError) {
            let start = martlet_monotonic_ns()
            let index = try store.log.sync()
            report(.synced(index: index, nanoseconds: martlet_monotonic_ns() - start))
            // Reading a short tail is cheaper than writing the whole index.
            let tail = checkpoints.tailBytes
            if tail > 0, tail > checkpoints.lastBytes / 16 || collection.collectedSegments > 0 { try writeCheckpoint() }
        } catch {
            take(error, martlet_monotonic_ns())
        }
        endDefragmentations(nil)
    }
}
