// When to write a checkpoint, and writing it. Owned by the maintenance thread.

import Storage
import Wire

final class CheckpointRunner {
    private let store: MVCCStore
    /// Bytes of the last checkpoint.
    private(set) var lastBytes: Int

    init(store: MVCCStore) {
        self.store = store
        lastBytes = store.restoredCheckpointBytes
    }

    /// Bytes appended since the last checkpoint: what a start has to read frame by frame.
    var tailBytes: Int { store.lock.withLock { store.tailBytes } }

    /// Whether the tail has grown so long that a checkpoint costs less than reading it.
    var isDue: Bool { tailBytes > max(StoreLimits.checkpointTailBytes, 2 * lastBytes) }

    /// Writes a checkpoint of the published state. Entries go on being applied; nothing is purged or moved.
    ///
    /// - Parameter pause: called between two slices, to leave the machine to others.
    /// - Returns: false if it was put off, because a publication has failed and is being retried.
    @discardableResult
    func write(pause: () -> Void) throws(StorageError) -> Bool {
        store.lock.lock()
        guard !store.hasUnpublished else {
            store.lock.unlock()
            return false
        }
        let position = store.log.flushedPosition
        let appended = store.tailBytes
        var encoder = CheckpointEncoder(store: store)
        store.lock.unlock()

        let writer = try store.log.beginCheckpoint(at: position)
        let sink = ByteSink(capacity: StoreLimits.checkpointBlockBytes * 2)
        var bytes = 0
        do throws(StorageError) {
            while encoder.step(into: sink) {
                guard sink.count >= StoreLimits.checkpointBlockBytes else { continue }
                bytes += sink.count
                try writer.write(sink.bytes)
                sink.clear(keeping: StoreLimits.checkpointBlockBytes * 2)
                pause()
            }
            bytes += sink.count
            if sink.count > 0 { try writer.write(sink.bytes) }
        } catch {
            store.log.abandonCheckpoint(writer)
            throw error
        }
        try store.log.finishCheckpoint(writer, compactedRevision: encoder.compactRevision)
        lastBytes = bytes
        store.lock.withLock { store.tailBytes -= appended }
        return true
    }
}
