// defrag: gives the space back that a data directory has no use for, while no server runs on it.

import CommandLineTools
import KeySpace
import Storage
import Synchronization

#if canImport(Glibc)
import Glibc
#endif

extension UtilityTool {
    func defragCommand() -> Command {
        let command = Command("defrag", "Defragments the storage of the etcd")
        let dataDirectory = command.flags.add("data-dir", "", "Required. Defragments a data directory not in use by etcd.")
        dataDirectory.isRequired = true
        command.run = { invocation in
            do { try Defragmentation(dataDirectory.value, invocation.console).run() } catch {
                throw CommandFailure("Failed to defragment etcd data[\(dataDirectory.value)] (\(error))")
            }
        }
        return command
    }
}

private struct Defragmentation {
    let paths: MemberPaths
    /// As long as it takes, as etcdutl has it.
    let patience: LockPatience

    private let log: LogLines
    private let clock = ContinuousClock()
    private let start: ContinuousClock.Instant

    init(_ directory: String, _ console: Console) {
        log = LogLines(console: console)
        start = clock.now
        paths = MemberPaths(directory)
        patience = LockPatience(limit: .zero, console: console)
    }

    func run() throws { if paths.isMartlets { try collect() } else { try copy() } }

    private func notice(_ path: String) -> String {
        "waiting for etcd to close and release its lock on \(GoText.quoted(path)). To defrag a running etcd instance, use `etcdctl defrag` instead."
    }

    private func copy() throws {
        let database = try DatabaseFile(paths.database, isShared: false, patience, notice: notice(paths.database))
        let before = database.bolt.meta.size
        begin(paths.database, before)
        try DatabaseReplacement.replace(database, DatabaseChanges(), in: paths, patience.console, "defragmenting")
        end(paths.database, before, try BoltFile(opening: paths.database, in: PosixFileSystem()).meta.size)
    }

    // In the words of etcd's log, which scripts look for.

    private func begin(_ path: String, _ size: UInt64) { log.info("defragmenting", [("path", .text(path))] + sizes(size)) }

    private func end(_ path: String, _ before: UInt64, _ after: UInt64) {
        let took = GoText.text(clock.now - start)
        let difference = Int64(clamping: after) - Int64(clamping: before)
        log.info(
            "finished defragmenting directory",
            [("path", .text(path)), ("current-db-size-bytes-diff", .number(difference))] + sizes(after) + [("took", .text(took))])
    }

    private func sizes(_ bytes: UInt64) -> [(String, LogValue)] {
        [("current-db-size-bytes", .count(bytes)), ("current-db-size", .text(GoText.bytes(bytes)))]
    }

    /// Garbage collection, as the running server does it.
    private func collect() throws {
        let store = try MemberPaths.openStore(paths.store, in: PosixFileSystem(), patience, notice: notice(paths.store))
        defer { store.close() }
        let ended = Ended()
        let before = UInt64(store.size)
        begin(paths.store, before)
        let maintenance = StoreMaintenance(store: store) { report in
            if case .failed(let error) = report { ended.end(error) }
            if case .damaged(let error) = report { ended.end(error) }
        }
        maintenance.start()
        maintenance.defragment { ended.end($0) }
        let error = ended.wait()
        maintenance.stop()
        if let error { throw error }
        end(paths.store, before, UInt64(store.size))
    }
}

/// Told once by another thread.
private final class Ended: Sendable {
    private let state = Mutex<(isOver: Bool, error: StorageError?)>((false, nil))

    func end(_ error: StorageError?) {
        state.withLock { if !$0.isOver { $0 = (true, error) } }
    }

    func wait() -> StorageError? {
        while true {
            let (isOver, error) = state.withLock { $0 }
            if isOver { return error }
            usleep(UtilityLimits.lockRetryMicroseconds / 10)
        }
    }
}

/// A database that takes the place of the one that it was made from.
enum DatabaseReplacement {
    /// The name begins as etcd's own copies do, which removes what an interrupted one has left.
    static func replace(_ database: DatabaseFile, _ changes: DatabaseChanges, in paths: MemberPaths, _ console: Console, _ what: String) throws {
        let temporary = paths.database + ".tmp.martletutl"
        let system = PosixFileSystem()
        do {
            try DatabaseCopy(source: database.bolt, changes: changes).write(to: temporary, console, what)
            try system.rename(temporary, to: paths.database)
        } catch {
            try? system.remove(temporary)
            throw error
        }
        try system.syncDirectory(paths.snapshots)
    }
}
