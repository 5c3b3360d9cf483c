// A lock among processes, as keys: the oldest key of a prefix holds it. The same scheme as etcd's own clients use, so that
// they exclude each other.

import Wire

/// To be used by one task at a time. Whether it is still held when something is written can be made sure with `isOwner`
/// as a condition of that transaction.
public actor DistributedMutex {
    private let session: Session
    private let prefix: [UInt8]
    public private(set) var key: [UInt8] = []
    /// When the key was made: grows with every holder.
    public private(set) var revision: Int64 = -1
    public private(set) var header = Header()

    public init(_ session: Session, _ name: String) {
        self.session = session
        prefix = Array(name.utf8) + Array("/".utf8)
    }

    private func enter() async throws(ClientError) -> (owner: KeyValue?, header: Header) {
        key = ownedKey(prefix, session.lease)
        var put = Put(key, [])
        put.lease = session.lease
        var owner = Get(.prefix(prefix))
        owner.order = .ascending
        owner.target = .create
        owner.limit = 1
        let answer = try await session.client.transaction(
            Transaction(
                if: [Comparison(key, .equal, .createRevision(0))], then: [.put(put), .get(owner)],
                else: [.get(Get(.key(key))), .get(owner)]))
        revision = answer.header.revision
        if !answer.succeeded, case .get(let own)? = answer.responses.first, let kv = own.kvs.first { revision = kv.createRevision }
        var first: KeyValue?
        if answer.responses.count > 1, case .get(let found) = answer.responses[1] { first = found.kvs.first }
        return (first, answer.header)
    }

    /// Takes the lock if nobody has it.
    public func tryLock() async throws(ClientError) -> Bool {
        let (owner, header) = try await enter()
        if owner == nil || owner!.createRevision == revision {
            self.header = header
            return true
        }
        try await unlock()
        return false
    }

    /// Waits for the lock.
    public func lock() async throws(ClientError) {
        let (owner, header) = try await enter()
        if owner == nil || owner!.createRevision == revision {
            self.header = header
            return
        }
        do throws(ClientError) {
            _ = try await session.client.waitForOlder(prefix: prefix, than: revision)
            // The session may have ended meanwhile, and the key with it.
            let own = try await session.client.get(Get(.key(key)))
            guard !own.kvs.isEmpty else { throw ClientError(.aborted, "mutex: session is expired") }
            self.header = own.header
        } catch {
            let client = session.client
            let key = key
            // Not with this task, which may be canceled.
            await Task { _ = try? await client.delete(Delete(.key(key)), timeout: .seconds(5)) }.value
            throw error
        }
    }

    /// - Parameter timeout: without an answer by then the lock is free when the session's lease ends.
    public func unlock(timeout: Duration? = nil) async throws(ClientError) {
        _ = try await session.client.delete(Delete(.key(key)), timeout: timeout)
        key = []
        revision = -1
    }

    /// True in a transaction while the lock is held.
    public var isOwner: Comparison { Comparison(key, .equal, .createRevision(revision)) }
}
