// The handle that handlers use to answer a call.

import Wire

/// Handle of a call in progress: a slot of its loop and a generation. Copying it is free; a stale handle is
/// harmless: `isAlive` is false and operations do nothing. To be used on the call's loop only.
public struct Call: Hashable, Sendable {
    let loopReference: Unmanaged<ServerLoop>
    let index: UInt32
    let generation: UInt32

    @inline(__always)
    init(_ loop: ServerLoop, _ index: UInt32, _ generation: UInt32) {
        loopReference = Unmanaged.passUnretained(loop)
        self.index = index
        self.generation = generation
    }

    public static func == (a: Call, b: Call) -> Bool {
        a.index == b.index && a.generation == b.generation && a.loopReference.toOpaque() == b.loopReference.toOpaque()
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(index)
        hasher.combine(generation)
    }

    public var loop: ServerLoop { loopReference._withUnsafeGuaranteedRef { $0 } }

    /// The slot while the handle is not stale, be the call alive or just cancelled.
    @inline(__always)
    func found() -> UnsafeMutablePointer<CallSlot>? {
        assert(loop.eventLoop.inEventLoop, "a call is used outside its event loop")
        return loopReference._withUnsafeGuaranteedRef { $0.calls.find(index, generation) }
    }

    @inline(__always)
    private func alive() -> UnsafeMutablePointer<CallSlot>? {
        guard let slot = found(), slot.pointee.flags.contains(.alive) else { return nil }
        return slot
    }

    /// On the connection of the call, or on the caller inside this process where there is none.
    @inline(__always)
    private func withConnection(
        _ body: (ServerConnection, UnsafeMutablePointer<CallSlot>) -> Void,
        local: (LocalCall, UnsafeMutablePointer<CallSlot>) -> Void
    ) {
        guard let slot = alive() else { return }
        if let connection = slot.pointee.connection {
            connection._withUnsafeGuaranteedRef { body($0, slot) }
        } else {
            local(slot.pointee.local.unsafelyUnwrapped, slot)
        }
    }

    // MARK: State

    /// True until the call is replied to, failed, finished or cancelled.
    public var isAlive: Bool { alive() != nil }

    /// Position of the method in the server's table.
    public var method: Int { found().map { Int($0.pointee.method) } ?? -1 }

    /// Monotonic nanoseconds (CLOCK_MONOTONIC), `.max` without a deadline.
    public var deadline: UInt64 { found()?.pointee.deadline ?? .max }

    /// Monotonic nanoseconds of the batch in which the call came; 0 for a stale handle.
    public var startedAt: UInt64 { found()?.pointee.startedAt ?? 0 }

    /// A number of the observer's for whoever calls; 0: not yet known. A call begins with its connection's.
    public var client: UInt32 {
        get { found()?.pointee.client ?? 0 }
        nonmutating set { found()?.pointee.client = newValue }
    }

    /// The same for all calls of the connection that come after this one. Calls from inside this process have none.
    public func keepClient(_ client: UInt32) {
        guard let slot = found() else { return }
        slot.pointee.client = client
        slot.pointee.connection?._withUnsafeGuaranteedRef { $0.client = client }
    }

    /// State of the handler for this call; released when the call has ended.
    public var userData: AnyObject? {
        get { found()?.pointee.userData }
        nonmutating set { found()?.pointee.userData = newValue }
    }

    /// Bytes queued that the peer's windows or the socket did not take yet.
    public var queuedBytes: Int { found()?.pointee.output.heldBytes ?? 0 }

    /// The first value of a kept name. See `ServerConfiguration.metadataNames`.
    public func metadata(_ name: MetadataName) -> String? {
        withMetadata(name) { bytes in bytes.map { String(decoding: $0, as: UTF8.self) } }
    }

    /// As `metadata(_:)` without making a string; the view is valid only in `body`.
    public func withMetadata<R>(_ name: MetadataName, _ body: (UnsafeRawBufferPointer?) -> R) -> R {
        guard let slot = found() else { return body(nil) }
        if let value = slot.pointee.metadata[Int(name.index)] { return body(headerBytes(value)) }
        guard let value = slot.pointee.local?.metadataValue(name) else { return body(nil) }
        return value.withUnsafeBytes { body($0) }
    }

    /// True when the first value of the name is exactly `value`. Allocates nothing.
    public func metadata(_ name: MetadataName, is value: StaticString) -> Bool {
        withMetadata(name) { bytes in
            guard let bytes else { return false }
            return equalBytes(bytes, UnsafeRawBufferPointer(start: value.utf8Start, count: value.utf8CodeUnitCount))
        }
    }

    /// The text beside the status, once the call has one.
    public var statusText: String { found()?.pointee.statusText ?? "" }

    /// "address:port" of the peer, "@" for a Unix socket.
    public var remoteAddress: String {
        guard let slot = found() else { return "" }
        return slot.pointee.connection?._withUnsafeGuaranteedRef { $0.remoteAddress } ?? slot.pointee.local?.remoteAddress ?? ""
    }

    /// Who is at the other end; nil without TLS.
    public var peer: PeerIdentity? {
        found()?.pointee.connection?._withUnsafeGuaranteedRef { $0.peer }
    }

    /// Common name of the client's certificate; nil without mutual TLS, and for calls of the gateway.
    public var peerCommonName: String? { peer?.commonName }

    // MARK: Answers

    /// Unary: one message, then status OK; DeadlineExceeded if the deadline has passed and the loop has just not
    /// come to say so.
    @inline(__always)
    public func reply(_ write: (ByteSink) -> Void) {
        withConnection { connection, slot in
            guard slot.pointee.deadline > connection.loop.now else {
                return connection.finish(index, slot, .deadlineExceeded, "context deadline exceeded")
            }
            guard connection.queueMessage(index, slot, extra: 0, write) else { return }
            connection.finish(index, slot, .ok, "")
        } local: { local, slot in
            guard slot.pointee.deadline > local.loop.now else {
                return local.finish(slot, .deadlineExceeded, "context deadline exceeded")
            }
            guard local.queueMessage(slot, extra: 0, write) else { return }
            local.finish(slot, .ok, "")
        }
    }

    /// One message of known length that is pulled as it is sent, then status OK.
    public func reply(length: Int, source: any BodySource) {
        guard isAlive else { return source.cancelled() }
        withConnection { connection, slot in
            guard connection.queueSource(index, slot, length, source) else { return }
            connection.finish(index, slot, .ok, "")
        } local: { local, slot in
            guard local.queueSource(slot, length, source) else { return }
            local.finish(slot, .ok, "")
        }
    }

    /// Ends the call with an error. Messages queued before still go out first.
    public func fail(_ status: StatusCode, _ message: String) {
        withConnection { connection, slot in
            connection.finish(index, slot, status, message)
        } local: { local, slot in
            local.finish(slot, status, message)
        }
    }

    public func fail(_ error: CallError) { fail(error.code, error.message) }

    /// Queues one message on a stream.
    @inline(__always)
    public func send(_ write: (ByteSink) -> Void) {
        withConnection { connection, slot in
            _ = connection.queueMessage(index, slot, extra: 0, write)
        } local: { local, slot in
            _ = local.queueMessage(slot, extra: 0, write)
        }
    }

    /// Queues one message made of `head` and then `shared`. Small shared bytes are copied, large ones are held
    /// by reference until they are sent.
    public func send(head: UnsafeRawBufferPointer, shared: SharedBytes) {
        withConnection { connection, slot in
            _ = connection.queueMessage(index, slot, head: head, shared: shared)
        } local: { local, slot in
            local.queueMessage(slot, head: head, shared: shared)
        }
    }

    /// Queues one message of known length that is pulled as it is sent.
    public func send(length: Int, source: any BodySource) {
        guard isAlive else { return source.cancelled() }
        withConnection { connection, slot in
            _ = connection.queueSource(index, slot, length, source)
        } local: { local, slot in
            _ = local.queueSource(slot, length, source)
        }
    }

    /// Ends a stream with status OK, after what is queued.
    public func finish() {
        withConnection { connection, slot in
            connection.finish(index, slot, .ok, "")
        } local: { local, slot in
            local.finish(slot, .ok, "")
        }
    }

    /// A source of this call that answered 0 has bytes again. Also good after `reply` and `finish`.
    public func resume() {
        guard let slot = found() else { return }
        slot.pointee.connection?._withUnsafeGuaranteedRef { $0.resumeOutput(slot) }
        slot.pointee.local?.sourceResumed()
    }

    // MARK: Input

    /// Delivers no more messages of this stream until `resumeReading()`: the client's sends stall at the
    /// stream's receive window.
    public func pauseReading() {
        alive()?.pointee.flags.insert(.paused)
    }

    public func resumeReading() {
        withConnection { connection, slot in
            guard slot.pointee.flags.contains(.paused) else { return }
            slot.pointee.flags.remove(.paused)
            connection.resumeInput(index, slot)
        } local: { local, slot in
            slot.pointee.flags.remove(.paused)
            local.readingResumed()
        }
    }
}
