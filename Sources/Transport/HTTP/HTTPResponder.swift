// The answer to one plain HTTP request.

import Synchronization

/// Where a responder's answer goes: an HTTP/1 connection or an HTTP/2 stream. Used on the loop only.
protocol HTTPResponseSink: AnyObject {
    /// `length` is nil when the body's length is not known beforehand.
    func start(_ status: Int, _ headers: HTTPFields, length: Int?)
    func write(_ bytes: UnsafeRawBufferPointer)
    func end()
    /// The answer cannot be completed: the client must notice.
    func abort()
    /// All three at once.
    func respond(_ status: Int, _ headers: HTTPFields, body: [UInt8])
    /// Bytes that the peer has not taken yet.
    var queuedBytes: Int { get }
}

/// Answers one request, at once or in pieces, from any thread; calls take effect in order. A handler that lets
/// go of it without answering leaves the client a 500.
public final class HTTPResponder: Sendable {
    private let loop: ServerLoop
    private let state: LoopState

    /// Only used on the loop.
    private final class LoopState: @unchecked Sendable {
        var sink: (any HTTPResponseSink)?
        var onGone: (() -> Void)?
        var onWritable: (() -> Void)?
        var isStarted = false
        var isHead: Bool
        var additional = HTTPFields()
        init(sink: any HTTPResponseSink, isHead: Bool) {
            self.sink = sink
            self.isHead = isHead
        }

        func fields(_ fields: HTTPFields) -> HTTPFields {
            guard !additional.fields.isEmpty else { return fields }
            var all = additional
            all.fields += fields.fields
            return all
        }
    }

    init(loop: ServerLoop, sink: any HTTPResponseSink, isHead: Bool) {
        self.loop = loop
        state = LoopState(sink: sink, isHead: isHead)
    }

    deinit {
        let state = state
        loop.executeInline {
            guard state.sink != nil, !state.isStarted else { return }
            Self.send(HTTPResponse.error(500, "Internal Server Error"), state)
        }
    }

    /// Header fields that the answer gets before those it comes with, whoever answers.
    public func always(add fields: HTTPFields) {
        let state = state
        loop.executeInline { state.additional.fields += fields.fields }
    }

    /// The whole answer at once. Content-Length is added.
    public func respond(_ response: HTTPResponse) {
        let state = state
        loop.executeInline { Self.send(response, state) }
    }

    /// Starts an answer in pieces (chunked in HTTP/1.1).
    public func start(status: Int = 200, headers: HTTPFields) {
        let state = state
        loop.executeInline {
            guard !state.isStarted else { return }
            state.isStarted = true
            state.sink?.start(status, state.fields(headers), length: nil)
        }
    }

    /// The next piece of the body.
    public func write(_ bytes: [UInt8]) {
        loop.executeInline { bytes.withUnsafeBytes { self.writeOnLoop($0) } }
    }

    /// The next piece of the body. Only on the loop.
    public func writeOnLoop(_ bytes: UnsafeRawBufferPointer) {
        guard state.isStarted, !state.isHead, bytes.count > 0 else { return }
        state.sink?.write(bytes)
    }

    /// Ends an answer that cannot be completed so that the client notices: the connection is cut, the stream reset. Only on the loop.
    public func abort() {
        guard let sink = state.sink else { return }
        Self.detach(state)
        sink.abort()
    }

    public func end() {
        let state = state
        loop.executeInline {
            guard state.isStarted, let sink = state.sink else { return }
            Self.detach(state)
            sink.end()
        }
    }

    /// Called on the loop when the client goes away before the answer is complete.
    public func onPeerGone(_ body: @escaping @Sendable () -> Void) {
        let state = state
        loop.executeInline { if state.sink == nil { body() } else { state.onGone = body } }
    }

    /// Called on the loop whenever the queue of unsent bytes has run low again.
    public func onWritable(_ body: @escaping @Sendable () -> Void) {
        let state = state
        loop.executeInline { state.onWritable = body }
    }

    /// Bytes that the client has not taken yet. Only on the loop.
    public var queuedBytes: Int { state.sink?.queuedBytes ?? 0 }

    public var eventLoop: ServerLoop { loop }

    private static func send(_ response: HTTPResponse, _ state: LoopState) {
        guard !state.isStarted, let sink = state.sink else { return }
        state.isStarted = true
        detach(state)
        sink.respond(response.status, state.fields(response.headers), body: response.body)
    }

    private static func detach(_ state: LoopState) {
        state.sink = nil
        state.onGone = nil
        state.onWritable = nil
    }

    // MARK: From the connection, on the loop

    func peerIsGone() {
        let gone = state.onGone
        Self.detach(state)
        gone?()
    }

    func becameWritable() { state.onWritable?() }
}
