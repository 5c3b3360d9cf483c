// The import as part of a start: locks, log lines.

import DatastoreTracing
import KeySpace
import Storage
import Wire

extension EtcdDirectory {
    /// Imports etcd's database if there is one and no store.
    ///
    /// - Throws: `StartError`, `BackendError` or `StorageError`; nothing of etcd's has changed then.
    static func importIfNeeded(_ configuration: Configuration, memberDirectory: String, log: Log) throws {
        let system = PosixFileSystem()
        let directory = EtcdDirectory(
            fileSystem: system, memberDirectory: memberDirectory, walDirectory: configuration.walDirectory)
        guard directory.needsImport else { return }
        // As etcd takes it: neither a running etcd nor a second import gets along with this one.
        let lock: any DirectoryLock
        do { lock = try system.lockFile(directory.database) } catch {
            guard error.reason == .locked else { throw error }
            throw StartError("\(directory.database) is locked: etcd runs on this data directory")
        }
        defer { lock.release() }
        guard directory.needsImport else { return }

        let began = monotonicNow()
        let plan = try directory.plan()
        let file = plan.backend.file
        let storageVersion: String = plan.backend.storageVersion ?? ""
        let size: UInt64 = file.meta.size
        log.info(
            "importing the database of etcd",
            [
                .string("path", file.path), .uint64("total-bytes", size), .string("size", humanBytes(size)),
                .uint64("consistent-index", plan.index), .uint64("term", plan.term), .string("storage-version", storageVersion),
            ])
        for name in plan.strangeBuckets { log.warn("left a bucket that etcd does not have", .string("bucket", name)) }
        var options = RevisionLogOptions()
        options.skipsSync = configuration.unsafeNoFsync
        let result = try directory.carryOut(plan, logOptions: options) { (progress: BackendImport) in
            let bytes = UInt64(progress.bytes)
            log.info("importing", .int("records", Int64(progress.records)), .string("size", humanBytes(bytes)))
        }
        let took: UInt64 = monotonicNow() - began
        log.info(
            "imported the database of etcd; it stays where it is and may be removed",
            [
                .string("path", file.path), .string("store", directory.store), .int("records", Int64(result.records)),
                .int("revision", result.revision), .int("compact-revision", result.compactRevision), .duration("took", took),
            ])
    }
}
