// snapshot status: what a snapshot file is worth.

import CommandLineTools
import Storage

#if canImport(Glibc)
import Glibc
#endif

extension UtilityTool {
    func snapshotCommand() -> Command {
        let command = Command("snapshot <subcommand>", "Manages etcd node snapshots")
        command.add(snapshotRestoreCommand(), snapshotStatusCommand(), snapshotSaveCommand())
        return command
    }

    private func snapshotStatusCommand() -> Command {
        let command = Command(
            "status <filename>", "Gets backend snapshot status of a given file",
            long: """
                When --write-out is set to simple, this command prints out comma-separated status lists for each endpoint.
                The items in the lists are hash, revision, total keys, total size, version.
                """)
        command.run = { [unowned self] invocation in
            guard invocation.arguments.count == 1 else { throw badArguments("snapshot status requires exactly one argument") }
            let format = try self.format()
            let path = invocation.arguments[0]
            try Self.checkDatabase(path)
            let database: DatabaseFile
            do { database = try DatabaseFile(path, self.patience(invocation.console)) } catch let error as BoltError where error.problem == .noValidMeta {
                throw CommandFailure("invalid database")
            }
            let status = try DatabaseStatus(database, invocation.console)
            try Self.show(status, format, invocation.console)
        }
        return command
    }

    /// `save` has moved to the other tool.
    private func snapshotSaveCommand() -> Command {
        let command = Command("save <filename>", "Stores an etcd node backend snapshot to a given file")
        command.deprecation = "Use `etcdctl snapshot save` to download snapshot"
        command.run = { _ in throw badArguments("In order to download snapshot use: `etcdctl snapshot save ...`") }
        return command
    }

    /// Refuses what is no database, in etcdutl's words.
    private static func checkDatabase(_ path: String) throws {
        var status = stat()
        guard stat(path, &status) == 0 else { throw CommandFailure("stat \(path): \(systemText(errno))") }
        guard status.st_mode & S_IFMT == S_IFREG, status.st_size >= 1024 else { throw CommandFailure("invalid database") }
    }

    private static func show(_ status: DatabaseStatus, _ format: Format, _ console: Console) throws {
        let hash = String(status.hash, radix: 16)
        let row = [hash, String(status.revision), String(status.keys), GoText.bytes(status.size), status.version]
        switch format {
        case .simple: console.print(row.joined(separator: ", "))
        case .table: console.write(FramedTable.text(["hash", "revision", "total keys", "total size", "version"], [row]))
        case .fields:
            console.print("\"Hash\" : \(status.hash)")
            console.print("\"Revision\" : \(status.revision)")
            console.print("\"Keys\" : \(status.keys)")
            console.print("\"Size\" : \(status.size)")
            console.print("\"Version\" : \(status.version)")
        case .json:
            console.print(
                "{\"hash\":\(status.hash),\"revision\":\(status.revision),\"totalKey\":\(status.keys),\"totalSize\":\(status.size),"
                    + "\"version\":\(JSONText.quoted(status.version))}")
        case .protobuf: throw format.unsupported()
        }
    }
}
