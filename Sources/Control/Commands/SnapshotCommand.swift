// snapshot save: a member's store into a file.

import Client
import CommandLineTools
import Synchronization
import Wire

#if canImport(Glibc)
import Glibc
#endif

extension ControlTool {
    func snapshotCommand() -> Command {
        parent("snapshot <subcommand>", "Manages etcd node snapshots", saveCommand())
    }

    private func saveCommand() -> Command {
        let command = Command("save <filename>", "Stores an etcd node backend snapshot to a given file")
        command.runAsync = { [unowned self] invocation in
            guard invocation.arguments.count == 1 else { throw badArguments("snapshot save expects one argument") }
            let endpoints = try self.discovered()
            guard endpoints.count == 1 else {
                throw CommandFailure(
                    "snapshot must be requested to one selected node, not multiple [\(endpoints.joined(separator: " "))]",
                    status: Status.interrupted)
            }
            let path = invocation.arguments[0]
            let client = try await self.client(invocation.console, endpoints: endpoints)
            let isLimited = self.commandTimeout.isGiven
            let version = try await SnapshotFile.save(client, endpoints[0], path, limit: isLimited ? self.timeout : nil, invocation.console)
            invocation.console.print("Snapshot saved at \(path)")
            if !version.isEmpty { invocation.console.print("Server version \(version)") }
        }
        return command
    }
}

/// Writes aside, syncs, renames: the file is whole or not there.
enum SnapshotFile {
    static func save(
        _ client: Client, _ endpoint: String, _ path: String, limit: Duration?, _ console: Console
    ) async throws -> String {
        let clock = ContinuousClock()
        let start = clock.now
        let file = try PartFile(path)
        log("created temporary db file", [("path", file.part)])
        let progress = Progress(console, "snapshot", inBytes: true)
        var version = ""
        let snapshot = try await attempt(status: Status.interrupted) { try await client.snapshot() }
        let ending = Ending(limit) { snapshot.cancel() }
        defer { ending.done() }
        do throws(ClientError) {
            log("opened snapshot stream; downloading", [], logger: "client")
            log("fetching snapshot", [("endpoint", endpoint)])
            for try await piece in snapshot {
                if !piece.version.isEmpty { version = piece.version }
                if let problem = file.write(piece.blob) { throw ClientError(.aborted, problem) }
                progress.show(file.size, of: file.size + piece.remainingBytes)
            }
            progress.end()
            log("completed snapshot read; closing", [], logger: "client")
        } catch {
            progress.end()
            switch ending.cause {
            case .some(.limit): throw failure("context deadline exceeded")
            // As if it had not been caught, but for the file.
            case .some(.signal(let number)): throw CommandFailure("interrupted, nothing was saved", status: 128 + number)
            case .none: break
            }
            Hints.show(error)
            throw failure(error.code == .aborted ? error.message : text(error))
        }
        try file.keep()
        log(
            "fetched snapshot",
            [("endpoint", endpoint), ("size", GoText.bytes(file.size)), ("took", GoText.text(clock.now - start)), ("etcd-version", version)])
        try file.rename()
        log("saved", [("path", path)])
        return version
    }

    fileprivate static func failure(_ text: String) -> CommandFailure { CommandFailure(text, status: Status.interrupted) }

    private static func log(_ message: String, _ fields: [(String, String)], logger: String = "snapshot") {
        // A bar says it better to people.
        if isatty(STDERR_FILENO) == 0 { Diagnostics.log("info", logger, message, fields) }
    }
}

/// What may end a snapshot early: the limit of the command, a signal.
private final class Ending: Sendable {
    enum Cause: Sendable { case limit, signal(Int32) }

    private let told = Mutex<Cause?>(nil)
    private let tasks: [Task<Void, Never>]

    init(_ limit: Duration?, cancel: @escaping @Sendable () -> Void) {
        Signals.catchTermination()
        let (causes, feed) = AsyncStream.makeStream(of: Cause.self)
        var tasks = [Task { _ = feed.yield(.signal(await Signals.wait())) }]
        if let limit {
            tasks.append(
                Task {
                    do { try await Task.sleep(for: limit) } catch { return }
                    feed.yield(.limit)
                })
        }
        self.tasks = tasks
        Task { [weak self] in
            for await cause in causes {
                self?.told.withLock { $0 = $0 ?? cause }
                cancel()
            }
        }
    }

    var cause: Cause? { told.withLock { $0 } }

    func done() { for task in tasks { task.cancel() } }
}

/// A file that is written beside its name, and removed again unless it was renamed.
private final class PartFile {
    let part: String
    private let path: String
    private var descriptor: Int32
    private var isRenamed = false
    private(set) var size: UInt64 = 0

    init(_ path: String) throws {
        self.path = path
        part = path + ".part"
        descriptor = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw SnapshotFile.failure("could not open \(part) (open \(part): \(Self.reason()))") }
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
        if !isRenamed { unlink(part) }
    }

    /// What is wrong, if something is.
    func write(_ bytes: [UInt8]) -> String? {
        bytes.withUnsafeBytes { view in
            var rest = view[...]
            while !rest.isEmpty {
                let count = Glibc.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                if count < 0 {
                    if errno == EINTR { continue }
                    return "write \(part): \(Self.reason())"
                }
                rest = rest.dropFirst(count)
                size += UInt64(count)
            }
            return nil
        }
    }

    /// Checks that it is whole, and that the disk has it.
    func keep() throws {
        guard size % 512 == 32 else { throw SnapshotFile.failure("sha256 checksum not found [bytes: \(size)]") }
        guard fsync(descriptor) == 0 else { throw SnapshotFile.failure("could not sync \(part) (\(Self.reason()))") }
        let result = close(descriptor)
        descriptor = -1
        guard result == 0 else { throw SnapshotFile.failure("could not close \(part) (\(Self.reason()))") }
    }

    func rename() throws {
        guard Glibc.rename(part, path) == 0 else { throw SnapshotFile.failure("could not rename \(part) to \(path) (\(Self.reason()))") }
        isRenamed = true
        let directory = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        fsync(descriptor)
        close(descriptor)
    }

    private static func reason() -> String { String(cString: strerror(errno)).lowercased() }
}
