// The client's end of a watch stream in tests: takes messages at its own pace and decodes them.

import Storage
import Testing
import Wire

@testable import KeySpace

/// A decoded WatchResponse.
struct Response: Equatable {
    struct KeyValue: Equatable {
        var key: [UInt8] = []
        var created: Int64 = 0
        var modified: Int64 = 0
        var version: Int64 = 0
        var value: [UInt8] = []
        var lease: Int64 = 0
    }

    struct Event: Equatable {
        var isDelete = false
        var keyValue = KeyValue()
        var previous: KeyValue?
    }

    var cluster: UInt64 = 0
    var member: UInt64 = 0
    var revision: Int64 = 0
    var term: UInt64 = 0
    var hasHeader = false
    var id: Int64 = 0
    var created = false
    var canceled = false
    var compactRevision: Int64 = 0
    var reason = ""
    var fragment = false
    var events: [Event] = []
    /// Encoded size.
    var size = 0

    var isProgress: Bool { events.isEmpty && !created && !canceled && compactRevision == 0 }
    var keys: [String] { events.map { String(decoding: $0.keyValue.key, as: UTF8.self) } }
    var revisions: [Int64] { events.map(\.keyValue.modified) }

    init(_ bytes: [UInt8]) throws {
        size = bytes.count
        try bytes.withUnsafeBytes { bytes in
            var reader = ProtobufReader(bytes)
            var lastField = 0
            while let (field, type) = try reader.next() {
                #expect(field >= lastField, "fields are in ascending order")
                lastField = field
                switch field {
                case 1:
                    hasHeader = true
                    var header = ProtobufReader(try reader.bytes(type))
                    while let (field, type) = try header.next() {
                        switch field {
                        case 1: cluster = try header.uint64(type)
                        case 2: member = try header.uint64(type)
                        case 3: revision = try header.int64(type)
                        case 4: term = try header.uint64(type)
                        default: Issue.record("header field \(field)")
                        }
                    }
                case 2: id = try reader.int64(type)
                case 3: created = try reader.bool(type)
                case 4: canceled = try reader.bool(type)
                case 5: compactRevision = try reader.int64(type)
                case 6: reason = try reader.string(type)
                case 7: fragment = try reader.bool(type)
                case 11: events.append(try Self.event(try reader.bytes(type)))
                default: Issue.record("response field \(field)")
                }
            }
        }
    }

    private static func event(_ bytes: UnsafeRawBufferPointer) throws -> Event {
        var event = Event()
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: event.isDelete = try reader.int32(type) == 1
            case 2: event.keyValue = try keyValue(try reader.bytes(type))
            case 3: event.previous = try keyValue(try reader.bytes(type))
            default: Issue.record("event field \(field)")
            }
        }
        return event
    }

    private static func keyValue(_ bytes: UnsafeRawBufferPointer) throws -> KeyValue {
        var result = KeyValue()
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: result.key = try reader.array(type)
            case 2: result.created = try reader.int64(type)
            case 3: result.modified = try reader.int64(type)
            case 4: result.version = try reader.int64(type)
            case 5: result.value = try reader.array(type)
            case 6: result.lease = try reader.int64(type)
            default: Issue.record("key-value field \(field)")
            }
        }
        return result
    }
}

/// Holds messages until the test takes them.
final class WatchClient: WatchOutput {
    private(set) var queuedBytes = 0
    private(set) var messages: [[UInt8]] = []
    private var owesWritable = false
    private(set) var failure: CallError?
    /// Calls to `send` with shared bytes, and the objects that came.
    private(set) var shared: [SharedBytes] = []
    /// Called at each send, as a transport that loses the connection while it writes.
    var onSend: (() -> Void)?
    private let sink = ByteSink()

    func send(_ write: (ByteSink) -> Void) {
        sink.clear()
        write(sink)
        queue(sink.array())
    }

    func send(head: UnsafeRawBufferPointer, shared: SharedBytes) {
        self.shared.append(shared)
        queue([UInt8](head) + [UInt8](shared.bytes))
    }

    func fail(_ error: CallError) { failure = error }

    private func queue(_ message: [UInt8]) {
        messages.append(message)
        queuedBytes += message.count
        if queuedBytes >= WatchLimits.streamQueueBytesMin { owesWritable = true }
        onSend?()
    }

    /// Takes messages off the queue; true if the hub is owed a call of `writable`.
    func take(_ count: Int = .max) -> (responses: [Response], isWritable: Bool) {
        let taken = messages.prefix(count)
        messages.removeFirst(taken.count)
        queuedBytes -= taken.reduce(0) { $0 + $1.count }
        let isWritable = owesWritable && queuedBytes < WatchLimits.streamQueueBytesMin
        if isWritable { owesWritable = false }
        return (taken.map { try! Response($0) }, isWritable)
    }
}

/// A hub with its history.
struct WatchFixture {
    let history = MemoryHistory()
    let hub: WatchHub

    /// - Parameter source: what the hub reads instead of the history.
    init(seed: UInt64 = 1, source: (any EventSource)? = nil, _ configure: (inout WatchConfiguration) -> Void = { _ in }) {
        var configuration = WatchConfiguration(seed: seed)
        configure(&configuration)
        hub = WatchHub(
            source: source ?? history, headers: ResponseHeaderEncoder(cluster: ClusterID(0xc1), member: MemberID(0xa1)), configuration: configuration,
            term: { 7 })
    }

    func open(now: UInt64 = 0) -> (client: WatchClient, stream: WatchStream) {
        let client = WatchClient()
        return (client, hub.openStream(client, now: now))
    }

    /// Creates a watcher; the request is encoded and decoded on the way.
    func create(_ stream: WatchStream, _ key: String, _ end: String = "", _ change: (inout WatchCreateRequest) -> Void = { _ in }) {
        create(stream, Array(key.utf8), Array(end.utf8), change)
    }

    func create(_ stream: WatchStream, _ key: [UInt8], _ end: [UInt8], _ change: (inout WatchCreateRequest) -> Void = { _ in }) {
        key.withUnsafeBytes { key in
            end.withUnsafeBytes { end in
                var request = WatchCreateRequest()
                request.key = key
                request.rangeEnd = end
                change(&request)
                let sink = ByteSink()
                sink.message(1) { request.encode(to: $0) }
                guard case .create(let decoded) = try! WatchRequest(decoding: sink.bytes) else { return #expect(Bool(false)) }
                hub.create(stream, decoded)
            }
        }
    }

    /// Tells the hub of what is published and lets it do all its work.
    func settle() {
        hub.published(through: history.currentRevision)
        while hub.hasWork { hub.runSlice() }
        hub.checkInvariants()
    }

    /// Everything that the client gets when it reads as fast as it can.
    func drain(_ client: WatchClient, _ stream: WatchStream) -> [Response] {
        var all: [Response] = []
        while true {
            settle()
            let (responses, isWritable) = client.take()
            all += responses
            if isWritable { hub.writable(stream) }
            if responses.isEmpty, !hub.hasWork { return all }
        }
    }
}
