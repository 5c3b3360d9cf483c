// Making a store of etcd's database.

import Storage
import Wire

/// What came of an import.
public struct BackendImport: Sendable, Equatable {
    /// Records of keys, tombstones included.
    public var records = 0
    public var bytes = 0
    public var revision: Int64 = 1
    public var compactRevision: Int64 = -1
}

extension MVCCStore {
    /// Writes the store of a database into an empty directory and makes it durable.
    ///
    /// - Parameters:
    ///   - index: the last entry whose effects the database holds, and its term.
    ///   - buckets: what goes into the buckets beside the keys.
    ///   - progress: called now and then with the records so far.
    public static func create(
        from backend: BackendReader, fileSystem: any FileSystem, directory: String, logOptions: RevisionLogOptions = .init(),
        index: UInt64, term: UInt64, buckets: [MetaBucket: [[UInt8]: [UInt8]]], progress: (BackendImport) -> Void = { _ in }
    ) throws(BackendError) -> BackendImport {
        let store: MVCCStore
        do { store = try open(fileSystem: fileSystem, directory: directory, logOptions: logOptions) } catch {
            throw BackendError.storage(error as! StorageError)
        }
        defer { store.close() }
        precondition(store.currentRevision == 1 && store.appliedPosition.index == 0, "\(directory) holds a store")
        return try store.take(backend, index: index, term: term, buckets: buckets, progress: progress)
    }

    private func take(
        _ backend: BackendReader, index: UInt64, term: UInt64, buckets: [MetaBucket: [[UInt8]: [UInt8]]],
        progress: (BackendImport) -> Void
    ) throws(BackendError) -> BackendImport {
        var result = BackendImport()
        var frame = (records: 0, bytes: 0)
        var unsynced = 0
        var skipped: Int64 = 0
        let path = backend.file.path
        beginEntry(raftIndex: index, term: term)
        do {
            try backend.forEachRecord { (revision, isTombstone, record) throws(BackendError) in
                guard revision.main >= 2 else { throw .malformed(path: path, "revision \(revision.main) is impossible") }
                // `etcdutl snapshot restore --bump-revision` marks the new revision with a record of nothing.
                guard record.count > 0 else {
                    skipped = revision.main
                    return
                }
                do throws(ProtobufError) {
                    try adopt(revision, isTombstone: isTombstone, record: record)
                } catch {
                    throw .malformed(path: path, "the record of revision (\(revision.main), \(revision.sub)) cannot be decoded: \(error)")
                }
                result.records += 1
                result.bytes += record.count
                frame.records += 1
                frame.bytes += record.count
                guard frame.records >= StoreLimits.importedRecordsPerFrame || frame.bytes >= StoreLimits.importedBytesPerFrame else { return }
                unsynced += frame.bytes
                frame = (0, 0)
                try nextFrame(index, term)
                // Bit by bit, so that the end does not flood the disk.
                if unsynced >= StoreLimits.importSyncBytes {
                    unsynced = 0
                    try stored { (store) throws(StorageError) in try store.log.sync() }
                    progress(result)
                }
            }
            try finish(backend, buckets, atLeast: skipped, &result)
        } catch {
            // What is half done is thrown away with its directory; the lock must not stay taken.
            if isInEntry { endEntry() }
            if holdsLock { releaseLock() }
            throw error
        }
        try stored { (store) throws(StorageError) in
            try store.log.sync()
            try CheckpointRunner(store: store).write {}
        }
        return result
    }

    private func finish(
        _ backend: BackendReader, _ buckets: [MetaBucket: [[UInt8]: [UInt8]]], atLeast revision: Int64,
        _ result: inout BackendImport
    ) throws(BackendError) {
        for (bucket, entries) in buckets {
            for (key, value) in entries { metaPut(bucket, key: key, value: value) }
        }
        let compactions = backend.compactions
        // A restore that skips revisions marks them as compacted; they count as the newest.
        let newest = max(workingRevision, revision, compactions.scheduled, compactions.finished)
        adopt(currentRevision: newest, compactRevision: compactions.finished)
        if compactions.scheduled > max(compactions.finished, 0) {
            // Asked for and interrupted: it goes on here.
            do { try compact(to: compactions.scheduled) } catch {
                throw .malformed(path: backend.file.path, "the compaction to \(compactions.scheduled) cannot be resumed: \(error.message)")
            }
        }
        endEntry()
        try stored { (store) throws(StorageError) in try store.publish() }
        result.revision = currentRevision
        result.compactRevision = compactRevision
    }

    private func nextFrame(_ index: UInt64, _ term: UInt64) throws(BackendError) {
        endEntry()
        try stored { (store) throws(StorageError) in try store.publish() }
        beginEntry(raftIndex: index, term: term)
    }

    private func stored(_ body: (MVCCStore) throws(StorageError) -> Void) throws(BackendError) {
        do { try body(self) } catch { throw .storage(error) }
    }
}
