// The Watch service's messages.

import Wire

/// A change of one key.
public struct WatchEvent: Sendable, Equatable {
    public enum Kind: Sendable { case put, delete }

    public var kind = Kind.put
    public var kv = KeyValue()
    /// Before the change, if it was asked for and is not compacted.
    public var previous: KeyValue?

    public init() {}

    init(_ bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: kind = try reader.uint64(type) == 1 ? .delete : .put
            case 2: kv = try KeyValue(try reader.bytes(type))
            case 3: previous = try KeyValue(try reader.bytes(type))
            default: try reader.skip(type, field: field)
            }
        }
    }
}

public struct WatchResponse: ResponseMessage {
    public var header = Header()
    public var watchID: Int64 = 0
    public var isCreated = false
    public var isCanceled = false
    public var compactRevision: Int64 = 0
    public var cancelReason = ""
    var isFragment = false
    public var events: [WatchEvent] = []
    /// Encoded size, for bounds.
    var byteCount = 0

    public init(_ bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        byteCount = bytes.count
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: header = try Header(try reader.bytes(type))
            case 2: watchID = try reader.int64(type)
            case 3: isCreated = try reader.bool(type)
            case 4: isCanceled = try reader.bool(type)
            case 5: compactRevision = try reader.int64(type)
            case 6: cancelReason = try reader.string(type)
            case 7: isFragment = try reader.bool(type)
            case 11: events.append(try WatchEvent(try reader.bytes(type)))
            default: try reader.skip(type, field: field)
            }
        }
    }

    init() {}

    /// Nothing happened up to the header's revision.
    public var isProgress: Bool { events.isEmpty && !isCanceled && !isCreated && compactRevision == 0 && header.revision != 0 }
}

/// What to watch.
public struct Watch: Sendable {
    public var range: KeyRange
    /// The first revision whose events are wanted; 0: from now on.
    public var startRevision: Int64 = 0
    public var wantsPrevious = false
    /// Progress answers are wanted while nothing happens.
    public var wantsProgress = false
    public var dropsPuts = false
    public var dropsDeletes = false
    /// Large answers may come in parts; they are put together again.
    public var fragments = false
    /// The answer that the watch was created is handed on.
    public var tellsCreation = false

    public init(_ range: KeyRange) { self.range = range }
}
