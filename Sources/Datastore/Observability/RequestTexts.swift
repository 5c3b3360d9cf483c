// Requests in the words of the slow-request lines: protobuf text with values and secrets left out. What etcd prints by a type of its
// own (puts, transactions, leases, passwords) has no blank before its last bracket.

import DatastoreTracing
import KeySpace
import Wire

enum RequestTexts {
    /// A replicated request with its header.
    static func text(of request: InternalRequest) -> String {
        var text = RequestText()
        text.header(
            id: request.id, username: String(decoding: request.username, as: UTF8.self), authRevision: request.authRevision)
        guard let kind = request.kind else { return text.text }
        switch kind {
        case .put: text.closed("put") { append(.put, request.body, to: &$0) }
        case .txn: text.closed("txn") { append(.txn, request.body, to: &$0) }
        case .leaseGrant:
            if let grant = try? LeaseGrantRequest(decoding: request.body) {
                text.closed("lease_grant") {
                    $0.seconds("ttl", grant.ttl)
                    $0.leaseID("id", grant.id)
                    $0.dropBlank()
                }
            }
        case .leaseRevoke:
            if let revoke = try? LeaseRevokeRequest(decoding: request.body) {
                text.closed("lease_revoke") {
                    $0.leaseID("id", revoke.id)
                    $0.dropBlank()
                }
            }
        case .authenticate, .authUserAdd, .authUserChangePassword:
            let name: StaticString =
                kind == .authenticate ? "authenticate" : kind == .authUserAdd ? "auth_user_add" : "auth_user_change_password"
            text.closed(name) { $0.bare("name", firstText(request.body)) }
        default:
            guard let (name, fields) = messages[kind] else { return text.text }
            text.message(name) { append(fields, request.body, to: &$0) }
        }
        return text.text
    }

    /// A request as the client sent it.
    static func text(_ kind: InternalRequestKind, _ body: UnsafeRawBufferPointer) -> String {
        var text = RequestText()
        append(kind, body, to: &text)
        return text.text
    }

    private static func append(_ kind: InternalRequestKind, _ body: UnsafeRawBufferPointer, to text: inout RequestText) {
        switch kind {
        case .put: if let put = try? PutRequest(decoding: body) { append(put, to: &text) }
        case .txn: if let txn = try? TxnRequest(decoding: body) { append(txn, to: &text) }
        case .range: append(range, body, to: &text)
        case .authenticate, .authUserAdd, .authUserChangePassword: text.bare("name", firstText(body))
        default: if let (_, fields) = messages[kind] { append(fields, body, to: &text) }
        }
    }

    private static func append(_ put: PutRequest, to text: inout RequestText) {
        text.bytes("key", put.key)
        text.number("value_size", Int64(put.value.count))
        text.number("lease", put.lease)
    }

    private static func append(_ txn: TxnRequest, to text: inout RequestText) {
        text.list("compare", txn.compares.count) { text, separate in
            txn.compares.forEach { bytes in
                separate(&text)
                if let compare = try? Compare(decoding: bytes) { append(compare, to: &text) }
            }
        }
        text.blank()
        for (name, operations) in [("success" as StaticString, txn.success), ("failure", txn.failure)] {
            text.list(name, operations.count) { text, separate in
                operations.forEach { bytes in
                    separate(&text)
                    append(operation: bytes, to: &text)
                }
            }
            if name.utf8Start == ("success" as StaticString).utf8Start { text.blank() }
        }
    }

    private static func append(_ compare: Compare, to text: inout RequestText) {
        text.word("result", name(compare.result, ["", "GREATER", "LESS", "NOT_EQUAL"]))
        text.word("target", name(compare.target, ["", "CREATE", "MOD", "VALUE", "LEASE"]))
        text.bytes("key", compare.key)
        switch compare.operand {
        case .version(let version): text.always("version", version)
        case .createRevision(let revision): text.always("create_revision", revision)
        case .modRevision(let revision): text.always("mod_revision", revision)
        case .lease(let lease): text.always("lease", lease)
        case .value(let value): text.number("value_size", Int64(value.count))
        case .none: break
        }
        text.bytes("range_end", compare.rangeEnd)
    }

    private static func append(operation bytes: UnsafeRawBufferPointer, to text: inout RequestText) {
        var reader = ProtobufReader(bytes)
        guard let (field, type) = (try? reader.next()) ?? nil, type == .bytes, let body = try? reader.bytes() else { return }
        switch field {
        case 1: text.message("request_range") { append(range, body, to: &$0) }
        case 2: if let put = try? PutRequest(decoding: body) { text.closed("request_put") { append(put, to: &$0) } }
        case 3: text.message("request_delete_range") { append(deleteRange, body, to: &$0) }
        case 4: if let txn = try? TxnRequest(decoding: body) { text.closed("request_txn") { append(txn, to: &$0) } }
        default: break
        }
    }

    // MARK: Other messages, by their fields

    private indirect enum Field {
        case number(StaticString), unsigned(StaticString), bytes(StaticString), flag(StaticString)
        case word(StaticString, [StaticString])
        case message(StaticString, [Int: Field])
    }

    private static let range: [Int: Field] = [
        1: .bytes("key"), 2: .bytes("range_end"), 3: .number("limit"), 4: .number("revision"),
        5: .word("sort_order", ["", "ASCEND", "DESCEND"]), 6: .word("sort_target", ["", "VERSION", "CREATE", "MOD", "VALUE"]),
        7: .flag("serializable"), 8: .flag("keys_only"), 9: .flag("count_only"), 10: .number("min_mod_revision"),
        11: .number("max_mod_revision"), 12: .number("min_create_revision"), 13: .number("max_create_revision"),
    ]
    private static let deleteRange: [Int: Field] = [1: .bytes("key"), 2: .bytes("range_end"), 3: .flag("prev_kv")]

    private static let messages: [InternalRequestKind: (name: StaticString, fields: [Int: Field])] = [
        .range: ("range", range), .deleteRange: ("delete_range", deleteRange),
        .compaction: ("compaction", [1: .number("revision"), 2: .flag("physical")]),
        .leaseCheckpoint: ("lease_checkpoint", [1: .message("checkpoints", [1: .number("ID"), 2: .number("remaining_TTL")])]),
        .alarm: (
            "alarm",
            [1: .word("action", ["", "ACTIVATE", "DEACTIVATE"]), 2: .unsigned("memberID"), 3: .word("alarm", ["", "NOSPACE", "CORRUPT"])]
        ),
        .authEnable: ("auth_enable", [:]), .authDisable: ("auth_disable", [:]), .authStatus: ("auth_status", [:]),
        .authUserDelete: ("auth_user_delete", [1: .bytes("name")]), .authUserGet: ("auth_user_get", [1: .bytes("name")]),
        .authUserList: ("auth_user_list", [:]), .authRoleList: ("auth_role_list", [:]),
        .authUserGrantRole: ("auth_user_grant_role", [1: .bytes("user"), 2: .bytes("role")]),
        .authUserRevokeRole: ("auth_user_revoke_role", [1: .bytes("name"), 2: .bytes("role")]),
        .authRoleAdd: ("auth_role_add", [1: .bytes("name")]), .authRoleGet: ("auth_role_get", [1: .bytes("role")]),
        .authRoleDelete: ("auth_role_delete", [1: .bytes("role")]),
        .authRoleGrantPermission: (
            "auth_role_grant_permission",
            [
                1: .bytes("name"),
                2: .message("perm", [1: .word("permType", ["", "WRITE", "READWRITE"]), 2: .bytes("key"), 3: .bytes("range_end")]),
            ]
        ),
        .authRoleRevokePermission: ("auth_role_revoke_permission", [1: .bytes("role"), 2: .bytes("key"), 3: .bytes("range_end")]),
        .clusterVersionSet: ("cluster_version_set", [1: .bytes("ver")]),
        .memberAttributesSet: (
            "cluster_member_attr_set", [1: .unsigned("member_ID"), 2: .message("member_attributes", [1: .bytes("name"), 2: .bytes("client_urls")])]
        ),
        .downgradeInfoSet: ("downgrade_info_set", [1: .flag("enabled"), 2: .bytes("ver")]),
    ]

    /// In the order in which they come, which is that of their numbers in what any client writes.
    private static func append(_ fields: [Int: Field], _ body: UnsafeRawBufferPointer, to text: inout RequestText) {
        var reader = ProtobufReader(body)
        while let (number, type) = (try? reader.next()) ?? nil {
            guard let field = fields[number] else {
                guard (try? reader.skip(type, field: number)) != nil else { return }
                continue
            }
            switch (field, type) {
            case (.bytes(let name), .bytes):
                guard let bytes = try? reader.bytes() else { return }
                text.bytes(name, bytes)
            case (.message(let name, let inner), .bytes):
                guard let bytes = try? reader.bytes() else { return }
                text.message(name) { append(inner, bytes, to: &$0) }
            case (_, .varint):
                guard let value = try? reader.uint64(type) else { return }
                switch field {
                case .number(let name): text.number(name, Int64(bitPattern: value))
                case .unsigned(let name): text.unsigned(name, value)
                case .flag(let name): text.word(name, value == 0 ? "" : "true")
                case .word(let name, let words): text.word(name, self.name(Int32(truncatingIfNeeded: value), words))
                case .bytes, .message: break
                }
            default: guard (try? reader.skip(type, field: number)) != nil else { return }
            }
        }
    }

    private static func name(_ number: Int32, _ words: [StaticString]) -> StaticString {
        words.indices.contains(Int(number)) ? words[Int(number)] : "UNKNOWN"
    }

    /// The text of field 1.
    private static func firstText(_ body: UnsafeRawBufferPointer) -> String {
        var reader = ProtobufReader(body)
        while let (number, type) = (try? reader.next()) ?? nil {
            if number == 1, type == .bytes, let bytes = try? reader.bytes() { return String(decoding: bytes, as: UTF8.self) }
            guard number != 1, (try? reader.skip(type, field: number)) != nil else { return "" }
        }
        return ""
    }
}
