// The shell around `WatchSession`: one stream for all watchers, opened again when it breaks.

import Wire

actor WatchHub {
    private struct Inbox {
        var responses: [WatchResponse] = []
        var first = 0
        var end: ClientError?
        var waiter: CheckedContinuation<Void, Never>?
    }

    /// Kept by the watchers.
    private weak var client: Client?
    private let metadata: [(String, String)]
    private var session = WatchSession()
    private var inboxes: [UInt64: Inbox] = [:]
    private var stream: StreamCall?
    private var runner: Task<Void, Never>?
    private var pendingReopen: ClientError?
    /// The stream was canceled because its last watcher went.
    private var isClosing = false

    init(client: Client, requiresLeader: Bool) {
        self.client = client
        metadata = requiresLeader ? [("hasleader", "true")] : []
    }

    func add(_ watch: Watch) -> UInt64 {
        let (key, actions) = session.add(watch)
        inboxes[key] = Inbox()
        perform(actions)
        if runner == nil { runner = Task { await self.run() } }
        return key
    }

    func cancel(_ key: UInt64) {
        perform(session.cancel(key))
        guard let inbox = inboxes.removeValue(forKey: key) else { return }
        inbox.waiter?.resume()
    }

    func requestProgress() { perform(session.requestProgress()) }

    /// Nil when the watcher was canceled by its user.
    func next(_ key: UInt64) async throws(ClientError) -> WatchResponse? {
        while true {
            guard let inbox = inboxes[key] else { return nil }
            if inbox.first < inbox.responses.count {
                let response = inbox.responses[inbox.first]
                inboxes[key]!.first += 1
                if inbox.first + 1 == inbox.responses.count {
                    inboxes[key]!.responses.removeAll(keepingCapacity: true)
                    inboxes[key]!.first = 0
                }
                perform(session.taken(key, response.byteCount))
                return response
            }
            if let end = inbox.end {
                inboxes[key] = nil
                throw end
            }
            await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    if Task.isCancelled { return continuation.resume() }
                    inboxes[key]!.waiter = continuation
                }
            } onCancel: {
                Task { await self.cancel(key) }
            }
            if Task.isCancelled {
                cancel(key)
                return nil
            }
        }
    }

    private func perform(_ actions: [WatchSession.Action]) {
        for action in actions {
            switch action {
            case .send(let message): stream?.send(message)
            case .deliver(let key, let response):
                inboxes[key]?.responses.append(response)
                wake(key)
            case .end(let key, let error):
                inboxes[key]?.end = error
                wake(key)
            case .reopen(let error):
                pendingReopen = error
                stream?.cancel()
            case .close:
                isClosing = true
                stream?.cancel()
            }
        }
    }

    private func wake(_ key: UInt64) {
        guard let waiter = inboxes[key]?.waiter else { return }
        inboxes[key]!.waiter = nil
        waiter.resume()
    }

    // MARK: The stream

    private func run() async {
        while !session.isEmpty {
            do throws(ClientError) { try await serve() } catch {
                session.disconnected()
                stream = nil
                guard !session.isEmpty else { break }
                await recover(pendingReopen ?? error)
                pendingReopen = nil
            }
        }
        stream = nil
        session.disconnected()
        runner = nil
        // One may have come while the old runner was on its way out.
        if !session.isEmpty { runner = Task { await self.run() } }
    }

    private func serve() async throws(ClientError) {
        guard let client else { throw .closed }
        let open = try await client.stream(.watch, metadata: metadata)
        stream = open
        defer { open.cancel() }
        // All may have gone meanwhile.
        if session.isEmpty { throw .closed }
        isClosing = false
        perform(session.connected())
        while true {
            let messages = try await open.next()
            if messages.isEmpty { throw ClientError(.unavailable, "the stream ended") }
            for message in messages {
                let response: WatchResponse
                do throws(ProtobufError) { response = try WatchResponse(bytes: message) } catch { throw .malformed(error) }
                perform(session.received(response))
            }
        }
    }

    /// A pause, or the end of all watchers.
    private func recover(_ error: ClientError) async {
        var failure: ClientError?
        do throws(ClientError) { try await client?.renewToken(after: error) } catch { failure = error }
        let isLasting = error.code != .unavailable && error.code != .internal && !RetryPolicy.isTokenRefused(error)
        // Those who required a leader are to know that there is none; the others wait for one.
        let lacksLeader = !metadata.isEmpty && error.matches(.noLeader)
        // The last watcher went, and another came at the same time.
        let isOurs = error.code == .cancelled && isClosing && client != nil
        isClosing = false
        if failure != nil || (isLasting && !isOurs) || lacksLeader {
            perform(session.fail(failure ?? error))
        } else {
            try? await Task.sleep(for: .milliseconds(ClientLimits.streamRetryMilliseconds))
        }
    }
}
