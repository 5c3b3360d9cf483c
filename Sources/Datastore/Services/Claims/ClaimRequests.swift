// The requests that locks and elections are made of. A claim is a key `<name>/<lease in hexadecimal>`; the claim
// with the lowest create revision under its prefix owns. Clients in other languages build the same keys with the
// same transactions, so keys and rules are contract (etcd's concurrency package).

import KeySpace
import Transport
import Wire

/// The keys under which a lock or an election is fought out.
struct ClaimPrefix {
    /// `<name>/`
    let bytes: [UInt8]
    /// The end of the range of all keys with the prefix.
    let end: [UInt8]

    init(name: UnsafeRawBufferPointer) {
        bytes = name + [UInt8(ascii: "/")]
        end = name + [UInt8(ascii: "/") + 1]
    }

    func key(lease: Int64) -> [UInt8] { bytes + Array(String(lease, radix: 16).utf8) }
}

enum ClaimRequests {
    private enum SortOrder { static let ascending: Int64 = 1, descending: Int64 = 2 }
    private enum SortTarget { static let createRevision: Int64 = 2 }
    private enum Target { static let createRevision: Int64 = 1 }

    /// The oldest key of the prefix: the owner.
    static func oldest(_ prefix: ClaimPrefix) -> ByteSink {
        let sink = ByteSink(capacity: 128)
        appendOldest(prefix, to: sink)
        return sink
    }

    /// The newest key of the prefix that is older than a claim: the one to wait for.
    static func predecessor(_ prefix: ClaimPrefix, of revision: Int64) -> ByteSink {
        let sink = ByteSink(capacity: 128)
        appendRange(prefix, order: SortOrder.descending, createdUpTo: revision - 1, to: sink)
        return sink
    }

    static func point(_ key: [UInt8]) -> ByteSink {
        let sink = ByteSink(capacity: 64)
        sink.field(1, key)
        return sink
    }

    private static func appendOldest(_ prefix: ClaimPrefix, to sink: ByteSink) {
        appendRange(prefix, order: SortOrder.ascending, createdUpTo: 0, to: sink)
    }

    private static func appendRange(_ prefix: ClaimPrefix, order: Int64, createdUpTo revision: Int64, to sink: ByteSink) {
        sink.field(1, prefix.bytes)
        sink.field(2, prefix.end)
        sink.field(3, 1 as Int64)
        sink.field(5, order)
        sink.field(6, SortTarget.createRevision)
        sink.field(13, revision)
    }

    private static func appendPut(_ key: [UInt8], _ value: [UInt8], lease: Int64, to sink: ByteSink) {
        sink.field(1, key)
        sink.field(2, value)
        sink.field(3, lease)
    }

    /// Puts the key unless it is there; reads it otherwise, and the owner with it if asked for.
    static func claim(_ key: [UInt8], value: [UInt8], lease: Int64, owner prefix: ClaimPrefix?) -> ByteSink {
        let sink = ByteSink(capacity: 512)
        compareCreation(of: key, with: 0, to: sink)
        sink.message(2) { sink in sink.message(2) { appendPut(key, value, lease: lease, to: $0) } }
        if let prefix { sink.message(2) { sink in sink.message(1) { appendOldest(prefix, to: $0) } } }
        sink.message(3) { sink in sink.message(1) { $0.field(1, key) } }
        if let prefix { sink.message(3) { sink in sink.message(1) { appendOldest(prefix, to: $0) } } }
        return sink
    }

    /// Gives a held key a new value.
    static func proclaim(_ key: [UInt8], created revision: Int64, value: [UInt8], lease: Int64) -> ByteSink {
        let sink = ByteSink(capacity: 256)
        compareCreation(of: key, with: revision, to: sink)
        sink.message(2) { sink in sink.message(2) { appendPut(key, value, lease: lease, to: $0) } }
        return sink
    }

    /// Deletes a key if it is still the one that was claimed.
    static func resign(_ key: [UInt8], created revision: Int64) -> ByteSink {
        let sink = ByteSink(capacity: 256)
        compareCreation(of: key, with: revision, to: sink)
        sink.message(2) { sink in sink.message(3) { $0.field(1, key) } }
        return sink
    }

    private static func compareCreation(of key: [UInt8], with revision: Int64, to sink: ByteSink) {
        sink.message(1) { sink in
            sink.field(2, Target.createRevision)
            sink.field(3, key)
            sink.always(5, UInt64(bitPattern: revision))
        }
    }
}

extension CallError {
    static let sessionExpired = CallError(.unknown, "mutex: session is expired")
    static let electionNoLeader = CallError(.unknown, "election: no leader")
    static let electionNotLeader = CallError(.unknown, "election: not leader")
    static let electionObserveClosed = CallError(.unknown, "election: observe closed early")
    static let leaderMissing = CallError(.unknown, "\"leader\" field must be provided")

    /// How Lock and Election tell an error of the request they made: etcd's code is lost on its way through the
    /// client inside the server, but for the errors of the call's own context.
    var fromInside: CallError {
        code == .cancelled || code == .deadlineExceeded ? self : CallError(.unknown, message)
    }
}

/// The requests that the server makes to itself on behalf of a call, with the rights of who sent it. Confined to
/// the call's event loop.
struct InnerClient: Sendable {
    let node: Node
    let call: Call
    let loop: ServerLoop

    init(_ node: Node, _ call: Call) {
        self.node = node
        self.call = call
        loop = call.loop
    }

    typealias Completion = @Sendable (Result<MessageView, CallError>) -> Void

    private func propose(_ kind: InternalRequestKind, _ body: ByteSink, _ completion: @escaping Completion) {
        withExtendedLifetime(body) {
            node.propose(kind, body.bytes, onBehalfOf: call) { result in
                completion(result.map { bytes in
                    guard let view = try? MessageView(decoding: bytes) else { preconditionFailure("apply answered \(kind) with no message") }
                    return view
                })
            }
        }
    }

    /// Checks what the KV service checks of a client's transaction, and proposes it.
    func txn(_ body: ByteSink, _ completion: @escaping Completion) {
        do {
            let cost = try withExtendedLifetime(body) {
                let limit = Int(clamping: node.configuration.limits.transactionOperationsMaximum)
                return try TxnRequest(decoding: body.bytes).validate(maximumOperations: limit).quotaCost
            }
            try node.checkQuota(cost: cost)
            propose(.txn, body, completion)
        } catch {
            completion(.failure(CallError(anything: error)))
        }
    }

    func delete(_ key: UnsafeRawBufferPointer, _ completion: @escaping Completion) {
        guard !key.isEmpty else { return completion(.failure(.emptyKey)) }
        let sink = ByteSink(capacity: 64)
        sink.field(1, key)
        propose(.deleteRange, sink, completion)
    }

    /// Grants the lease of a caller that brought none.
    func grant(_ completion: @escaping @Sendable (Result<Int64, CallError>) -> Void) {
        do { try node.checkQuota(cost: QuotaCost.leaseGrant) } catch { return completion(.failure(error)) }
        let sink = ByteSink(capacity: 32)
        LeaseGrantRequest(ttl: ServerLimits.claimLeaseSeconds, id: node.unusedLeaseID()).encode(to: sink)
        propose(.leaseGrant, sink) { result in completion(result.map { $0.number(2) }) }
    }

    /// What `grant` does for a lease of 0; any other is taken as it is, whether it exists or not.
    func lease(_ given: Int64, _ completion: @escaping @Sendable (Result<Int64, CallError>) -> Void) {
        if given == 0 { grant(completion) } else { completion(.success(given)) }
    }

    /// The first key that a range selects, read when local state is up to date.
    func first(_ body: ByteSink, _ completion: @escaping @Sendable (Result<FirstKey, CallError>) -> Void) {
        let request = body.array()
        node.confirmRead(on: loop) { error in
            if let error { return completion(.failure(error)) }
            request.withUnsafeBytes { bytes in
                guard let query = try? RangeRequest(decoding: bytes) else { preconditionFailure("a range of ours cannot be read") }
                let answer: RangeAnswer
                do throws(CallError) {
                    answer = try node.authorizedRead(call) { (auth, who) throws(CallError) in
                        try auth.check(who, query)
                    } _: { () throws(CallError) in
                        try node.store.range(query)
                    }
                } catch {
                    return completion(.failure(error))
                }
                node.metrics.mvcc.ranges.increment()
                walk(Walk(answer), completion)
            }
        }
    }

    /// A long walk over the index goes in slices, between which the loop serves others, however many walks there are.
    private func walk(_ walk: Walk, _ completion: @escaping @Sendable (Result<FirstKey, CallError>) -> Void) {
        guard walk.answer.isReady else {
            return loop.later {
                walk.answer.cursor?.step()
                self.walk(walk, completion)
            }
        }
        finish(walk.answer, completion)
    }

    private func finish(_ answer: RangeAnswer, _ completion: (Result<FirstKey, CallError>) -> Void) {
        let sink = ByteSink(capacity: 256)
        do { try answer.write(to: sink) } catch { return completion(.failure(node.readFailed(error))) }
        let first = withExtendedLifetime(sink) { (try? MessageView(decoding: sink.bytes))?.messages(2).first.map { [UInt8]($0) } }
        completion(.success(FirstKey(keyValue: first, revision: answer.revision)))
    }

    private final class Walk: @unchecked Sendable {
        // Unchecked: it never leaves the loop.
        let answer: RangeAnswer
        init(_ answer: RangeAnswer) { self.answer = answer }
    }
}

/// What a range for one key found.
struct FirstKey: Sendable {
    /// The encoded KeyValue; nil if there is none.
    let keyValue: [UInt8]?
    /// The store's revision when it was read.
    let revision: Int64

    /// The key's bytes and revisions.
    var key: [UInt8]? {
        keyValue?.withUnsafeBytes { bytes in (try? KeyValueView(decoding: bytes)).map { [UInt8]($0.key) } }
    }
}

extension Node {
    /// An ID for a lease; it must be the same on every member, so it is chosen before the grant is proposed.
    func unusedLeaseID() -> Int64 {
        while true {
            let id = Int64.random(in: 1 ... .max)
            if !keySpace.leases.contains(id) { return id }
        }
    }

    /// The encoded header (without tag) of an answer at a revision.
    func header(revision: Int64) -> [UInt8] {
        let sink = ByteSink(capacity: 48)
        headers.append(to: sink, revision: revision, term: consensus.term)
        return withExtendedLifetime(sink) { (try? MessageView(decoding: sink.bytes))?.messages(1).first.map { [UInt8]($0) } ?? [] }
    }
}
