// The tool's tree of commands.

import Archive
import CommandLineTools
import Decoder

/// `martlet-decoder`: reads, writes and accounts for what Kubernetes stores.
public enum DecoderTool {
    /// The release of which this is a part.
    public static let version = "0.1.0"

    /// - Parameter version: what `version` prints.
    public static func root(version: String) -> Command {
        let root = Command(
            "martlet-decoder", "Reads and writes the objects that Kubernetes keeps in etcd or martlet.",
            long: """
                Reads and writes the objects that Kubernetes keeps in etcd or martlet: from a pipe, from a database or
                snapshot file of etcd's, or from a data directory of etcd's or martlet's, in use or not.

                Stores are opened for reading only, without a lock.
                """)
        let encryption = EncryptionFlag(root)
        let endpoints = EndpointFlags(root)
        root.add(
            DecodeCommand.command(encryption), EncodeCommand.command(), ExtractCommand.command(endpoints, encryption),
            AnalyzeCommand.command(endpoints), ChecksumCommand.command(endpoints), DiffCommand.command(endpoints, encryption),
            HistoryCommand.command(endpoints, encryption), GetCommand.command(endpoints, encryption), versionCommand(version))
        return root
    }

    private static func versionCommand(_ version: String) -> Command {
        let command = Command("version", "Prints the version")
        command.arguments = ArgumentRule.none
        command.run = { $0.console.print("martlet-decoder Version: \(version)") }
        return command
    }
}

/// Flags that name a store and how to read it.
struct SourceFlags {
    let file: TypedFlag<String>
    let isLenient: TypedFlag<Bool>
    let checksHash: TypedFlag<Bool>
    private let endpoints: EndpointFlags
    private let defaultsToLocalServer: Bool

    /// - Parameter defaultsToLocalServer: without a file and an endpoint, etcdctl's default is read from.
    init(_ command: Command, _ endpoints: EndpointFlags, defaultsToLocalServer: Bool = false) {
        self.endpoints = endpoints
        self.defaultsToLocalServer = defaultsToLocalServer
        file = command.flags.add(
            "file", short: "f", "", "database or snapshot `file` of etcd's, or data directory of etcd's or martlet's")
        isLenient = command.flags.add("lenient", false, "pass over what is damaged, and tell what it was")
        checksHash = command.flags.add("check-hash", false, "check the SHA-256 at the end of a snapshot file first")
    }

    /// Runs the body on the store; then tells what is odd about it.
    func withSource(
        _ console: Console, path: String? = nil, showsProgress: Bool = true, _ body: (any RevisionSource) throws -> Void
    ) throws {
        let path = path ?? file.value
        if path.isEmpty, !endpoints.isGiven {
            guard defaultsToLocalServer else { throw CommandLineError("required flag(s) \"file\" not set, nor \"endpoints\"") }
            try endpoints.endpoints.set("127.0.0.1:2379")
        }
        guard path.isEmpty || !file.isGiven || path == file.value else { throw CommandLineError("two stores are named, \(path) and \(file.value)") }
        do {
            if checksHash.value, !path.isEmpty { try SnapshotHash.check(path) }
            let source = path.isEmpty ? try endpoints.open() : try Archive.open(path, isLenient: isLenient.value)
            let bar = showsProgress ? ProgressBar(source, console) : nil
            defer {
                bar?.finish()
                for note in source.notes { console.print("warning: \(note)", to: .error) }
            }
            try body(source)
            // Damage is worth more than a success that hides it.
            if isLenient.value, !source.notes.isEmpty { throw CommandFailure("\(source.path) is damaged: what is shown may not be all") }
        } catch let error as ArchiveError {
            throw CommandFailure(error.description)
        }
    }
}
