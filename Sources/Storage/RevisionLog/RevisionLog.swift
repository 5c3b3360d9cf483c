// The store on disk: an append-only log of applied entries, cut into segments. docs/format-revision-log.md has the
// format and the rules of recovery.
//
// Threads: the apply thread appends and flushes; any thread reads; one maintenance thread syncs, writes checkpoints
// and collects garbage. They meet in `shared` (a lock held for some stores of integers), in the segment table (atomics)
// and in the reader epochs.

import Synchronization
import Wire

public final class RevisionLog: @unchecked Sendable {
    // Unchecked: what is mutable belongs to the apply thread, or is guarded by `shared` or `maintenance`, as marked.

    let fileSystem: any FileSystem
    let directory: String
    let options: RevisionLogOptions
    let table = SegmentTable()
    let epochs = ReaderEpochs()

    // MARK: Apply thread only

    /// Frames that are not yet written.
    let pending = ByteSink(capacity: 64 * 1024)
    var blocks: [PendingBlock] = []
    var active: Segment
    /// End of the active segment, pending frames included. 0: it has no file and no header yet.
    var activeEnd: UInt64
    /// Offset in the active segment of the pending buffer's first byte; may be negative.
    var pendingOrigin: Int64 = 0
    /// Space reserved in the active segment's file.
    var reserved: UInt64
    var frame = OpenFrame()
    var lastApplied: (index: LogIndex, term: Term)
    /// The segment whose predecessors are known to be sealed.
    var lastSealedBefore: UInt32 = 0

    struct OpenFrame {
        var isInside = false
        /// The first record makes the frame; an entry without records leaves no trace.
        var isOpen = false
        var start = 0
        var index: LogIndex = 0
        var term: Term = 0
        var live = 0
    }

    /// Pending bytes that go to one segment.
    struct PendingBlock {
        let segment: Segment
        let fileOffset: UInt64
        let start: Int
    }

    // MARK: All threads

    let shared: Mutex<Shared>
    private let durable: Atomic<UInt64>
    private let hasFailed = Atomic<Bool>(false)
    /// Bytes written and not collected, in all segments.
    let uncollectedBytes: Atomic<Int>

    struct Shared {
        /// All segments that exist, by number.
        var segments: [Segment]
        /// Where the written log ends, and the last entry applied.
        var flushed: LogPosition
        /// The last log segment that has a file, and its end; the next segment names it.
        var tail: LogTail
        var nextSegment: UInt32
        /// Files were created whose names are not yet durable.
        var hasNewFiles: Bool
    }

    // MARK: Maintenance thread

    let maintenance: Mutex<Maintenance>
    let directoryLock: any DirectoryLock

    init(
        fileSystem: any FileSystem, directory: String, options: RevisionLogOptions, recovered: Recovery.Result,
        lock: any DirectoryLock
    ) {
        self.fileSystem = fileSystem
        self.directory = directory
        self.options = options
        directoryLock = lock
        active = recovered.active
        activeEnd = recovered.active.written
        reserved = activeEnd
        lastApplied = (recovered.appliedIndex, recovered.appliedTerm)
        durable = Atomic(recovered.manifest.appliedIndex)
        for segment in recovered.segments { table.insert(segment) }
        uncollectedBytes = Atomic(recovered.segments.reduce(0) { $0 + Int($1.written) })
        shared = Mutex(
            Shared(
                segments: recovered.segments,
                flushed: LogPosition(
                    segment: recovered.active.id, offset: recovered.active.written, appliedIndex: recovered.appliedIndex,
                    appliedTerm: recovered.appliedTerm),
                tail: recovered.tail, nextSegment: recovered.nextSegment, hasNewFiles: recovered.hasNewFiles))
        maintenance = Mutex(Maintenance(manifest: recovered.manifest))
    }

    // MARK: What is known of the log

    /// The last entry whose effects survive a power loss; the write-ahead log is needed only behind it.
    public var durableIndex: LogIndex { durable.load(ordering: .acquiring) }

    func publish(durableIndex index: LogIndex) { durable.store(index, ordering: .releasing) }

    /// Where the written log ends. With the apply thread kept out, this is the position of the state in memory.
    public var flushedPosition: LogPosition { shared.withLock { $0.flushed } }

    /// The last applied entry that is written, durable or not.
    public var appliedIndex: LogIndex { flushedPosition.appliedIndex }

    /// What the last manifest says of compaction.
    public var durableCompactedRevision: Int64 { maintenance.withLock { $0.manifest.compactedRevision } }

    // MARK: Failure

    func fail() { hasFailed.store(true, ordering: .releasing) }

    @inline(__always)
    func checkHealth(_ operation: StorageError.Operation) throws(StorageError) {
        if hasFailed.load(ordering: .acquiring) { throw StorageError(operation, directory, .failedEarlier) }
    }

    /// Waits for nobody: call it after the last use by any thread. Pending frames are not written.
    public func close() {
        for segment in shared.withLock({ $0.segments }) where segment.written > 0 { segment.file?.close() }
        directoryLock.release()
    }
}

/// The last log segment that has a file, and where it ends.
struct LogTail: Equatable {
    var segment: UInt32 = 0
    var end: UInt64 = 0
}
