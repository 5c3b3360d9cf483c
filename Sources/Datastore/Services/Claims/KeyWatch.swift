// A watch of the server's own: what claims and observers wait for, through the same hub as clients' watches.

import KeySpace
import Transport
import Wire

/// What a watch of the server's own tells; on the event loop, after the hub is done.
enum KeyWatchEvent {
    /// The encoded KeyValue and the response's encoded header.
    case put(keyValue: [UInt8], header: [UInt8])
    case deleted
    /// The history that comes next was compacted.
    case compacted
    case failed(CallError)
}

/// One watcher in a hub stream of its own. Confined to its event loop.
final class KeyWatch: WatchOutput, @unchecked Sendable {
    // Unchecked: it crosses into closures of its own loop only.
    private let watches: WatchLoop
    private let loop: ServerLoop
    /// The stream that events are passed on to: while it is full the hub holds them back.
    private let call: Call?
    private var stream: WatchStream?
    private var handler: ((KeyWatchEvent) -> Void)?

    /// Starts watching.
    ///
    /// - Parameters:
    ///   - from: the first revision of interest.
    ///   - handler: told of every event until `stop`, in order, never before this returns.
    init(
        _ node: Node, on loop: ServerLoop, key: [UInt8], rangeEnd: [UInt8] = [], from revision: Int64,
        onlyDeletes: Bool = false, passingOnTo call: Call? = nil, handler: @escaping (KeyWatchEvent) -> Void
    ) {
        watches = node.loops[loop.index].watches
        self.loop = loop
        self.call = call
        self.handler = handler
        let stream = watches.hub.openStream(self, now: monotonicNow())
        self.stream = stream
        key.withUnsafeBytes { key in
            rangeEnd.withUnsafeBytes { end in
                var request = WatchCreateRequest()
                request.key = key
                request.rangeEnd = end
                request.startRevision = revision
                request.dropsPuts = onlyDeletes
                watches.hub.create(stream, request)
            }
        }
        watches.publishLevels()
        watches.pump()
    }

    /// No event is told after this.
    func stop() {
        handler = nil
        guard let stream else { return }
        self.stream = nil
        watches.hub.closeStream(stream)
        watches.publishLevels()
    }

    /// The call that events are passed on to takes more.
    func writable() {
        guard let stream else { return }
        watches.hub.writable(stream)
        watches.pump()
    }

    // MARK: Of the hub

    var queuedBytes: Int { call?.queuedBytes ?? 0 }

    func send(_ write: (ByteSink) -> Void) {
        let sink = ByteSink(capacity: 256)
        write(sink)
        withExtendedLifetime(sink) { receive(sink.bytes) }
    }

    func send(head: UnsafeRawBufferPointer, shared: SharedBytes) {
        let sink = ByteSink(capacity: head.count + shared.bytes.count)
        sink.append(head)
        sink.append(shared.bytes)
        withExtendedLifetime(sink) { receive(sink.bytes) }
    }

    func fail(_ error: CallError) { tell([.failed(error)]) }

    private func receive(_ bytes: UnsafeRawBufferPointer) {
        guard let response = try? MessageView(decoding: bytes) else { preconditionFailure("the hub sent no WatchResponse") }
        var events: [KeyWatchEvent] = []
        for message in response.messages(11) {
            guard let event = try? MessageView(decoding: message) else { continue }
            let isDelete = event.number(1) != 0
            let keyValue = event.messages(2).first.map { [UInt8]($0) } ?? []
            events.append(isDelete ? .deleted : .put(keyValue: keyValue, header: [UInt8](response.messages(1).first ?? .init(start: nil, count: 0))))
        }
        if response.number(4) != 0 {
            let reason = response.messages(6).first.map { String(decoding: $0, as: UTF8.self) } ?? ""
            events.append(reason.isEmpty ? .compacted : .failed(CallError(.unknown, reason)))
        }
        if !events.isEmpty { tell(events) }
    }

    /// The hub must not be entered again from here, so the handler has its turn afterwards.
    private func tell(_ events: [KeyWatchEvent]) {
        let pending = Pending(events)
        loop.execute { [self] in
            for event in pending.events { handler?(event) }
        }
    }

    private final class Pending: @unchecked Sendable {
        // Unchecked: made and read on one loop.
        let events: [KeyWatchEvent]
        init(_ events: [KeyWatchEvent]) { self.events = events }
    }
}
