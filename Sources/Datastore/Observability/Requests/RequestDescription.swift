// What a request asks for, in the words of the lines about slow ones and in the attributes of spans. Made only for requests
// that somebody wants to know of, and never with a value in it.

import DatastoreTracing
import Wire

/// An attribute of a span.
struct SpanAttribute: Sendable, Equatable {
    enum Value: Sendable, Equatable {
        case text(String), number(Int64), boolean(Bool)
    }

    let name: String
    let value: Value

    init(_ name: String, _ text: String) { (self.name, value) = (name, .text(text)) }
    init(_ name: String, _ number: Int64) { (self.name, value) = (name, .number(number)) }
    init(_ name: String, _ flag: Bool) { (self.name, value) = (name, .boolean(flag)) }
    init(_ name: String, key: UnsafeRawBufferPointer) { self.init(name, String(decoding: key, as: UTF8.self)) }

    /// Those of a watcher that is made.
    static func list(of request: WatchCreateRequest) -> [SpanAttribute] {
        [
            SpanAttribute("key", key: request.key), SpanAttribute("range_end", key: request.rangeEnd),
            SpanAttribute("start_rev", request.startRevision), SpanAttribute("progress_notify", request.progressNotify),
            SpanAttribute("prev_kv", request.wantsPrevious), SpanAttribute("fragment", request.fragment),
        ]
    }
}

/// One request of a client.
struct RequestDescription: Sendable {
    let kind: InternalRequestKind
    /// Protobuf text without values and secrets.
    let text: String
    let size: Int
    /// Operations of a transaction's branches and their bytes.
    private(set) var then = (count: 0, size: 0)
    private(set) var otherwise = (count: 0, size: 0)
    private(set) var isReadOnly = false
    /// A range whose answer is a stream.
    private(set) var isStream = false
    /// The fields of etcd's trace, in its order.
    private(set) var detail: [(name: String, value: String)] = []
    /// As etcd's child span has them.
    private(set) var attributes: [SpanAttribute] = []

    /// - Parameter kind: `range` and `txn` also for those that only read.
    init(_ kind: InternalRequestKind, _ body: UnsafeRawBufferPointer, isReadOnly: Bool = false, isStream: Bool = false) {
        self.kind = kind
        self.isReadOnly = isReadOnly
        self.isStream = isStream
        text = RequestTexts.text(kind, body)
        size = body.count
        switch kind {
        case .range:
            guard let range = try? RangeRequest(decoding: body) else { return }
            detail = [("range_begin", Self.text(range.key)), ("range_end", Self.text(range.rangeEnd))]
            attributes = [
                SpanAttribute("range_begin", key: range.key), SpanAttribute("range_end", key: range.rangeEnd),
                SpanAttribute("rev", range.revision), SpanAttribute("limit", range.limit),
                SpanAttribute("count_only", range.countOnly),
            ]
            if !isStream { attributes.append(SpanAttribute("keys_only", range.keysOnly)) }
        case .put:
            guard let put = try? PutRequest(decoding: body) else { return }
            detail = [("key", Self.text(put.key)), ("req_size", "\(body.count)")]
            attributes = [SpanAttribute("key", key: put.key)]
        case .deleteRange:
            guard let delete = try? DeleteRangeRequest(decoding: body) else { return }
            detail = [("key", Self.text(delete.key)), ("range_end", Self.text(delete.rangeEnd))]
            attributes = [SpanAttribute("range_begin", key: delete.key), SpanAttribute("range_end", key: delete.rangeEnd)]
        case .txn:
            guard let txn = try? TxnRequest(decoding: body) else { return }
            txn.success.forEach { then = (then.count + 1, then.size + $0.count) }
            txn.failure.forEach { otherwise = (otherwise.count + 1, otherwise.size + $0.count) }
            detail = [("read_only", "\(isReadOnly)")]
            describe(txn)
        case .compaction:
            guard let compaction = try? CompactionRequest(decoding: body) else { return }
            detail = [("revision", "\(compaction.revision)")]
            attributes = [SpanAttribute("is_physical", compaction.physical), SpanAttribute("rev", compaction.revision)]
        case .leaseGrant:
            guard let grant = try? LeaseGrantRequest(decoding: body) else { return }
            attributes = [SpanAttribute("id", grant.id), SpanAttribute("ttl", grant.ttl)]
        case .leaseRevoke:
            guard let revoke = try? LeaseRevokeRequest(decoding: body) else { return }
            attributes = [SpanAttribute("id", revoke.id)]
        default: break
        }
    }

    private mutating func describe(_ txn: TxnRequest) {
        var compared: String?
        txn.compares.forEach { bytes in
            guard compared == nil, let compare = try? Compare(decoding: bytes) else { return }
            compared = Self.text(compare.key)
        }
        var first: (key: String, type: String, lease: Int64)?
        txn.success.forEach { bytes in
            guard first == nil else { return }
            switch try? RequestOperation(decoding: bytes) {
            case .put(let put): first = (Self.text(put.key), "put", put.lease)
            case .range(let range): first = (Self.text(range.key), "range", 0)
            case .deleteRange(let delete): first = (Self.text(delete.key), "delete_range", 0)
            case .txn: first = ("", "txn", 0)
            case nil, .some(.none): break
            }
        }
        attributes = [
            SpanAttribute("compare_first_key", compared ?? ""), SpanAttribute("success_first_key", first?.key ?? ""),
            SpanAttribute("success_first_type", first?.type ?? ""), SpanAttribute("success_first_lease", first?.lease ?? 0),
            SpanAttribute("compare_len", Int64(txn.compares.count)), SpanAttribute("success_len", Int64(txn.success.count)),
            SpanAttribute("failure_len", Int64(txn.failure.count)), SpanAttribute("read_only", isReadOnly),
        ]
    }

    private static func text(_ bytes: UnsafeRawBufferPointer) -> String { String(decoding: bytes, as: UTF8.self) }

    /// The name of etcd's trace and of its child span.
    var operation: (trace: String, span: String)? {
        switch kind {
        case .range: isStream ? ("range_streaming", "range_streaming") : ("range", "range")
        case .put: ("put", "put")
        case .deleteRange: ("delete_range", "delete_range")
        case .txn: ("transaction", "txn")
        case .compaction: ("compact", "compact")
        case .leaseGrant: ("lease_grant", "lease_grant")
        case .leaseRevoke: ("lease_revoke", "lease_revoke")
        default: nil
        }
    }

    /// The counts and sizes of `request stats`; those of other methods and of failed calls are not told.
    ///
    /// - Parameter answerBytes: of the whole message, its header included.
    func content(_ answer: AnswerFacts?, answerBytes: Int) -> RequestStatistics.Content {
        var answer = answer ?? AnswerFacts()
        answer.size = answerBytes
        // Without an answer etcd knows no branch.
        if kind == .txn, answerBytes == 0 { return .init(requestCount: 0, requestSize: 0, responseCount: 0, responseSize: 0, text: "") }
        switch kind {
        case .range:
            return .init(
                requestCount: 0, requestSize: Int64(size), responseCount: answer.count, responseSize: Int64(answer.size), text: text)
        case .put:
            return .init(requestCount: 1, requestSize: Int64(size), responseCount: 0, responseSize: Int64(answer.size), text: text)
        case .deleteRange:
            return .init(
                requestCount: 0, requestSize: Int64(size), responseCount: answer.deleted, responseSize: Int64(answer.size), text: text)
        case .txn:
            let branch = answer.succeeded ? then : otherwise
            return .init(
                requestCount: Int64(branch.count), requestSize: Int64(branch.size), responseCount: 0,
                responseSize: Int64(answer.size), text: text)
        default: return .unknown
        }
    }
}

/// What the answer to a request says of itself.
struct AnswerFacts: Sendable {
    var size = 0
    /// Keys of each range in it.
    var counts: [Int] = []
    /// The field `count` of a range.
    var count: Int64 = 0
    var deleted: Int64 = 0
    /// The lease that was granted.
    var lease: Int64 = 0
    var succeeded = false
    var revision: Int64 = 0
    /// Operations answered by a transaction.
    var responses = 0

    init() {}

    /// The size of an answer as etcd counts it when it has applied a request: with the revision alone in its header.
    static func appliedSize(_ message: UnsafeRawBufferPointer) -> Int {
        var reader = ProtobufReader(message)
        guard let (field, type) = (try? reader.next()) ?? nil, field == 1, type == .bytes, let header = try? reader.bytes() else {
            return message.count
        }
        return message.count - lengthDelimitedSize(header.count) + headerSize(revision(header))
    }

    /// Bytes of a header with nothing but a revision.
    static func headerSize(_ revision: Int64) -> Int { lengthDelimitedSize(varintFieldSize(UInt64(bitPattern: revision))) }

    /// Reads the answer to a write.
    init(_ kind: InternalRequestKind, _ message: UnsafeRawBufferPointer) {
        size = message.count
        var reader = ProtobufReader(message)
        while let (field, type) = (try? reader.next()) ?? nil {
            switch (field, type) {
            case (1, .bytes):
                guard let header = try? reader.bytes() else { return }
                revision = Self.revision(header)
            case (2, .varint) where kind == .deleteRange:
                guard let value = try? reader.uint64(type) else { return }
                deleted = Int64(bitPattern: value)
            case (2, .varint) where kind == .leaseGrant:
                guard let value = try? reader.uint64(type) else { return }
                lease = Int64(bitPattern: value)
            case (2, .varint) where kind == .txn:
                guard let value = try? reader.uint64(type) else { return }
                succeeded = value != 0
            default:
                if kind == .txn, field == 3 { responses += 1 }
                guard (try? reader.skip(type, field: field)) != nil else { return }
            }
        }
    }

    /// Keys of each range in the responses of a transaction.
    static func rangeCounts(inTransaction message: UnsafeRawBufferPointer) -> [Int] {
        var counts: [Int] = []
        var reader = ProtobufReader(message)
        while let (field, type) = (try? reader.next()) ?? nil {
            guard field == 3, type == .bytes, let response = try? reader.bytes() else {
                guard field != 3, (try? reader.skip(type, field: field)) != nil else { return counts }
                continue
            }
            var operation = ProtobufReader(response)
            guard let (kind, kindType) = (try? operation.next()) ?? nil, kind == 1, kindType == .bytes, let range = try? operation.bytes()
            else { continue }
            var count = 0
            var fields = ProtobufReader(range)
            while let (field, type) = (try? fields.next()) ?? nil {
                if field == 2 { count += 1 }
                guard (try? fields.skip(type, field: field)) != nil else { break }
            }
            counts.append(count)
        }
        return counts
    }

    private static func revision(_ header: UnsafeRawBufferPointer) -> Int64 {
        var reader = ProtobufReader(header)
        while let (field, type) = (try? reader.next()) ?? nil {
            if field == 3, let value = try? reader.uint64(type) { return Int64(bitPattern: value) }
            guard field != 3, (try? reader.skip(type, field: field)) != nil else { return 0 }
        }
        return 0
    }
}
