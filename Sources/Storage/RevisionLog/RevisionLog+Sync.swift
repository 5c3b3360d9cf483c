// Durability: syncing segments and putting the manifest in place. Maintenance thread.

import Synchronization
import Wire

extension RevisionLog {
    /// What the maintenance side remembers. Guarded by the lock `maintenance`.
    struct Maintenance {
        /// The durable one.
        var manifest: Manifest
        /// Length of each segment that is known to be durable.
        var synced: [UInt32: UInt64] = [:]
        /// Segments whose reserved space has been given back.
        var trimmed: Set<UInt32> = []
        var nextCheckpoint: UInt64
        /// Segments whose records have all been moved; removed with the next checkpoint.
        var drained: [Segment] = []
        /// Where garbage collection writes.
        var output: Segment?
        /// Removed from the manifest; their files wait for the last reader.
        var retired: [Retired] = []

        init(manifest: Manifest) {
            self.manifest = manifest
            nextCheckpoint = (manifest.checkpoint?.sequence ?? 0) + 1
            for entry in manifest.segments { synced[entry.id] = entry.syncedLength }
        }
    }

    struct Retired {
        let segment: Segment
        /// When the last thing happened that readers may not have noticed.
        var epoch: UInt64
        var isInTable = true
    }

    /// Makes everything flushed so far durable and says so in a new manifest.
    ///
    /// - Returns: the last entry whose effects are durable.
    @discardableResult
    public func sync() throws(StorageError) -> LogIndex {
        try locked { (state) throws(StorageError) in
            let captured = try syncSegments(&state)
            var next = state.manifest
            next.appliedIndex = captured.position.appliedIndex
            next.appliedTerm = captured.position.appliedTerm
            next.tail = captured.tail
            next.segments = captured.segments
            if next != state.manifest { try install(next, &state) }
            removeRetired(&state)
            return captured.position.appliedIndex
        }
    }

    /// Runs maintenance work alone; its typed errors pass through the lock.
    func locked<R>(_ body: (inout Maintenance) throws(StorageError) -> R) throws(StorageError) -> R {
        let result: Result<R, StorageError> = maintenance.withLock { state in
            do throws(StorageError) { return .success(try body(&state)) } catch { return .failure(error) }
        }
        return try result.get()
    }

    struct Captured {
        var position: LogPosition
        var tail: LogTail
        var segments: [Manifest.SegmentEntry]
    }

    /// Makes all written bytes of all segments durable, and their names.
    func syncSegments(_ state: inout Maintenance) throws(StorageError) -> Captured {
        try checkHealth(.sync)
        let (captured, files, hasNewFiles) = shared.withLock { shared in
            let existing = shared.segments.filter { $0.written > 0 }
            let entries = existing.map { Manifest.SegmentEntry(id: $0.id, kind: $0.kind, syncedLength: $0.written) }
            let hasNewFiles = shared.hasNewFiles
            shared.hasNewFiles = false
            return (Captured(position: shared.flushed, tail: shared.tail, segments: entries), existing, hasNewFiles)
        }
        do throws(StorageError) {
            try makeDurable(captured, files, hasNewFiles, &state)
        } catch {
            // The names are still to be made durable when this is tried again.
            if hasNewFiles { shared.withLock { $0.hasNewFiles = true } }
            throw error
        }
        return captured
    }

    private func makeDurable(
        _ captured: Captured, _ files: [Segment], _ hasNewFiles: Bool, _ state: inout Maintenance
    ) throws(StorageError) {
        for (entry, segment) in zip(captured.segments, files) {
            if segment.isSealed, segment.written == entry.syncedLength, !state.trimmed.contains(entry.id) {
                // Cutting a file to the length that it has gives back what was reserved behind it.
                if state.synced[entry.id] != entry.syncedLength, options.preallocates {
                    try segment.file!.truncate(to: entry.syncedLength)
                }
                state.trimmed.insert(entry.id)
            }
            guard state.synced[entry.id] != entry.syncedLength else { continue }
            try makeDurable { () throws(StorageError) in try segment.file!.sync() }
            state.synced[entry.id] = entry.syncedLength
        }
        if hasNewFiles {
            try makeDurable { () throws(StorageError) in try fileSystem.syncDirectory(directory) }
        }
    }

    /// Runs a sync. Once one has failed, nobody can say what the disk holds, so that none may succeed any more.
    func makeDurable(_ body: () throws(StorageError) -> Void) throws(StorageError) {
        if options.skipsSync { return }
        do throws(StorageError) {
            try body()
        } catch {
            // Where nothing could be opened nothing was synced either, and the next try is as good as this one.
            if !error.isNoDescriptor { fail() }
            throw error
        }
    }

    func install(_ manifest: Manifest, _ state: inout Maintenance) throws(StorageError) {
        var manifest = manifest
        manifest.sequence = state.manifest.sequence + 1
        do throws(StorageError) {
            try RevisionLog.write(manifest, fileSystem, directory, skipsSync: options.skipsSync)
        } catch {
            if error.operation == .sync || error.operation == .syncDirectory { fail() }
            throw error
        }
        state.manifest = manifest
        publish(durableIndex: manifest.appliedIndex)
    }

    static func write(
        _ manifest: Manifest, _ fileSystem: any FileSystem, _ directory: String, skipsSync: Bool
    ) throws(StorageError) {
        let path = directory + "/" + Manifest.fileName
        let bytes = manifest.encode()
        try fileSystem.replace(path, with: bytes.bytes, in: directory, skipsSync: skipsSync)
    }
}
