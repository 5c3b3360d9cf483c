// hashkv: the hash of the history, from a file or a data directory.

import CommandLineTools
import KeySpace
import Wire

extension UtilityTool {
    func hashKVCommand() -> Command {
        let command = Command("hashkv <filename>", "Prints the KV history hash of a given file")
        command.long = """
            Prints the KV history hash of a given file: a database or snapshot of etcd's, or a data directory of etcd's or martlet's.
            It is what a server that starts on it answers to 'etcdctl endpoint hashkv'. The file is not changed. Of a martlet that was
            killed, what only its write-ahead log has is not counted.
            """
        let revision = command.flags.add("rev", Int64(0), "maximum revision to hash (default: latest revision)")
        command.arguments = .exactly(1)
        command.run = { [unowned self] invocation in
            let format = try self.format()
            let (console, path) = (invocation.console, invocation.arguments[0])
            switch try MemberPaths.target(path) {
            case .database(let file):
                let hash = try DatabaseHash(try DatabaseFile(file, self.patience(console)), revision: revision.value, console)
                try Self.show(hash.hash, hash.revision, hash.compactRevision, format, console)
            case .store(let paths):
                let store = try paths.openStore(self.patience(console))
                defer { store.close() }
                let job: HashJob
                do throws(CallError) { job = try store.hashKV(revision: revision.value) } catch { throw CommandFailure(mvccText(error.message)) }
                while try !job.step() {}
                try Self.show(job.hash, job.revision, max(job.compactRevision, 0), format, console)
            }
        }
        return command
    }

    private static func show(_ hash: UInt32, _ revision: Int64, _ compacted: Int64, _ format: Format, _ console: Console) throws {
        let row = [String(hash), String(revision), String(compacted)]
        switch format {
        case .simple: console.print(row.joined(separator: ", "))
        case .table: console.write(FramedTable.text(["hash", "hash revision", "compact revision"], [row]))
        case .fields:
            console.print("\"Hash\" : \(hash)")
            console.print("\"Hash revision\" : \(revision)")
            console.print("\"Compact revision\" : \(compacted)")
        case .json: console.print("{\"hash\":\(hash),\"hashRevision\":\(revision),\"compactRevision\":\(compacted)}")
        case .protobuf: throw format.unsupported()
        }
    }
}

/// The server's text without its own prefix, as the store itself says it.
private func mvccText(_ message: String) -> String {
    message.hasPrefix("etcdserver: ") ? String(message.dropFirst("etcdserver: ".count)) : message
}
