// Checkpoints, and what becomes possible with them: removing collected segments. Maintenance thread.

import Wire

extension RevisionLog {
    /// Starts a checkpoint of the state at `position`, which is `flushedPosition` taken with the apply thread kept
    /// out. The state may run ahead of the position while it is written, as long as replaying the frames from there on
    /// mends that.
    public func beginCheckpoint(at position: LogPosition) throws(StorageError) -> CheckpointWriter {
        try locked { (state) throws(StorageError) in
            try checkHealth(.create)
            let sequence = state.nextCheckpoint
            state.nextCheckpoint += 1
            return try CheckpointWriter(
                fileSystem, directory: directory, sequence: sequence, position: position, drops: state.drained,
                skipsSync: options.skipsSync)
        }
    }

    /// Makes a checkpoint the one that the next start reads, together with everything flushed so far; then the
    /// segments that were collected before it was begun are removed.
    public func finishCheckpoint(_ writer: CheckpointWriter, compactedRevision: Int64) throws(StorageError) {
        do throws(StorageError) {
            try writer.finish()
            try locked { (state) throws(StorageError) in
                let dropped = Set(writer.drops.map { $0.id })
                // The manifest's own directory sync comes after its rename; the checkpoint's name must be there before.
                shared.withLock { $0.hasNewFiles = true }
                let captured = try syncSegments(&state)
                var next = state.manifest
                next.appliedIndex = captured.position.appliedIndex
                next.appliedTerm = captured.position.appliedTerm
                next.tail = captured.tail
                next.segments = captured.segments.filter { !dropped.contains($0.id) }
                next.compactedRevision = max(compactedRevision, next.compactedRevision)
                next.checkpoint = Manifest.Checkpoint(sequence: writer.sequence, fileLength: writer.length, position: writer.position)
                let previous = state.manifest.checkpoint
                try install(next, &state)
                retire(writer.drops, &state)
                if let previous { try? fileSystem.remove(directory + "/" + CheckpointFormat.name(previous.sequence)) }
                removeRetired(&state)
            }
        } catch {
            if error.operation == .sync || error.operation == .syncDirectory { fail() }
            abandonCheckpoint(writer)
            throw error
        }
    }

    /// Drops a checkpoint that will not be finished.
    public func abandonCheckpoint(_ writer: CheckpointWriter) {
        writer.file.close()
        // Should the removal fail, the next start does it. A finished one stays: the manifest names it.
        let isInUse = maintenance.withLock { $0.manifest.checkpoint?.sequence == writer.sequence }
        if !isInUse { try? fileSystem.remove(writer.path) }
    }

    /// Writes a whole checkpoint in one go.
    public func checkpoint(
        at position: LogPosition, compactedRevision: Int64, _ body: (CheckpointWriter) throws -> Void
    ) throws {
        let writer = try beginCheckpoint(at: position)
        do {
            try body(writer)
        } catch {
            abandonCheckpoint(writer)
            throw error
        }
        try finishCheckpoint(writer, compactedRevision: compactedRevision)
    }

    private func retire(_ segments: [Segment], _ state: inout Maintenance) {
        guard !segments.isEmpty else { return }
        let ids = Set(segments.map { $0.id })
        shared.withLock { shared in
            shared.segments.removeAll { ids.contains($0.id) }
        }
        state.drained.removeAll { ids.contains($0.id) }
        let epoch = epochs.current
        for segment in segments {
            state.synced[segment.id] = nil
            state.trimmed.remove(segment.id)
            state.retired.append(Retired(segment: segment, epoch: epoch))
        }
    }

    /// Removes the files of retired segments that nobody reads any more, in two steps: when all who were pinned have
    /// left, nobody has a right to the segment's locations and it leaves the table; when all who may have found it there
    /// have left too, its file is closed.
    func removeRetired(_ state: inout Maintenance) {
        for _ in 0..<4 where !state.retired.isEmpty {
            epochs.advance()
            let now = epochs.current
            for index in state.retired.indices where state.retired[index].isInTable && state.retired[index].epoch + 2 <= now {
                _ = table.remove(state.retired[index].segment.id)
                state.retired[index].isInTable = false
                state.retired[index].epoch = now
            }
            state.retired.removeAll { entry in
                guard !entry.isInTable, entry.epoch + 2 <= now else { return false }
                entry.segment.file?.close()
                // Should the removal fail, the next start does it: the manifest does not name the file.
                try? fileSystem.remove(entry.segment.path)
                return true
            }
        }
    }

    /// Files of collected segments that wait for their last reader.
    public var retiredSegments: Int { maintenance.withLock { $0.retired.count } }
}
