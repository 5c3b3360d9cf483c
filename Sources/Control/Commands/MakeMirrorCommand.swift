// make-mirror: another cluster that follows this one.

import Client
import CommandLineTools
import Synchronization
import Transport

#if canImport(Glibc)
import Glibc
#endif

extension ControlTool {
    func makeMirrorCommand() -> Command {
        let command = Command("make-mirror [options] <destination>", "Makes a mirror at the destination etcd cluster")
        let flags = command.flags
        let prefix = flags.add("prefix", "", "Key-value prefix to mirror")
        let revision = flags.add("rev", 0 as Int64, "Specify the kv revision to start to mirror")
        let operations = flags.add("max-txn-ops", 128, "Maximum number of operations permitted in a transaction during syncing updates.")
        let destinationPrefix = flags.add("dest-prefix", "", "destination prefix to mirror a prefix to a different prefix in the destination cluster")
        let noPrefix = flags.add("no-dest-prefix", false, "mirror key-values to the root of the destination cluster")
        let certificate = flags.add("dest-cert", "", "Identify secure client using this TLS certificate file for the destination cluster")
        let key = flags.add("dest-key", "", "Identify secure client using this TLS key file")
        let authority = flags.add("dest-cacert", "", "Verify certificates of TLS enabled secure servers using this CA bundle")
        let insecure = flags.add("dest-insecure-transport", true, "Disable transport security for client connections")
        let user = flags.add("dest-user", "", "Destination username[:password] for authentication (prompt if password is not supplied)")
        let password = flags.add("dest-password", "", "Destination password for authentication (if this option is used, --user option shouldn't include password)")
        command.runAsync = { [unowned self] invocation in
            guard invocation.arguments.count == 1 else { throw badArguments("make-mirror takes one destination argument") }
            guard destinationPrefix.value.isEmpty || !noPrefix.value else {
                throw badArguments("`--dest-prefix` and `--no-dest-prefix` cannot be set at the same time, choose one.")
            }
            var options = try self.options(invocation.console)
            options.endpoints = [invocation.arguments[0]]
            options.token = nil
            options.credentials = try self.credentials(user.value, password.value, invocation.console)
            var tls = TLSClientSettings()
            if !certificate.value.isEmpty { tls.certificateFile = certificate.value }
            if !key.value.isEmpty { tls.keyFile = key.value }
            if !authority.value.isEmpty { tls.authorityFile = authority.value }
            options.tls = tls == TLSClientSettings() && insecure.value ? nil : tls
            let source = try await self.client(invocation.console)
            let destination = try await Self.connect(options)
            let from = Array(prefix.value.utf8)
            let to = noPrefix.value ? [] : destinationPrefix.value.isEmpty ? from : Array(destinationPrefix.value.utf8)
            let mirror = Mirror(source, destination, from, to, max(1, operations.value))
            let telling = Self.tellProgress(mirror, invocation.console)
            do { try await mirror.run(from: revision.value) } catch let error as ClientError {
                telling.cancel()
                await telling.value
                throw failure(error)
            }
            throw CommandFailure("the mirror has ended")
        }
        return command
    }

    /// The number of copied keys, every thirty seconds; for people how it goes, all the time.
    private static func tellProgress(_ mirror: Mirror, _ console: Console) -> Task<Void, Never> {
        let line = StatusLine(isShown: console.isTerminal(.error))
        return Task {
            let clock = ContinuousClock()
            let start = clock.now
            var ticks = 0
            defer { line.clear() }
            while true {
                do { try await Task.sleep(for: .milliseconds(200)) } catch { return }
                ticks += 1
                if ticks % 150 == 0 {
                    line.clear()
                    let count = "\(mirror.copied)\n"
                    _ = count.withCString { write(STDOUT_FILENO, $0, strlen($0)) }
                }
                let (copied, total) = (mirror.copied, mirror.total)
                if copied < total {
                    line.show(Progress.text("mirror", UInt64(copied), UInt64(total), seconds: (clock.now - start) / .seconds(1), inBytes: false))
                } else if mirror.isFollowing {
                    line.show("mirror: \(copied) keys copied, at revision \(mirror.revision)")
                }
            }
        }
    }
}

/// Copies a prefix, then follows its changes.
final class Mirror: Sendable {
    private let source: Client
    private let destination: Client
    private let prefix: [UInt8]
    private let newPrefix: [UInt8]
    private let operationsMax: Int
    private let count = Atomic<Int>(0)
    private let reached = Atomic<Int64>(0)
    private let wanted = Atomic<Int>(0)
    private let follows = Atomic<Bool>(false)

    init(_ source: Client, _ destination: Client, _ prefix: [UInt8], _ newPrefix: [UInt8], _ operationsMax: Int) {
        self.source = source
        self.destination = destination
        self.prefix = prefix
        self.newPrefix = newPrefix
        self.operationsMax = operationsMax
    }

    var copied: Int { count.load(ordering: .relaxed) }
    var revision: Int64 { reached.load(ordering: .relaxed) }
    /// Keys that there were at the beginning.
    var total: Int { wanted.load(ordering: .relaxed) }
    /// Everything that there was is copied.
    var isFollowing: Bool { follows.load(ordering: .relaxed) }

    func run(from start: Int64) async throws(ClientError) {
        var next = start
        if start <= 1 {
            for try await page in source.pages(Get(.prefix(prefix))) {
                // All pages show the first one's revision; the headers of later ones say how far the store is by then.
                if next == start {
                    next = page.header.revision + 1
                    wanted.store(Int(page.count), ordering: .relaxed)
                    reached.store(page.header.revision, ordering: .relaxed)
                }
                for kv in page.kvs {
                    _ = try await destination.put(Put(renamed(kv.key), kv.value))
                    count.add(1, ordering: .relaxed)
                }
            }
        }
        follows.store(true, ordering: .relaxed)
        var watch = Watch(.prefix(prefix))
        watch.startRevision = next
        for try await response in await source.watch(watch) { try await apply(response.events) }
    }

    /// What happened at one revision happens at one revision, unless it is too much for one transaction.
    private func apply(_ events: [WatchEvent]) async throws(ClientError) {
        var batch: [Operation] = []
        var last: Int64 = 0
        for event in events {
            if event.kv.modRevision != last || batch.count == operationsMax {
                try await commit(batch)
                batch = []
                last = event.kv.modRevision
            }
            let key = renamed(event.kv.key)
            batch.append(event.kind == .put ? .put(Put(key, event.kv.value)) : .delete(Delete(.key(key))))
        }
        try await commit(batch)
        if last > 0 { reached.store(last, ordering: .relaxed) }
    }

    private func commit(_ operations: [Operation]) async throws(ClientError) {
        guard !operations.isEmpty else { return }
        _ = try await destination.transaction(Transaction(then: operations))
        count.add(operations.count, ordering: .relaxed)
    }

    private func renamed(_ key: [UInt8]) -> [UInt8] {
        guard prefix != newPrefix, key.starts(with: prefix) else { return key }
        return newPrefix + key.dropFirst(prefix.count)
    }
}
