// Choosing one of many, as keys: the oldest key of a prefix is the leader's. The scheme of etcd's own clients.

import Wire

public actor Election {
    private let session: Session
    private let prefix: [UInt8]
    public private(set) var key: [UInt8] = []
    public private(set) var revision: Int64 = 0
    public private(set) var isLeader = false

    public init(_ session: Session, _ name: String) {
        self.session = session
        prefix = Array(name.utf8) + Array("/".utf8)
    }

    /// Waits to be the leader. A candidate that is already in the election changes its value.
    public func campaign(_ value: [UInt8]) async throws(ClientError) {
        let own = ownedKey(prefix, session.lease)
        var put = Put(own, value)
        put.lease = session.lease
        let answer = try await session.client.transaction(
            Transaction(if: [Comparison(own, .equal, .createRevision(0))], then: [.put(put)], else: [.get(Get(.key(own)))]))
        key = own
        revision = answer.header.revision
        if !answer.succeeded, case .get(let found)? = answer.responses.first, let kv = found.kvs.first {
            revision = kv.createRevision
            if kv.value != value { try await proclaim(value) }
        }
        do throws(ClientError) { _ = try await session.client.waitForOlder(prefix: prefix, than: revision) } catch {
            let client = session.client
            await Task { _ = try? await client.delete(Delete(.key(own)), timeout: .seconds(5)) }.value
            throw error
        }
        isLeader = true
    }

    /// Changes the leader's value.
    public func proclaim(_ value: [UInt8]) async throws(ClientError) {
        guard !key.isEmpty else { throw ClientError(.failedPrecondition, "election: not leader") }
        var put = Put(key, value)
        put.lease = session.lease
        let answer = try await session.client.transaction(
            Transaction(if: [Comparison(key, .equal, .createRevision(revision))], then: [.put(put)]))
        guard answer.succeeded else {
            key = []
            isLeader = false
            throw ClientError(.failedPrecondition, "election: not leader")
        }
    }

    /// Lets another one be the leader.
    public func resign(timeout: Duration? = nil) async throws(ClientError) {
        guard !key.isEmpty else { return }
        _ = try await session.client.transaction(
            Transaction(if: [Comparison(key, .equal, .createRevision(revision))], then: [.delete(Delete(.key(key)))]), timeout: timeout)
        key = []
        isLeader = false
    }

    /// The leader's key and value; nil when there is none.
    public static func leader(_ client: Client, _ name: String) async throws(ClientError) -> GetResponse {
        var get = Get(.prefix(Array(name.utf8) + Array("/".utf8)))
        get.order = .ascending
        get.target = .create
        get.limit = 1
        return try await client.get(get)
    }

    /// Tells the leader's key and value now and at each change, until the task is canceled.
    public static func observe(
        _ client: Client, _ name: String, _ body: (Header, KeyValue) async -> Void
    ) async throws(ClientError) {
        let prefix = Array(name.utf8) + Array("/".utf8)
        while true {
            let found = try await leader(client, name)
            let leader: KeyValue
            var header = found.header
            if let kv = found.kvs.first {
                leader = kv
            } else {
                var watch = Watch(.prefix(prefix))
                watch.startRevision = found.header.revision + 1
                watch.dropsDeletes = true
                var first: KeyValue?
                for try await answer in await client.watch(watch) where !answer.events.isEmpty {
                    first = answer.events[0].kv
                    header = answer.header
                    break
                }
                guard let first else { return }
                leader = first
            }
            await body(header, leader)
            var watch = Watch(.key(leader.key))
            watch.startRevision = max(header.revision, leader.modRevision) + 1
            var isGone = false
            following: for try await answer in await client.watch(watch) {
                for event in answer.events {
                    if event.kind == .delete {
                        isGone = true
                        break following
                    }
                    await body(answer.header, event.kv)
                }
            }
            if !isGone { return }
        }
    }
}
