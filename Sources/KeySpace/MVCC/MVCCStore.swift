// The multi-version key space on a revision log: what every read, every entry and every watcher goes to.
//
// Threads: one apply thread writes; any thread reads; one maintenance thread purges, collects garbage and writes
// checkpoints. One lock guards the memory. The apply thread holds it from the first change of a chunk of entries
// until `publish()`, so nobody meets a version that is not yet readable from the log; everybody else holds it for
// some hundreds of keys at most and reads records without it. docs/mvcc.md tells the rest.

import CShims
import DatastoreMetrics
import Storage
import Synchronization
import Wire

#if canImport(Glibc)
import Glibc
#endif

public final class MVCCStore: @unchecked Sendable {
    // Unchecked: everything mutable is guarded by `lock`, belongs to the apply thread or is atomic, as marked.

    let lock = StoreLock()
    /// Bytes of the log that were read again and found right.
    let verifiedBytes = Atomic<Int>(0)
    /// Segments in which damage was found.
    let damagedSegments = Atomic<Int>(0)
    let log: RevisionLog
    let options: MVCCOptions

    // Guarded by `lock`.
    let table: VersionTable
    var meta: MetaState
    var pins = RevisionPins()
    var compaction: CompactionState
    /// Bytes appended since the last checkpoint, and ever since the store was opened.
    var tailBytes: Int
    var appendedBytes = 0
    let restoredCheckpointBytes: Int

    // Apply thread only (what it changes under the lock is above).
    /// Revision after the entries applied so far, published or not.
    var workingRevision: Int64
    var workingCompacted: Int64
    /// Changes of the running entry.
    var entryChanges: Int32 = 0
    var isInEntry = false
    /// Guarded by `lock`: a failed publication left changes in the index that readers must look past.
    var hasUnpublished = false
    var appliedIndex: UInt64
    var appliedTerm: UInt64
    /// A compaction waits for its publication.
    var scheduledCompaction = false
    /// Tells the maintenance thread that there is work; set before the store is shared.
    nonisolated(unsafe) var wakeMaintenance: (@Sendable () -> Void)?

    /// Gets how long apply held the lock for a chunk. Set before the store is shared.
    nonisolated(unsafe) private var lockHolds: Histogram?
    private var heldSince: UInt64 = 0

    /// Says how long readers and apply wait for the lock, and how long apply holds it. Before the store is shared.
    public func observeLock(waits: Histogram, holds: Histogram) {
        lock.waits.pointee = waits
        lockHolds = holds
    }

    /// The thread that holds the lock across calls, while it does; 0: none.
    private let writer = Atomic<UInt>(0)
    private let published: Atomic<Int64>
    private let compacted: Atomic<Int64>

    init(log: RevisionLog, options: MVCCOptions, restored: RestoredState) {
        self.log = log
        self.options = options
        table = restored.table
        meta = restored.meta
        compaction = restored.compaction
        workingRevision = restored.revision
        workingCompacted = restored.compaction.scheduled
        appliedIndex = restored.appliedIndex
        appliedTerm = restored.appliedTerm
        tailBytes = restored.tailBytes
        restoredCheckpointBytes = restored.checkpointBytes
        published = Atomic(restored.revision)
        compacted = Atomic(restored.compaction.scheduled)
    }

    deinit { lock.deallocate() }

    /// The newest revision that readers see; 1 in an empty store.
    public var currentRevision: Int64 { published.load(ordering: .acquiring) }

    /// The last compaction's revision; −1 before the first.
    public var compactRevision: Int64 { compacted.load(ordering: .acquiring) }

    // MARK: The lock

    /// Whether the caller is the apply thread in the middle of a chunk.
    @inline(__always)
    var holdsLock: Bool { writer.load(ordering: .relaxed) == UInt(pthread_self()) }

    func holdLock() {
        if !holdsLock {
            lock.lock()
            writer.store(UInt(pthread_self()), ordering: .relaxed)
            if lockHolds != nil { heldSince = martlet_monotonic_ns() }
        }
    }

    func releaseLock() {
        lockHolds?.observe(nanoseconds: martlet_monotonic_ns() &- heldSince)
        writer.store(0, ordering: .relaxed)
        lock.unlock()
    }

    /// Runs with the lock held, also where the caller may hold it already.
    func exclusively<R>(_ body: () -> R) -> R { holdsLock ? body() : lock.withLock(body) }

    func makeVisible() {
        published.store(workingRevision, ordering: .releasing)
        compacted.store(workingCompacted, ordering: .releasing)
    }
}

/// Settings of a store.
public struct MVCCOptions: Sendable {
    /// Remember the hash of each compaction, as etcd does for its corruption checks. Costs a read of all live
    /// records per compaction, in slices.
    public var hashesCompactions = true
    /// Answers up to this size are read at once; larger ones are pulled through a cursor.
    public var smallAnswerBytes = 64 * 1024
    /// Tells which resource a key belongs to.
    public var resources = ResourceNames()

    public init() {}
}
