// Looking after members. Most of it is about the member that answers: use a client of one endpoint.

import Wire

extension Client {
    public func status(timeout: Duration? = nil) async throws(ClientError) -> Answer<MemberStatusResponse> {
        try await answer(.status, timeout: timeout)
    }

    /// The hash of all keys up to a revision; 0: the newest.
    public func hashKV(revision: Int64 = 0, timeout: Duration? = nil) async throws(ClientError) -> Answer<HashResponse> {
        try await answer(.hashKV, timeout: timeout) { $0.field(1, revision) }
    }

    public func defragment(timeout: Duration? = nil) async throws(ClientError) {
        let _: Answer<HeaderResponse> = try await answer(.defragment, timeout: timeout)
    }

    public func alarms(timeout: Duration? = nil) async throws(ClientError) -> Answer<AlarmResponse> {
        try await answer(.alarm, timeout: timeout)
    }

    /// Ends an alarm of a member.
    public func disarm(
        memberID: UInt64, kind: UInt64, timeout: Duration? = nil
    ) async throws(ClientError) -> Answer<AlarmResponse> {
        try await answer(.alarm, timeout: timeout) {
            $0.field(1, 2 as UInt64)
            $0.field(2, memberID)
            $0.field(3, kind)
        }
    }

    /// Asks the leader, which must be this client's endpoint, to hand over.
    public func moveLeader(to id: UInt64, timeout: Duration? = nil) async throws(ClientError) -> Answer<HeaderResponse> {
        try await answer(.moveLeader, timeout: timeout) { $0.field(1, id) }
    }

    public enum DowngradeAction: UInt64, Sendable { case validate = 0, enable, cancel }

    public func downgrade(
        _ action: DowngradeAction, version: String = "", timeout: Duration? = nil
    ) async throws(ClientError) -> Answer<DowngradeResponse> {
        try await answer(.downgrade, timeout: timeout) {
            $0.field(1, action.rawValue)
            $0.field(2, version)
        }
    }

    /// The store of one member as a file: parts in their order. The last 32 bytes are the SHA-256 of those before.
    public func snapshot() async throws(ClientError) -> Snapshot { Snapshot(stream: try await stream(.snapshot, [])) }
}

/// The parts of a snapshot. Not more of them is fetched than is read, but for some megabytes.
public struct Snapshot: AsyncSequence, Sendable {
    public typealias Element = SnapshotPart
    public typealias Failure = ClientError

    let stream: StreamCall

    /// Ends it from another task; reading fails then.
    public func cancel() { stream.cancel() }

    public final class Iterator: AsyncIteratorProtocol {
        private let stream: StreamCall
        private var waiting: ArraySlice<[UInt8]> = []
        private var isFinished = false

        init(_ stream: StreamCall) { self.stream = stream }

        deinit { if !isFinished { stream.cancel() } }

        public func next() async throws(ClientError) -> SnapshotPart? { try await next(isolation: nil) }

        public func next(isolation actor: isolated (any Actor)?) async throws(ClientError) -> SnapshotPart? {
            guard !isFinished else { return nil }
            if waiting.isEmpty { waiting = try await stream.next()[...] }
            guard let bytes = waiting.popFirst() else {
                isFinished = true
                return nil
            }
            do throws(ProtobufError) { return try SnapshotPart(bytes: bytes) } catch { throw .malformed(error) }
        }
    }

    public func makeAsyncIterator() -> Iterator { Iterator(stream) }
}
