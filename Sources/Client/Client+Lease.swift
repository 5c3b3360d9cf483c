// Leases: granting, and keeping alive over lost connections.

import Wire

extension Client {
    /// - Parameters:
    ///   - ttl: seconds; the server may give more.
    ///   - id: 0: the server chooses.
    public func grantLease(ttl: Int64, id: Int64 = 0, timeout: Duration? = nil) async throws(ClientError) -> Answer<LeaseGrantResponse> {
        try await answer(.leaseGrant, timeout: timeout) {
            $0.field(1, ttl)
            $0.field(2, id)
        }
    }

    /// Ends a lease and deletes its keys.
    @discardableResult
    public func revokeLease(_ id: Int64, timeout: Duration? = nil) async throws(ClientError) -> Answer<HeaderResponse> {
        try await answer(.leaseRevoke, timeout: timeout) { $0.field(1, id) }
    }

    public func leaseTimeToLive(
        _ id: Int64, keys: Bool = false, timeout: Duration? = nil
    ) async throws(ClientError) -> Answer<LeaseTimeToLiveResponse> {
        try await answer(.leaseTimeToLive, timeout: timeout) {
            $0.field(1, id)
            $0.field(2, keys)
        }
    }

    public func leases(timeout: Duration? = nil) async throws(ClientError) -> Answer<LeaseListResponse> {
        try await answer(.leaseLeases, timeout: timeout)
    }

    /// Renews a lease once.
    ///
    /// - Throws: `.leaseNotFound` when it is gone.
    public func keepAliveOnce(_ id: Int64, timeout: Duration? = nil) async throws(ClientError) -> Answer<LeaseKeepAliveResponse> {
        let limit = timeout ?? options.callTimeout
        let deadline = limit.map { monotonicNanoseconds() + $0.nanoseconds }
        var attempt = 0
        while true {
            attempt += 1
            let left = deadline.map { moment in Duration.nanoseconds(Int64(max(1, Int64(moment) - Int64(monotonicNanoseconds())))) }
            do throws(ClientError) {
                let stream = try await stream(.leaseKeepAlive, metadata: [], timeout: left)
                defer { stream.cancel() }
                stream.send(encoded { $0.field(1, id) })
                guard let bytes = try await stream.next().first else { throw ClientError(.unavailable, "the stream ended") }
                let answer = try Self.keepAliveAnswer(bytes)
                if answer.message.ttl <= 0 { throw ClientError(CallError.leaseNotFound) }
                return answer
            } catch {
                try await renewToken(after: error)
                guard error.code == .unavailable || RetryPolicy.isTokenRefused(error), attempt < ClientLimits.attemptsMax else { throw error }
                do { try await Task.sleep(for: .milliseconds(ClientLimits.retryMilliseconds)) } catch { throw .canceled }
            }
        }
    }

    static func keepAliveAnswer(_ bytes: [UInt8]) throws(ClientError) -> Answer<LeaseKeepAliveResponse> {
        do throws(ProtobufError) { return try Answer(bytes: bytes) } catch { throw .malformed(error) }
    }

    /// Keeps a lease alive until the sequence is let go: it has the answers to the renewals, one about every third of the
    /// lease's time. It ends when the lease is gone, or when no server answered for as long as the lease lives; to the
    /// first renewal: for a second longer than connecting may take.
    public func keepAlive(_ id: Int64) -> LeaseKeeping { LeaseKeeping(client: self, id: id) }
}

/// The answers to the renewals of a lease. Renewals are made while the sequence is read: a reader that is slow may lose
/// the lease. See `Session` for one that is renewed by itself.
public struct LeaseKeeping: AsyncSequence, Sendable {
    public typealias Element = Answer<LeaseKeepAliveResponse>
    public typealias Failure = ClientError

    let client: Client
    let id: Int64

    public final class Iterator: AsyncIteratorProtocol {
        private let client: Client
        private let id: Int64
        private var stream: StreamCall?
        /// When the lease is surely gone, as far as this side can tell.
        private var end: UInt64?
        /// When the next renewal is due.
        private var due: UInt64 = 0

        init(client: Client, id: Int64) {
            self.client = client
            self.id = id
        }

        deinit { stream?.cancel() }

        public func next() async throws(ClientError) -> Answer<LeaseKeepAliveResponse>? { try await next(isolation: nil) }

        public func next(isolation actor: isolated (any Actor)?) async throws(ClientError) -> Answer<LeaseKeepAliveResponse>? {
            let now = monotonicNanoseconds()
            if due > now { try await pause(due - now) }
            // How long the lease lives is not known before the first answer.
            if end == nil { end = now + client.options.dialTimeout.nanoseconds + 1_000_000_000 }
            while true {
                if let end, monotonicNanoseconds() >= end { return nil }
                do throws(ClientError) {
                    let open: StreamCall
                    if let stream { open = stream } else { open = try await client.stream(.leaseKeepAlive) }
                    stream = open
                    let id = id
                    open.send(encoded { $0.field(1, id) })
                    let bytes = try await answer(open)
                    let answer = try Client.keepAliveAnswer(bytes)
                    guard answer.message.ttl > 0 else { return nil }
                    let now = monotonicNanoseconds()
                    let life = UInt64(answer.message.ttl) * 1_000_000_000
                    end = now + life
                    due = now + life / 3
                    return answer
                } catch {
                    stream?.cancel()
                    stream = nil
                    if error.matches(.leaseNotFound) { return nil }
                    if Task.isCancelled { throw .canceled }
                    try await client.renewToken(after: error)
                    guard error.code == .unavailable || error.code == .deadlineExceeded || RetryPolicy.isTokenRefused(error) else { throw error }
                    try await pause(UInt64(ClientLimits.streamRetryMilliseconds) * 1_000_000)
                }
            }
        }

        /// The answer, or a failure when none comes in time for another attempt elsewhere.
        private nonisolated(nonsending) func answer(_ stream: StreamCall) async throws(ClientError) -> [UInt8] {
            let patience = end.map { Swift.max(500_000_000, ($0 - Swift.min($0, monotonicNanoseconds())) / 2) }
            let timer = patience.map { nanoseconds in
                Task {
                    try await Task.sleep(nanoseconds: nanoseconds)
                    stream.cancel()
                }
            }
            defer { timer?.cancel() }
            do throws(ClientError) {
                if let bytes = try await stream.next().first { return bytes }
            } catch {
                if error.code == .cancelled, !Task.isCancelled { throw ClientError(.unavailable, "no answer in time") }
                throw error
            }
            throw ClientError(.unavailable, "the stream ended")
        }

        private nonisolated(nonsending) func pause(_ nanoseconds: UInt64) async throws(ClientError) {
            do { try await Task.sleep(nanoseconds: nanoseconds) } catch { throw .canceled }
        }
    }

    public func makeAsyncIterator() -> Iterator { Iterator(client: client, id: id) }
}
