// A lease that is kept alive by itself: what locks and candidacies hang on.

import Wire

/// Keeps a lease alive until it is closed. When the lease is lost, everything that was held through it is lost.
public actor Session {
    public nonisolated let client: Client
    public nonisolated let lease: Int64
    private var keeper: Task<Void, Never>?
    private var isOver = false
    private var waiters: [CheckedContinuation<Void, Never>] = []

    /// - Parameters:
    ///   - ttl: seconds that the lease outlives this process.
    ///   - lease: an existing one instead of a new one.
    public init(_ client: Client, ttl: Int64 = 60, lease: Int64 = 0) async throws(ClientError) {
        self.client = client
        if lease == 0 { self.lease = try await client.grantLease(ttl: ttl).message.id } else { self.lease = lease }
        start()
    }

    private func start() {
        keeper = Task { [client, lease, weak self] in
            do { for try await _ in client.keepAlive(lease) {} } catch {}
            await self?.ended()
        }
    }

    private func ended() {
        isOver = true
        for waiter in waiters { waiter.resume() }
        waiters = []
    }

    public var isAlive: Bool { !isOver }

    /// Returns when the lease is lost or the session closed.
    public func expired() async {
        if isOver { return }
        await withCheckedContinuation { waiters.append($0) }
    }

    /// Gives the lease back, and with it everything that hangs on it.
    public func close(timeout: Duration? = nil) async throws(ClientError) {
        keeper?.cancel()
        ended()
        _ = try await client.revokeLease(lease, timeout: timeout)
    }

    deinit { keeper?.cancel() }
}

extension Client {
    /// Waits until no key of a prefix is older than `revision`.
    func waitForOlder(prefix: [UInt8], than revision: Int64) async throws(ClientError) -> Header {
        while true {
            var get = Get(.prefix(prefix))
            get.order = .descending
            get.target = .create
            get.limit = 1
            get.maxCreateRevision = revision - 1
            let found = try await self.get(get)
            guard let last = found.kvs.first else { return found.header }
            var watch = Watch(.key(last.key))
            watch.startRevision = found.header.revision + 1
            watch.dropsPuts = true
            let answers = await self.watch(watch)
            var isGone = false
            for try await answer in answers {
                isGone = answer.events.contains { $0.kind == .delete }
                if isGone { break }
            }
            if !isGone { throw .canceled }
        }
    }
}

/// The name of a key that belongs to a session.
func ownedKey(_ prefix: [UInt8], _ lease: Int64) -> [UInt8] {
    prefix + Array(String(UInt64(bitPattern: lease), radix: 16).utf8)
}
