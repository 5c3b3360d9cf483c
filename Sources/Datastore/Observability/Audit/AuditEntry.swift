// One change as the audit log tells it: which keys, by which request. Values and secrets are never looked at.

import Wire

/// Made when a request comes, finished when it is answered. Used on the call's event loop only.
struct AuditEntry {
    /// A key, or the keys from one to another, and what is done to them.
    struct Change {
        let operation: String
        let key: [UInt8]
        let rangeEnd: [UInt8]
        var lease: Int64 = 0
        /// In the branch of a transaction that is taken if its comparisons hold, or in the other; nil outside of one.
        var whenSucceeded: Bool?
    }

    let kind: InternalRequestKind?
    private(set) var changes: [Change] = []
    /// Changes beyond the bound.
    private(set) var more = 0
    /// What the request is about if that is no key: a lease, a revision, a user, a role, a member.
    private(set) var subject: [(name: String, value: String)] = []
    private(set) var revision: Int64 = 0
    private(set) var succeeded: Bool?

    init(_ kind: InternalRequestKind?, method: String, _ body: UnsafeRawBufferPointer) {
        self.kind = kind
        switch kind {
        case .put:
            if let put = try? PutRequest(decoding: body) { add(put) }
        case .deleteRange:
            if let delete = try? DeleteRangeRequest(decoding: body) { add(delete) }
        case .txn:
            if let txn = try? TxnRequest(decoding: body) { add(txn, branch: nil, depth: 0) }
        case .compaction:
            if let compaction = try? CompactionRequest(decoding: body) { subject = [("compact-revision", "\(compaction.revision)")] }
        case .leaseGrant:
            if let grant = try? LeaseGrantRequest(decoding: body) { subject = [("lease", Self.hexadecimal(grant.id)), ("ttl", "\(grant.ttl)")] }
        case .leaseRevoke:
            if let revoke = try? LeaseRevokeRequest(decoding: body) { subject = [("lease", Self.hexadecimal(revoke.id))] }
        default: describe(method, body)
        }
    }

    /// A lease that has run out, with the keys that go with it.
    init(expired lease: Int64, keys: [[UInt8]]) {
        kind = .leaseRevoke
        subject = [("lease", Self.hexadecimal(lease))]
        for key in keys { add(Change(operation: "delete", key: key, rangeEnd: [])) }
    }

    /// A compaction that the server has begun by itself.
    init(compaction revision: Int64) {
        kind = .compaction
        subject = [("compact-revision", "\(revision)")]
    }

    private static func hexadecimal(_ id: Int64) -> String { String(UInt64(bitPattern: id), radix: 16) }

    /// Fields of other requests that say whom or what they change, by number. Passwords are not among them.
    private static let named: [String: [(field: Int, name: String)]] = [
        "UserAdd": [(1, "subject-user")], "UserDelete": [(1, "subject-user")], "UserChangePassword": [(1, "subject-user")],
        "UserGrantRole": [(1, "subject-user"), (2, "role")], "UserRevokeRole": [(1, "subject-user"), (2, "role")],
        "RoleAdd": [(1, "role")], "RoleDelete": [(1, "role")], "RoleGrantPermission": [(1, "role")],
        "RoleRevokePermission": [(1, "role"), (2, "key"), (3, "range-end")],
        "MemberRemove": [(1, "member")], "MemberUpdate": [(1, "member")], "MemberPromote": [(1, "member")],
        "MoveLeader": [(1, "member")], "Lock": [(1, "key")], "Unlock": [(1, "key")], "Campaign": [(1, "key")],
    ]

    private mutating func describe(_ method: String, _ body: UnsafeRawBufferPointer) {
        guard let fields = Self.named[method] else { return }
        var reader = ProtobufReader(body)
        while let (field, type) = (try? reader.next()) ?? nil {
            if let name = fields.first(where: { $0.field == field })?.name, type == .bytes || type == .varint {
                if type == .bytes {
                    guard let bytes = try? reader.bytes() else { return }
                    subject.append((name, String(decoding: bytes, as: UTF8.self)))
                } else {
                    guard let id = try? reader.uint64(type) else { return }
                    subject.append((name, String(id, radix: 16)))
                }
            } else {
                guard (try? reader.skip(type, field: field)) != nil else { return }
            }
        }
    }

    private mutating func add(_ change: Change) {
        guard changes.count < ServerLimits.auditedChangesMax else {
            more += 1
            return
        }
        changes.append(change)
    }

    private mutating func add(_ put: PutRequest, branch: Bool? = nil) {
        add(Change(operation: "put", key: Array(put.key), rangeEnd: [], lease: put.lease, whenSucceeded: branch))
    }

    private mutating func add(_ delete: DeleteRangeRequest, branch: Bool? = nil) {
        add(Change(operation: "delete", key: Array(delete.key), rangeEnd: Array(delete.rangeEnd), whenSucceeded: branch))
    }

    /// Operations of transactions within transactions are told with the outermost branch.
    private mutating func add(_ txn: TxnRequest, branch: Bool?, depth: Int) {
        guard depth < ServerLimits.auditedDepthMax else {
            more += 1
            return
        }
        for (operations, taken) in [(txn.success, true), (txn.failure, false)] {
            operations.forEach { bytes in
                switch try? RequestOperation(decoding: bytes) {
                case .put(let put): add(put, branch: branch ?? taken)
                case .deleteRange(let delete): add(delete, branch: branch ?? taken)
                case .txn(let inner): add(inner, branch: branch ?? taken, depth: depth + 1)
                case .range, nil, .some(.none): break
                }
            }
        }
    }

    /// Whether the request changes nothing whatever happens: a transaction of reads.
    var isEmpty: Bool { kind == .txn && changes.isEmpty && more == 0 }

    mutating func answered(_ facts: AnswerFacts) {
        revision = facts.revision
        if kind == .txn { succeeded = facts.succeeded }
        if kind == .leaseGrant {
            subject.removeAll { $0.name == "lease" }
            subject.insert(("lease", Self.hexadecimal(facts.lease)), at: 0)
        }
    }

    /// What was done: of a transaction, the branch that was taken, if that is known.
    var done: [Change] {
        guard let succeeded else { return changes }
        return changes.filter { $0.whenSucceeded == nil || $0.whenSucceeded == succeeded }
    }
}
