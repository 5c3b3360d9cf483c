// Keys with values, and the requests and answers of the KV service.

import Wire

/// One version of a key.
public struct KeyValue: Sendable, Equatable {
    public var key: [UInt8] = []
    public var createRevision: Int64 = 0
    public var modRevision: Int64 = 0
    /// Changes since the key was created.
    public var version: Int64 = 0
    public var value: [UInt8] = []
    public var lease: Int64 = 0

    public init() {}

    public init(_ bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: key = try reader.array(type)
            case 2: createRevision = try reader.int64(type)
            case 3: modRevision = try reader.int64(type)
            case 4: version = try reader.int64(type)
            case 5: value = try reader.array(type)
            case 6: lease = try reader.int64(type)
            default: try reader.skip(type, field: field)
            }
        }
    }
}

/// Which keys a request is about.
public enum KeyRange: Sendable, Equatable {
    case key([UInt8])
    /// From the first, without the second.
    case interval([UInt8], [UInt8])
    case prefix([UInt8])
    /// This key and all behind it.
    case from([UInt8])
    case all

    /// The two fields of requests. An empty key stands for the first one of all.
    public var bounds: (key: [UInt8], end: [UInt8]) {
        switch self {
        case .key(let key): (key, [])
        case .interval(let key, let end): (key, end)
        case .prefix(let prefix): prefix.isEmpty ? ([0], [0]) : (prefix, Self.end(ofPrefix: prefix))
        case .from(let key): (key.isEmpty ? [0] : key, [0])
        case .all: ([0], [0])
        }
    }

    /// The first key behind all that begin with `prefix`; a zero byte when there is none.
    public static func end(ofPrefix prefix: [UInt8]) -> [UInt8] {
        var end = prefix
        while let last = end.last {
            if last < 0xff {
                end[end.count - 1] = last + 1
                return end
            }
            end.removeLast()
        }
        return [0]
    }

    public static func key(_ text: String) -> Self { .key(Array(text.utf8)) }
    public static func prefix(_ text: String) -> Self { .prefix(Array(text.utf8)) }
}

/// A read of a range.
public struct Get: Sendable {
    public enum Order: UInt64, Sendable { case none = 0, ascending, descending }
    public enum Target: UInt64, Sendable { case key = 0, version, create, mod, value }

    public var range: KeyRange
    /// 0: all.
    public var limit: Int64 = 0
    /// 0: the newest.
    public var revision: Int64 = 0
    public var order = Order.none
    public var target = Target.key
    /// Answered by the member alone, perhaps not with the newest.
    public var isSerializable = false
    public var keysOnly = false
    public var countOnly = false
    public var minModRevision: Int64 = 0
    public var maxModRevision: Int64 = 0
    public var minCreateRevision: Int64 = 0
    public var maxCreateRevision: Int64 = 0

    public init(_ range: KeyRange) { self.range = range }
    public init(_ key: String) { self.init(.key(key)) }

    func encode(to sink: ByteSink) {
        let (key, end) = range.bounds
        sink.field(1, key)
        sink.field(2, end)
        sink.field(3, limit)
        sink.field(4, revision)
        sink.field(5, order.rawValue)
        sink.field(6, target.rawValue)
        sink.field(7, isSerializable)
        sink.field(8, keysOnly)
        sink.field(9, countOnly)
        sink.field(10, minModRevision)
        sink.field(11, maxModRevision)
        sink.field(12, minCreateRevision)
        sink.field(13, maxCreateRevision)
    }
}

public struct Put: Sendable {
    public var key: [UInt8]
    public var value: [UInt8]
    public var lease: Int64 = 0
    public var wantsPrevious = false
    /// Keeps the value that the key has.
    public var ignoresValue = false
    /// Keeps the lease that the key has.
    public var ignoresLease = false

    public init(_ key: [UInt8], _ value: [UInt8]) {
        self.key = key
        self.value = value
    }
    public init(_ key: String, _ value: String) { self.init(Array(key.utf8), Array(value.utf8)) }

    func encode(to sink: ByteSink) {
        sink.field(1, key)
        sink.field(2, value)
        sink.field(3, lease)
        sink.field(4, wantsPrevious)
        sink.field(5, ignoresValue)
        sink.field(6, ignoresLease)
    }
}

public struct Delete: Sendable {
    public var range: KeyRange
    public var wantsPrevious = false

    public init(_ range: KeyRange) { self.range = range }
    public init(_ key: String) { self.init(.key(key)) }

    func encode(to sink: ByteSink) {
        let (key, end) = range.bounds
        sink.field(1, key)
        sink.field(2, end)
        sink.field(3, wantsPrevious)
    }
}

public struct GetResponse: ResponseMessage {
    public var header = Header()
    public var kvs: [KeyValue] = []
    /// There are more keys than the limit let through.
    public var more = false
    /// Keys in the range, whatever the limit.
    public var count: Int64 = 0

    public init() {}

    public init(_ bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: header = try Header(try reader.bytes(type))
            case 2: kvs.append(try KeyValue(try reader.bytes(type)))
            case 3: more = try reader.bool(type)
            case 4: count = try reader.int64(type)
            default: try reader.skip(type, field: field)
            }
        }
    }
}

public struct PutResponse: ResponseMessage {
    public var header = Header()
    public var previous: KeyValue?

    public init(_ bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: header = try Header(try reader.bytes(type))
            case 2: previous = try KeyValue(try reader.bytes(type))
            default: try reader.skip(type, field: field)
            }
        }
    }
}

public struct DeleteResponse: ResponseMessage {
    public var header = Header()
    public var deleted: Int64 = 0
    public var previous: [KeyValue] = []

    public init(_ bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: header = try Header(try reader.bytes(type))
            case 2: deleted = try reader.int64(type)
            case 3: previous.append(try KeyValue(try reader.bytes(type)))
            default: try reader.skip(type, field: field)
            }
        }
    }
}
