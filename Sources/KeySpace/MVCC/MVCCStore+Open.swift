// Opening a store and asking for its size.

import Storage
import Wire

extension MVCCStore {
    /// Opens the store of a directory, or creates an empty one.
    ///
    /// - Throws: `StorageError`; `corrupt` if what the disk holds is not what was made durable.
    public static func open(
        fileSystem: any FileSystem, directory: String, logOptions: RevisionLogOptions = .init(), options: MVCCOptions = .init()
    ) throws -> MVCCStore {
        var restorer = Restorer(resources: options.resources)
        if !fileSystem.exists(directory) {
            try fileSystem.createDirectory(directory)
            // Nothing in a directory is durable before its own name is.
            if !logOptions.skipsSync, let slash = directory.lastIndex(of: "/") {
                try fileSystem.syncDirectory(slash == directory.startIndex ? "/" : String(directory[..<slash]))
            }
        }
        do {
            let log = try RevisionLog.open(
                fileSystem: fileSystem, directory: directory, options: logOptions,
                loadCheckpoint: { reader in
                    var decoder = CheckpointDecoder(resources: options.resources)
                    do {
                        var bytes = 0
                        while let block = try reader.next() {
                            bytes += block.count
                            try decoder.decode(block) { reader.retain($0) }
                        }
                        var state = try decoder.finish()
                        state.appliedIndex = reader.position.appliedIndex
                        state.appliedTerm = reader.position.appliedTerm
                        state.checkpointBytes = bytes
                        restorer.take(state)
                    } catch {
                        decoder.discard()
                        throw error
                    }
                },
                frame: { header, records in
                    for record in records {
                        try restorer.apply(
                            record.kind, main: record.main, sub: record.sub, payload: record.payload,
                            location: record.location)
                    }
                    restorer.endFrame(raftIndex: header.raftIndex, term: header.term)
                })
            var state = restorer.state
            // Entries that changed nothing leave no frame; the log may know that they were applied.
            if log.appliedIndex > state.appliedIndex {
                state.appliedIndex = log.appliedIndex
                state.appliedTerm = log.flushedPosition.appliedTerm
            }
            return MVCCStore(log: log, options: options, restored: state)
        } catch let error as CheckpointError {
            switch error {
            case .foreignFormat:
                throw StorageError(.recover, directory, .refused("the checkpoint was written by another version"))
            case .malformed(let text): throw StorageError(.recover, directory, .corrupt(text))
            }
        }
    }

    /// Closes the log's files. After the last use by any thread.
    public func close() { log.close() }

    /// The last entry that is applied and published; the write-ahead log is replayed behind it at the start.
    public var appliedPosition: (index: UInt64, term: UInt64) {
        let position = log.flushedPosition
        return (position.appliedIndex, position.appliedTerm)
    }

    /// The last entry whose effects survive a power loss; the write-ahead log is needed only behind it.
    public var durableIndex: UInt64 { log.durableIndex }

    /// Bytes that the store occupies, for the quota and `Status.dbSize`.
    public var size: Int { log.size }

    /// Bytes of what is not yet purged, for `Status.dbSizeInUse`.
    public var sizeInUse: Int { min(log.sizeInUse + exclusively { meta.byteCount }, size) }

    /// What is stored in a bucket beside the keys.
    public func metaEntries(_ bucket: MetaBucket) -> [[UInt8]: [UInt8]] {
        exclusively { meta[bucket] }
    }

    /// Visits every live key that has a lease, for leases to attach to when the store is opened.
    public func forEachAttachedKey(_ body: (KeyEntry, Int64) -> Void) {
        lock.withLock {
            var cursor = table.index.cursor(KeyRange(key: .zeroByte, rangeEnd: .zeroByte))
            while let entry = cursor.nextLive() {
                let lease = table.slab[entry.newest].pointee.lease
                if lease != 0 { body(entry, lease) }
            }
        }
    }
}
