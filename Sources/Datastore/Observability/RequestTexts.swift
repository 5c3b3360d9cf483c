// Requests in the words of the slow-request lines: protobuf text with values and secrets left out.

import DatastoreTracing
import KeySpace
import Wire

enum RequestTexts {
    /// A replicated request with its header.
    static func text(of request: InternalRequest) -> String {
        var text = RequestText()
        text.header(id: request.id)
        if let kind = request.kind { append(kind, request.body, to: &text) }
        return text.text
    }

    /// A request as the client sent it.
    static func text(_ kind: InternalRequestKind, _ body: UnsafeRawBufferPointer) -> String {
        var text = RequestText()
        switch kind {
        case .put: if let put = try? PutRequest(decoding: body) { append(put, to: &text) }
        case .range: if let range = try? RangeRequest(decoding: body) { append(range, to: &text) }
        case .deleteRange: if let delete = try? DeleteRangeRequest(decoding: body) { append(delete, to: &text) }
        case .txn: if let txn = try? TxnRequest(decoding: body) { append(txn, to: &text) }
        default: append(kind, body, to: &text)
        }
        return text.text
    }

    static func text(_ range: RangeRequest) -> String {
        var text = RequestText()
        append(range, to: &text)
        return text.text
    }

    private static func append(_ kind: InternalRequestKind, _ body: UnsafeRawBufferPointer, to text: inout RequestText) {
        switch kind {
        case .put: if let put = try? PutRequest(decoding: body) { text.message("put") { append(put, to: &$0) } }
        case .range: if let range = try? RangeRequest(decoding: body) { text.message("range") { append(range, to: &$0) } }
        case .deleteRange:
            if let delete = try? DeleteRangeRequest(decoding: body) { text.message("delete_range") { append(delete, to: &$0) } }
        case .txn: if let txn = try? TxnRequest(decoding: body) { text.message("txn") { append(txn, to: &$0) } }
        case .compaction:
            if let compaction = try? CompactionRequest(decoding: body) {
                text.message("compaction") { $0.number("revision", compaction.revision) }
            }
        case .leaseGrant:
            if let grant = try? LeaseGrantRequest(decoding: body) {
                text.message("lease_grant") {
                    $0.seconds("ttl", grant.ttl)
                    $0.leaseID("id", grant.id)
                }
            }
        case .leaseRevoke:
            if let revoke = try? LeaseRevokeRequest(decoding: body) {
                text.message("lease_revoke") { $0.leaseID("id", revoke.id) }
            }
        default: break
        }
    }

    private static func append(_ put: PutRequest, to text: inout RequestText) {
        text.bytes("key", put.key)
        text.number("value_size", Int64(put.value.count))
        text.number("lease", put.lease)
    }

    private static func append(_ range: RangeRequest, to text: inout RequestText) {
        text.bytes("key", range.key)
        text.bytes("range_end", range.rangeEnd)
        text.number("limit", range.limit)
        text.number("revision", range.revision)
    }

    private static func append(_ delete: DeleteRangeRequest, to text: inout RequestText) {
        text.bytes("key", delete.key)
        text.bytes("range_end", delete.rangeEnd)
    }

    private static func append(_ txn: TxnRequest, to text: inout RequestText) {
        txn.compares.forEach { bytes in
            guard let compare = try? Compare(decoding: bytes) else { return }
            text.message("compare") { text in
                text.bytes("key", compare.key)
                if case .value(let value) = compare.operand { text.number("value_size", Int64(value.count)) }
                if case .version(let version) = compare.operand { text.number("version", version) }
                if case .createRevision(let revision) = compare.operand { text.number("create_revision", revision) }
                if case .modRevision(let revision) = compare.operand { text.number("mod_revision", revision) }
            }
        }
        txn.success.forEach { bytes in text.message("success") { append(operation: bytes, to: &$0) } }
        txn.failure.forEach { bytes in text.message("failure") { append(operation: bytes, to: &$0) } }
    }

    private static func append(operation bytes: UnsafeRawBufferPointer, to text: inout RequestText) {
        switch try? RequestOperation(decoding: bytes) {
        case .put(let put): text.message("request_put") { append(put, to: &$0) }
        case .range(let range): text.message("request_range") { append(range, to: &$0) }
        case .deleteRange(let delete): text.message("request_delete_range") { append(delete, to: &$0) }
        case .txn(let txn): text.message("request_txn") { append(txn, to: &$0) }
        case nil, .some(.none): break
        }
    }
}
