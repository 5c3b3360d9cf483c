// Messages of the Watch service. Requests are views into the received bytes; a response is made of a head
// (everything before the events) and events, which are encoded once and shared.
// Field numbers: rpc.proto and kv.proto of the v3 API.

/// One message of the client's side of a watch stream.
public enum WatchRequest {
    case create(WatchCreateRequest)
    /// The watch ID.
    case cancel(Int64)
    case progress
    /// The union is unset or of a kind that is not known: to be ignored.
    case none

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        self = .none
        while let (field, type) = try reader.next() {
            switch field {
            case 1: self = .create(try WatchCreateRequest(decoding: try reader.bytes(type)))
            case 2:
                var id: Int64 = 0
                var inner = ProtobufReader(try reader.bytes(type))
                while let (field, type) = try inner.next() {
                    if field == 1 { id = try inner.int64(type) } else { try inner.skip(type, field: field) }
                }
                self = .cancel(id)
            case 3:
                var inner = ProtobufReader(try reader.bytes(type))
                while let (field, type) = try inner.next() { try inner.skip(type, field: field) }
                self = .progress
            default: try reader.skip(type, field: field)
            }
        }
    }
}

public struct WatchCreateRequest {
    public var key = UnsafeRawBufferPointer(start: nil, count: 0)
    public var rangeEnd = UnsafeRawBufferPointer(start: nil, count: 0)
    /// Inclusive; 0 is "from now".
    public var startRevision: Int64 = 0
    public var progressNotify = false
    /// Filter NOPUT.
    public var dropsPuts = false
    /// Filter NODELETE.
    public var dropsDeletes = false
    public var wantsPrevious = false
    /// 0: the server assigns one.
    public var watchID: Int64 = 0
    /// Large responses may be split.
    public var fragment = false

    public init() {}

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: key = try reader.bytes(type)
            case 2: rangeEnd = try reader.bytes(type)
            case 3: startRevision = try reader.int64(type)
            case 4: progressNotify = try reader.bool(type)
            case 5:
                if type == .bytes {
                    var packed = ProtobufReader(try reader.bytes())
                    while !packed.isAtEnd { addFilter(try packed.varint()) }
                } else {
                    addFilter(try reader.uint64(type))
                }
            case 6: wantsPrevious = try reader.bool(type)
            case 7: watchID = try reader.int64(type)
            case 8: fragment = try reader.bool(type)
            default: try reader.skip(type, field: field)
            }
        }
    }

    private mutating func addFilter(_ number: UInt64) {
        switch number {
        case 0: dropsPuts = true
        case 1: dropsDeletes = true
        default: break
        }
    }

    /// Appends the request's message (clients and tests).
    public func encode(to sink: ByteSink) {
        sink.field(1, key)
        sink.field(2, rangeEnd)
        sink.field(3, startRevision)
        sink.field(4, progressNotify)
        if dropsPuts || dropsDeletes {
            sink.tag(5, .bytes)
            sink.varint(dropsPuts && dropsDeletes ? 2 : 1)
            if dropsPuts { sink.varint(0) }
            if dropsDeletes { sink.varint(1) }
        }
        sink.field(6, wantsPrevious)
        sink.field(7, watchID)
        sink.field(8, fragment)
    }
}

/// Encoding of WatchResponse after its header (field 1).
public enum WatchResponseEncoding {
    /// Watch ID of refused creations and of answers to progress requests.
    public static let noWatch: Int64 = -1

    /// A watcher was created.
    public static func created(_ sink: ByteSink, watchID: Int64) {
        sink.field(2, watchID)
        sink.field(3, true)
    }

    /// A watcher was not created: created and canceled in one response.
    public static func refused(_ sink: ByteSink, reason: String) {
        sink.field(2, noWatch)
        sink.field(3, true)
        sink.field(4, true)
        sink.field(6, reason)
    }

    /// A watcher ended: on its client's request (`compactRevision` 0) or because compaction took away what
    /// it needs next.
    public static func canceled(_ sink: ByteSink, watchID: Int64, compactRevision: Int64 = 0) {
        sink.field(2, watchID)
        sink.field(4, true)
        sink.field(5, compactRevision)
    }

    /// Progress: nothing but a header and an ID.
    public static func progress(_ sink: ByteSink, watchID: Int64) { sink.field(2, watchID) }

    /// What stands between the header and the events.
    @inline(__always)
    public static func eventsHead(_ sink: ByteSink, watchID: Int64, fragment: Bool) {
        sink.field(2, watchID)
        sink.field(7, fragment)
    }

    @inline(__always)
    private static func putBodySize(record: Int, previous: Int?) -> Int {
        lengthDelimitedSize(record) + (previous.map(lengthDelimitedSize) ?? 0)
    }

    /// Appends a put as an item of a response: `record` is the encoded KeyValue.
    @inline(__always)
    public static func put(_ sink: ByteSink, record: UnsafeRawBufferPointer, previous: UnsafeRawBufferPointer?) {
        let size = putBodySize(record: record.count, previous: previous?.count)
        sink.reserve(size + 12)
        sink.tag(11, .bytes)
        sink.varint(UInt64(size))
        sink.always(2, record)
        if let previous { sink.always(3, previous) }
    }

    /// Appends a delete as an item of a response: its KeyValue has the key and the deletion's revision only.
    public static func delete(_ sink: ByteSink, key: UnsafeRawBufferPointer, revision: Int64, previous: UnsafeRawBufferPointer?) {
        let keyValue = lengthDelimitedSize(key.count) + varintFieldSize(UInt64(bitPattern: revision))
        let size = 2 + lengthDelimitedSize(keyValue) + (previous.map { lengthDelimitedSize($0.count) } ?? 0)
        sink.reserve(size + 12)
        sink.tag(11, .bytes)
        sink.varint(UInt64(size))
        sink.field(1, true)
        sink.message(2, size: keyValue) {
            $0.always(1, key)
            $0.field(3, revision)
        }
        if let previous { sink.always(3, previous) }
    }
}
