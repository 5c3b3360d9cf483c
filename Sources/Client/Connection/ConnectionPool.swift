// The connections of a client and the calls on them: the shell around `Balancer`. Confined to one event loop.

import NIOCore
import NIOPosix
import Transport
import Wire

final class ConnectionPool: @unchecked Sendable {
    // Unchecked: confined to `loop`.
    struct Target {
        let address: ServerAddress
        let isSecure: Bool
        let tls: TLSClient?
    }

    let loop: any EventLoop
    let options: ClientOptions
    let targets: [Target]
    private var balancer: Balancer
    private var links: [ServerLink?]
    private var calls: [UInt64: Call] = [:]
    /// Tags of calls without a connection, in their order.
    private var waiting: [UInt64] = []
    private var lastTag: UInt64 = 0
    private var timer: Scheduled<Void>?
    private var isStarted = false
    private var isClosed = false

    init(_ options: ClientOptions, _ targets: [Target], loop: any EventLoop) {
        self.options = options
        self.targets = targets
        self.loop = loop
        balancer = Balancer(count: targets.count, first: Int.random(in: 0..<targets.count))
        links = Array(repeating: nil, count: targets.count)
    }

    // MARK: From any task

    /// One call with one answer.
    func unary(
        _ method: Method, _ request: [UInt8], token: String?, metadata: [(String, String)], deadline: UInt64?
    ) async -> Result<[UInt8], ClientError> {
        let cancellation = PendingTag()
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                loop.execute {
                    let tag = self.add(method, token, metadata, deadline, request) { _ in .unary(continuation) }
                    guard let tag else { return }
                    cancellation.tag = tag
                    if cancellation.isCanceled { self.cancel(tag, .canceled) }
                }
            }
        } onCancel: {
            loop.execute {
                cancellation.isCanceled = true
                if let tag = cancellation.tag { self.cancel(tag, .canceled) }
            }
        }
    }

    /// Opens a stream. It waits for a connection by itself; failures come out of it.
    func stream(
        _ method: Method, _ request: [UInt8]?, token: String?, metadata: [(String, String)], deadline: UInt64?
    ) async -> StreamCall {
        await withCheckedContinuation { continuation in
            loop.execute {
                var stream: StreamCall?
                _ = self.add(method, token, metadata, deadline, request) { tag in
                    let made = StreamCall(pool: self, tag: tag)
                    stream = made
                    continuation.resume(returning: made)
                    return .stream(made)
                }
                if request != nil, let stream { self.halfClose(stream.tag) }
            }
        }
    }

    /// Ends all calls and closes the connections.
    func close() {
        loop.execute {
            self.isClosed = true
            self.timer?.cancel()
            for tag in self.calls.keys.sorted() { self.cancel(tag, .closed) }
            for link in self.links { link?.connection?.close() }
            self.links = Array(repeating: nil, count: self.links.count)
        }
    }

    // MARK: Calls

    private func add(
        _ method: Method, _ token: String?, _ metadata: [(String, String)], _ deadline: UInt64?, _ request: [UInt8]?,
        _ receiver: (UInt64) -> Call.Receiver
    ) -> UInt64? {
        lastTag += 1
        let call = Call(
            tag: lastTag, method: method, token: token, metadata: metadata, deadline: deadline, request: request,
            receiver: receiver(lastTag))
        guard !isClosed else {
            finish(call, .failure(.closed))
            return nil
        }
        guard calls.count < ClientLimits.callsMax else {
            finish(call, .failure(ClientError(.resourceExhausted, "too many calls in progress", wasSent: false)))
            return nil
        }
        calls[call.tag] = call
        if let deadline {
            let now = monotonicNanoseconds()
            let tag = call.tag
            call.timer = loop.scheduleTask(in: .nanoseconds(deadline > now ? Int64(min(deadline - now, 1 << 60)) : 0)) {
                self.cancel(tag, self.timedOut(tag))
            }
        }
        if !begin(call) {
            // Those that ended while they waited.
            if waiting.count > 2 * calls.count + 16 { waiting.removeAll { calls[$0] == nil } }
            waiting.append(call.tag)
        }
        return call.tag
    }

    private func timedOut(_ tag: UInt64) -> ClientError {
        let isSent = calls[tag]?.connection != nil
        return ClientError(
            .deadlineExceeded, CallError.deadlineExceeded.message, connectionFailure: isSent ? nil : balancer.lastFailure, wasSent: isSent)
    }

    /// Gives the call to a connection that is ready.
    private func begin(_ call: Call) -> Bool {
        if timer == nil { connectDue() }
        for _ in targets.indices {
            guard let index = balancer.pick() else { return false }
            guard let link = links[index], let connection = link.connection else { continue }
            var timeout: UInt64?
            if let deadline = call.deadline {
                let now = monotonicNanoseconds()
                timeout = deadline > now ? deadline - now : 1
            }
            connection.batch { start(call, on: connection, link.method(call.method), timeout) }
            if call.handle != nil { return true }
        }
        return false
    }

    private func start(_ call: Call, on connection: ClientConnection, _ method: ClientMethod, _ timeout: UInt64?) {
        let handle = connection.open(method, tag: call.tag, timeoutNanoseconds: timeout, metadata: call.allMetadata)
        guard let handle else { return }
        call.connection = connection
        call.handle = handle
        if let request = call.request {
            call.request = nil
            connection.send(handle) { $0.append(request) }
            if case .unary = call.receiver { connection.halfClose(handle) }
        }
        for message in call.unsent { connection.send(handle) { $0.append(message) } }
        call.unsent = []
        if call.isHalfClosed { connection.halfClose(handle) }
    }

    private func serveWaiting() {
        var left: [UInt64] = []
        for tag in waiting {
            guard let call = calls[tag] else { continue }
            if !begin(call) { left.append(tag) }
        }
        waiting = left
    }

    func send(_ tag: UInt64, _ message: [UInt8]) {
        guard let call = calls[tag] else { return }
        guard let connection = call.connection, let handle = call.handle else { return call.unsent.append(message) }
        connection.send(handle) { $0.append(message) }
    }

    func halfClose(_ tag: UInt64) {
        guard let call = calls[tag] else { return }
        call.isHalfClosed = true
        if let connection = call.connection, let handle = call.handle { connection.halfClose(handle) }
    }

    func hold(_ tag: UInt64) {
        if let call = calls[tag], let handle = call.handle { call.connection?.hold(handle) }
    }

    func release(_ tag: UInt64) {
        if let call = calls[tag], let handle = call.handle { call.connection?.release(handle) }
    }

    func cancel(_ tag: UInt64, _ error: ClientError) {
        guard let call = calls.removeValue(forKey: tag) else { return }
        if let connection = call.connection, let handle = call.handle { connection.cancel(handle) }
        finish(call, .failure(error))
    }

    private func finish(_ call: Call, _ result: Result<Void, ClientError>) {
        call.timer?.cancel()
        switch call.receiver {
        case .unary(let continuation):
            switch result {
            case .failure(let error): continuation.resume(returning: .failure(error))
            case .success:
                if let response = call.response {
                    continuation.resume(returning: .success(response))
                } else {
                    continuation.resume(returning: .failure(ClientError(.internal, "the server sent no message")))
                }
            }
        case .stream(let stream): stream.finished(result)
        case .none: break
        }
        call.receiver = .none
    }

    // MARK: What connections tell

    func received(_ tag: UInt64, _ message: UnsafeRawBufferPointer) {
        guard let call = calls[tag] else { return }
        switch call.receiver {
        case .unary: call.response = [UInt8](message)
        case .stream(let stream): stream.received(message)
        case .none: break
        }
    }

    func finished(_ tag: UInt64, _ status: StatusCode, _ message: String) {
        guard let call = calls.removeValue(forKey: tag) else { return }
        if status == .ok { return finish(call, .success(())) }
        let wasSent = !(status == .unavailable && message == ClientConnection.refusedMessage)
        finish(call, .failure(ClientError(status, message, wasSent: wasSent)))
    }

    func ready(_ index: Int, _ link: ServerLink) {
        guard links[index] === link, !isClosed else { return }
        balancer.connected(index)
        serveWaiting()
    }

    func lost(_ index: Int, _ link: ServerLink, _ reason: String) {
        guard links[index] === link else { return }
        links[index] = nil
        guard !isClosed else { return }
        if balancer.endpoints[index].state == .ready {
            balancer.lost(index)
        } else {
            balancer.failed(index, reason, at: monotonicNanoseconds(), spread: .random(in: 0...1))
            if let tell = options.onConnectionFailure {
                tell(
                    FailedConnection(
                        endpoint: targets[index].address.description, reason: reason, failures: balancer.endpoints[index].failures,
                        isWaitedFor: waiting.contains { calls[$0] != nil }))
            }
        }
        // An idle client connects when it is used.
        if !calls.isEmpty { connectDue() }
    }

    private func connectDue() {
        guard !isClosed else { return }
        for index in balancer.due(at: monotonicNanoseconds()) {
            let link = ServerLink(pool: self, index: index, target: targets[index])
            links[index] = link
            link.connect()
        }
        timer?.cancel()
        timer = nil
        if !calls.isEmpty, let moment = balancer.nextMoment {
            let now = monotonicNanoseconds()
            timer = loop.scheduleTask(in: .nanoseconds(moment > now ? Int64(moment - now) : 0)) {
                self.timer = nil
                self.connectDue()
            }
        }
    }
}

/// Lets a cancellation that overtakes its call wait for it. Confined to the loop.
private final class PendingTag: @unchecked Sendable {
    var tag: UInt64?
    var isCanceled = false
}
