// A martlet store as a database of etcd's.

import CommandLineTools
import KeySpace
import Storage

#if canImport(Glibc)
import Glibc
#endif

enum StoreCopy {
    /// Writes the database that etcd would have in the store's state.
    ///
    /// - Parameter storageVersion: the schema's, `3.6.0`; nil: none, as before 3.6.
    static func write(_ store: MVCCStore, storageVersion: String?, to path: String, _ console: Console, _ what: String) throws {
        guard let content = store.backendContent(storageVersion: storageVersion) else {
            preconditionFailure("a store that was opened has nothing unpublished")
        }
        let progress = Progress(console, what, total: UInt64(store.sizeInUse))
        try DatabaseOutput.write(to: path, pageSize: 4096, transaction: content.appliedIndex) { writer, drain in
            content.rewind()
            guard let drain else {
                while content.measure(into: writer) {}
                return
            }
            var last = writer.pageCount
            while try content.step(into: writer) {
                try drain()
                progress.add(Int(writer.pageCount - last) * writer.pageSize)
                last = writer.pageCount
            }
        }
    }

    /// The version of the schema that goes with the cluster's.
    static func storageVersion(_ store: MVCCStore) -> String? {
        guard let bytes = store.metaEntries(.cluster)[ClusterKeys.clusterVersion],
            let version = SchemaVersion(String(decoding: bytes, as: UTF8.self)), version >= .named
        else { return nil }
        return version.long
    }

    /// The same as a file without a name, for commands that go through a database backwards.
    static func temporary(_ store: MVCCStore, _ patience: LockPatience) throws -> DatabaseFile {
        let directory = ProcessEnvironment.value("TMPDIR") ?? "/tmp"
        var template = Array("\(directory)/martletutl-XXXXXX".utf8CString)
        let descriptor = mkstemp(&template)
        let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        guard descriptor >= 0 else { throw CommandFailure("cannot make a file in \(directory): \(systemText(errno))") }
        close(descriptor)
        defer { unlink(path) }
        try write(store, storageVersion: storageVersion(store), to: path, patience.console, "reading")
        return try DatabaseFile(path, patience)
    }
}
