// snapshot save: a member's store into a file.

import Client
import CommandLineTools
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
        func failure(_ text: String) -> CommandFailure { CommandFailure(text, status: Status.interrupted) }
        let part = path + ".part"
        let descriptor = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw failure("could not open \(part) (open \(part): \(reason()))") }
        var isWhole = false
        defer {
            if !isWhole {
                close(descriptor)
                unlink(part)
            }
        }
        let clock = ContinuousClock()
        let start = clock.now
        log("created temporary db file", [("path", part)])
        let progress = Progress(console, "snapshot")
        var size: UInt64 = 0
        var version = ""
        do {
            let snapshot = try await client.snapshot()
            let timer = limit.map { limit in
                Task {
                    try await Task.sleep(for: limit)
                    snapshot.cancel()
                }
            }
            defer { timer?.cancel() }
            log("opened snapshot stream; downloading", [], logger: "client")
            log("fetching snapshot", [("endpoint", endpoint)])
            for try await piece in snapshot {
                if !piece.version.isEmpty { version = piece.version }
                try write(piece.blob, descriptor, part)
                size += UInt64(piece.blob.count)
                progress.show(size, of: size + piece.remainingBytes)
            }
            progress.end()
            log("completed snapshot read; closing", [], logger: "client")
        } catch let error as ClientError {
            progress.end()
            let isLate = error.code == .cancelled && limit != nil
            Hints.show(error)
            throw failure(isLate ? "context deadline exceeded" : text(error))
        }
        guard size % 512 == 32 else { throw failure("sha256 checksum not found [bytes: \(size)]") }
        guard fsync(descriptor) == 0 else { throw failure("could not sync \(part) (\(reason()))") }
        guard close(descriptor) == 0 else { throw failure("could not close \(part) (\(reason()))") }
        isWhole = true
        log(
            "fetched snapshot",
            [("endpoint", endpoint), ("size", GoText.bytes(size)), ("took", GoText.text(clock.now - start)), ("etcd-version", version)])
        guard rename(part, path) == 0 else {
            let text = reason()
            unlink(part)
            throw failure("could not rename \(part) to \(path) (\(text))")
        }
        syncDirectory(of: path)
        log("saved", [("path", path)])
        return version
    }

    private static func write(_ bytes: [UInt8], _ descriptor: Int32, _ path: String) throws {
        try bytes.withUnsafeBytes { view in
            var rest = view[...]
            while !rest.isEmpty {
                let count = Glibc.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                if count < 0 {
                    if errno == EINTR { continue }
                    throw CommandFailure("write \(path): \(reason())", status: Status.interrupted)
                }
                rest = rest.dropFirst(count)
            }
        }
    }

    private static func syncDirectory(of path: String) {
        let directory = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        fsync(descriptor)
        close(descriptor)
    }

    private static func log(_ message: String, _ fields: [(String, String)], logger: String = "snapshot") {
        // A bar says it better to people.
        if isatty(STDERR_FILENO) == 0 { Diagnostics.log("info", logger, message, fields) }
    }

    private static func reason() -> String { String(cString: strerror(errno)).lowercased() }
}

/// A bar on standard error for people; nothing otherwise.
final class Progress {
    private let isShown: Bool
    private let what: String
    private let clock = ContinuousClock()
    private let start: ContinuousClock.Instant
    private var last: ContinuousClock.Instant

    init(_ console: Console, _ what: String) {
        isShown = console.isTerminal(.error)
        self.what = what
        start = clock.now
        last = start - .seconds(1)
    }

    func show(_ done: UInt64, of total: UInt64) {
        guard isShown, clock.now - last >= .milliseconds(100) || done == total else { return }
        last = clock.now
        let share = total == 0 ? 1 : Double(done) / Double(total)
        let filled = Int(share * 30)
        let seconds = (last - start) / .seconds(1)
        let speed = seconds > 0 ? GoText.bytes(UInt64(Double(done) / seconds)) : "0 B"
        let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: 30 - filled)
        print("\r\(what) [\(bar)] \(Int(share * 100))% \(GoText.bytes(done)) of \(GoText.bytes(total)), \(speed)/s ")
    }

    func end() { if isShown { print("\r\u{1b}[K") } }

    private func print(_ text: String) { _ = text.withCString { Glibc.write(STDERR_FILENO, $0, strlen($0)) } }
}
