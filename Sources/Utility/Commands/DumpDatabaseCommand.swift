// dump-db: what a database holds, as etcd-dump-db tells it; a martlet store looks the same.

import CommandLineTools
import KeySpace
import Storage
import Wire

extension UtilityTool {
    func dumpDatabaseCommand() -> Command {
        let command = Command(
            "dump-db <command>", "Shows what a database or store holds, as etcd-dump-db does",
            long: """
                Shows what a database of etcd's holds. PATH is a database or snapshot file, or a data directory of etcd's or martlet's; a martlet
                store is shown as the database that etcd would have in its place. Nothing is changed.
                """)
        command.add(listBucketCommand(), iterateBucketCommand(), scanKeysCommand(), hashCommand())
        return command
    }

    private func listBucketCommand() -> Command {
        let command = Command("list-bucket PATH", "Lists all buckets")
        command.run = { [unowned self] invocation in
            guard invocation.arguments.count >= 1 else { throw CommandFailure("Must provide at least 1 argument (got [])") }
            let console = invocation.console
            switch try MemberPaths.target(invocation.arguments[0]) {
            case .database(let path):
                for name in try DatabaseFile(path, self.patience(console)).bolt.root.bucketNames() { console.print(String(decoding: name, as: UTF8.self)) }
            case .store:
                for name in (MetaBucket.allCases.map(\.name) + [BackendKeys.keyBucket]).sorted() { console.print(name) }
            }
        }
        return command
    }

    private func iterateBucketCommand() -> Command {
        let command = Command("iterate-bucket PATH BUCKET", "Lists key-value pairs of a bucket in reverse order")
        let limit = command.flags.add("limit", UInt64(0), "max number of key-value pairs to iterate (0 to iterate all)")
        let decodes = command.flags.add("decode", false, "true to decode Protocol Buffer encoded data")
        command.run = { [unowned self] invocation in
            let console = invocation.console
            guard invocation.arguments.count == 2 else {
                throw CommandFailure("Must provide 2 arguments (got [\(invocation.arguments.joined(separator: " "))])")
            }
            let (path, name) = (invocation.arguments[0], invocation.arguments[1])
            let patience = self.patience(console)
            let database: DatabaseFile
            switch try MemberPaths.target(path) {
            case .database(let file): database = try DatabaseFile(file, patience)
            case .store(let paths):
                let store = try paths.openStore(patience)
                defer { store.close() }
                database = try StoreCopy.temporary(store, patience)
            }
            guard let bucket = try database.bolt.root.bucket(name) else { throw CommandFailure("got nil bucket for \(name)") }
            let cursor = bucket.cursor()
            var left = limit.value
            var found = try cursor.last()
            while found {
                let value = cursor.isBucket ? UnsafeRawBufferPointer(start: nil, count: 0) : try cursor.value()
                console.print(decodes.value ? RecordText.decoded(name, cursor.key, value) : RecordText.raw(cursor.key, value))
                left &-= 1
                if left == 0 { break }
                found = try cursor.previous()
            }
        }
        return command
    }

    private func scanKeysCommand() -> Command {
        let command = Command("scan-keys PATH START_REVISION", "Lists all revisions that are anywhere in the file, also deleted ones that nothing has overwritten")
        command.run = { invocation in
            let console = invocation.console
            guard invocation.arguments.count == 2 else {
                throw CommandFailure("Must provide 2 arguments (got [\(invocation.arguments.joined(separator: " "))])")
            }
            guard let first = Int64(invocation.arguments[1]) else {
                throw CommandFailure("strconv.ParseInt: parsing \(GoText.quoted(invocation.arguments[1])): invalid syntax")
            }
            switch try MemberPaths.target(invocation.arguments[0]) {
            case .database(let path): try Self.scan(try BoltFile(opening: path, in: PosixFileSystem(), toleratesTruncation: true), first, console)
            case .store(let paths): try Self.scan(paths.store, first, console)
            }
        }
        return command
    }

    private static func scan(_ file: BoltFile, _ first: Int64, _ console: Console) throws {
        let buckets = Set((MetaBucket.allCases.map(\.name) + [BackendKeys.keyBucket]).map { Array($0.utf8) })
        try file.scanLeaves { page, index, count, key, value in
            guard let revision = RevisionKey(key) else {
                // The page of the buckets themselves.
                if buckets.contains([UInt8](key)) { return false }
                let digits = key.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
                console.print("Decoding revision failed, pageID: \(page), index: \(index), key: \(digits), error: it is no revision", to: .error)
                return true
            }
            guard first == 0 || revision.main >= first else { return true }
            let text = RecordText.record(revision, value) ?? "rev={Revision:{Main:\(revision.main) Sub:\(revision.sub)} tombstone:\(revision.isTombstone)}, value=\(GoText.quoted(value))"
            console.print("pageID=\(page), index=\(index)/\(count - 1), \(text)")
            return true
        } unreadable: { page, error in
            console.print("Reading page \(page) failed: \(error). Continuing...", to: .error)
        }
    }

    private static func scan(_ store: String, _ first: Int64, _ console: Console) throws {
        let reader = try RevisionLogReader(store, in: PosixFileSystem(), isLenient: true)
        try reader.forEach { record in
            guard first == 0 || record.main >= first else { return true }
            let key = BackendKeys.revision(record.main, sub: Int64(record.sub), isTombstone: record.kind == .tombstone)
            let text = key.withUnsafeBytes { RecordText.decoded(BackendKeys.keyBucket, $0, record.payload) }
            console.print("segment=\(record.location.segment), offset=\(record.location.offset), \(text)")
            return true
        }
        for problem in reader.problems { console.print("\(problem). Continuing...", to: .error) }
    }

    private func hashCommand() -> Command {
        let command = Command("hash PATH", "Computes the hash of all that is in the file, as the Hash call of a server does")
        command.run = { [unowned self] invocation in
            guard invocation.arguments.count >= 1 else { throw CommandFailure("Must provide at least 1 argument (got [])") }
            let console = invocation.console
            let hash = BackendHash()
            let shown: String
            switch try MemberPaths.target(invocation.arguments[0]) {
            case .database(let path):
                shown = path
                let database = try DatabaseFile(path, self.patience(console))
                let progress = Progress(console, "hashing", total: database.bolt.meta.size)
                for name in try database.bolt.root.bucketNames() {
                    let text = String(decoding: name, as: UTF8.self)
                    hash.beginBucket(text)
                    try database.bolt.root.bucket(text)?.forEach { key, value, isBucket in
                        hash.add(key, isBucket ? UnsafeRawBufferPointer(start: nil, count: 0) : value)
                        progress.add(key.count + value.count)
                    }
                    hash.endBucket()
                }
            case .store(let paths):
                shown = paths.store
                let store = try paths.openStore(self.patience(console))
                defer { store.close() }
                guard let content = store.backendContent(storageVersion: nil) else { preconditionFailure("a store that was opened has nothing unpublished") }
                while try content.step(into: hash) {}
            }
            console.print("db path: \(shown)\nHash: \(hash.value)")
        }
        return command
    }
}
