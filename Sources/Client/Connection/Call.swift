// One attempt of a call as the connection pool sees it. Confined to the client's event loop.

import NIOCore
import Transport
import Wire

/// What a call has received and not handed on, and who waits for it.
final class Call {
    enum Receiver {
        /// One message, one continuation.
        case unary(CheckedContinuation<Result<[UInt8], ClientError>, Never>)
        case stream(StreamCall)
        case none
    }

    let tag: UInt64
    let method: Method
    let token: String?
    let metadata: [(String, String)]
    let deadline: UInt64?
    /// Written when the call gets its connection.
    var request: [UInt8]?
    var receiver: Receiver
    var response: [UInt8]?
    /// Messages of a stream that waits for its connection.
    var unsent: [[UInt8]] = []
    var isHalfClosed = false
    var connection: ClientConnection?
    var handle: ClientCall?
    var timer: Scheduled<Void>?

    init(
        tag: UInt64, method: Method, token: String?, metadata: [(String, String)], deadline: UInt64?, request: [UInt8]?,
        receiver: Receiver
    ) {
        self.tag = tag
        self.method = method
        self.token = token
        self.metadata = metadata
        self.deadline = deadline
        self.request = request
        self.receiver = receiver
    }

    var allMetadata: [(String, String)] {
        guard let token else { return metadata }
        return metadata + [("token", token)]
    }
}

/// A stream of messages in both directions, used from any task: one at a time may wait for messages.
final class StreamCall: @unchecked Sendable {
    // Unchecked: everything but the methods below is confined to the loop of its pool.
    private let pool: ConnectionPool
    let tag: UInt64
    private var inbox: [[UInt8]] = []
    private var inboxBytes = 0
    private var isHeld = false
    private var end: Result<Void, ClientError>?
    private var waiter: CheckedContinuation<Result<[[UInt8]], ClientError>, Never>?

    init(pool: ConnectionPool, tag: UInt64) {
        self.pool = pool
        self.tag = tag
    }

    /// Messages that have arrived, at least one; none at all when the stream ended well. Canceled with its task.
    func next() async throws(ClientError) -> [[UInt8]] {
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in pool.loop.execute { self.wait(continuation) } }
        } onCancel: {
            cancel()
        }
        return try result.get()
    }

    func send(_ message: [UInt8]) { pool.loop.execute { self.pool.send(self.tag, message) } }
    func halfClose() { pool.loop.execute { self.pool.halfClose(self.tag) } }
    func cancel() { pool.loop.execute { self.pool.cancel(self.tag, .canceled) } }

    // MARK: On the loop

    private func wait(_ continuation: CheckedContinuation<Result<[[UInt8]], ClientError>, Never>) {
        precondition(waiter == nil, "two tasks wait for one stream")
        if !inbox.isEmpty {
            let messages = inbox
            inbox = []
            inboxBytes = 0
            if isHeld {
                isHeld = false
                pool.release(tag)
            }
            continuation.resume(returning: .success(messages))
        } else if let end {
            continuation.resume(returning: end.map { [] })
        } else {
            waiter = continuation
        }
    }

    func received(_ message: UnsafeRawBufferPointer) {
        if let waiter {
            self.waiter = nil
            return waiter.resume(returning: .success([[UInt8](message)]))
        }
        inbox.append([UInt8](message))
        inboxBytes += message.count
        if inboxBytes > ClientLimits.streamHeldBytes, !isHeld {
            isHeld = true
            pool.hold(tag)
        }
    }

    func finished(_ result: Result<Void, ClientError>) {
        end = result
        waiter?.resume(returning: result.map { [] })
        waiter = nil
    }
}
