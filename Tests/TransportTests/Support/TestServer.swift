// A server in the test process, and a client that waits.

import NIOCore
import NIOPosix
import Synchronization
import Testing
import Wire

@testable import Transport

/// Server with the test services on a port of its own.
struct TestServer {
    let server: Server
    let listener: Listener
    let silent: SilentMethod
    let web: TestWeb
    let health: HealthService
    var loop: ServerLoop { server.loops[0] }
    var port: Int { listener.port }

    static func start(
        _ configuration: ServerConfiguration = ServerConfiguration(), options: ListenOptions = ListenOptions(),
        address: ListenAddress = .host("127.0.0.1", port: 0), http: Bool = true, observer: (any TransportObserver)? = nil,
        adding extra: (inout MethodTable) -> Void = { _ in }
    ) async throws -> TestServer {
        var table = MethodTable()
        let silent = SilentMethod()
        table.add(service: "test.Test", method: "Echo", kind: .unary, EchoMethod())
        table.add(service: "test.Test", method: "EchoStream", kind: .bidirectional, EchoStream())
        table.add(service: "test.Test", method: "Fail", kind: .unary, FailMethod())
        table.add(service: "test.Test", method: "Silent", kind: .unary, silent)
        table.add(service: "test.Test", method: "WhoAmI", kind: .unary, WhoAmIMethod())
        let health = HealthService()
        health.register(in: &table)
        extra(&table)
        let server = Server(configuration: configuration)
        let web = TestWeb()
        let listener = try await server.listen(
            on: address, Services(methods: table, http: http ? web : nil), options: options, observer: observer)
        return TestServer(server: server, listener: listener, silent: silent, web: web, health: health)
    }

    /// Runs on the server's loop and waits for the result.
    func onLoop<R: Sendable>(_ body: @escaping @Sendable (ServerLoop) -> R) async -> R {
        let loop = loop
        return await withCheckedContinuation { continuation in
            loop.execute { continuation.resume(returning: body(loop)) }
        }
    }

    /// Waits until something holds on the server's loop. Bounded, so that a wrong server fails the test.
    func until(_ what: String, _ condition: @escaping @Sendable (ServerLoop) -> Bool) async throws {
        for _ in 0..<5000 {
            if await onLoop(condition) { return }
            try await Task.sleep(for: .milliseconds(2))
        }
        Issue.record("never happened: \(what)")
        throw NeverHappened(what: what)
    }

    /// Every call, byte and deadline is given back when the clients are gone.
    func checkNothingLeft() async throws {
        try await until("no connections left") { $0.counters.connectionsOpen.value == 0 }
        let left = await onLoop { loop -> [Int] in
            loop.calls.checkInvariants()
            return [
                loop.calls.takenCount, loop.deadlineCount, loop.counters.callsOpen.value, loop.counters.queuedBytes.value,
                loop.counters.receivedPartialBytes.value,
            ]
        }
        #expect(left == [0, 0, 0, 0, 0], "calls, deadlines, open calls, queued bytes, partial bytes")
    }

    func stop() async { await server.shutdown(grace: .zero) }

    func client(_ configuration: ClientConfiguration = ClientConfiguration()) async throws -> TestClient {
        try await TestClient.connect(to: listener.address, configuration)
    }
}

struct NeverHappened: Error { let what: String }

struct Outcome: Equatable {
    var messages: [[UInt8]] = []
    var code = StatusCode.unknown
    var text = ""
}

/// A client connection whose calls can be awaited.
final class TestClient: ClientObserver, @unchecked Sendable {
    // Unchecked: state behind the mutex, the connection used on its loop.
    private struct State {
        var nextTag: UInt64 = 1
        var outcomes: [UInt64: Outcome] = [:]
        var waiting: [UInt64: CheckedContinuation<Outcome, Never>] = [:]
        var finished: Set<UInt64> = []
        var receivedBytes: [UInt64: Int] = [:]
        var isClosed = false
    }
    private let state = Mutex(State())
    private(set) var connection: ClientConnection!
    let keepsMessages: Bool

    init(keepsMessages: Bool) { self.keepsMessages = keepsMessages }

    static func connect(
        to address: ListenAddress, _ configuration: ClientConfiguration = ClientConfiguration(), keepsMessages: Bool = true
    ) async throws -> TestClient {
        let client = TestClient(keepsMessages: keepsMessages)
        client.connection = try await ClientConnection.connect(
            to: address, on: MultiThreadedEventLoopGroup.singleton.next(), configuration: configuration, observer: client)
        return client
    }

    func received(_ call: ClientCall, tag: UInt64, _ message: UnsafeRawBufferPointer) {
        state.withLock {
            $0.receivedBytes[tag, default: 0] += message.count
            if keepsMessages { $0.outcomes[tag, default: Outcome()].messages.append(Array(message)) }
        }
    }

    func finished(_ call: ClientCall, tag: UInt64, status: StatusCode, message: String) {
        let waiting = state.withLock { state -> (CheckedContinuation<Outcome, Never>, Outcome)? in
            state.outcomes[tag, default: Outcome()].code = status
            state.outcomes[tag]!.text = message
            state.finished.insert(tag)
            guard let continuation = state.waiting.removeValue(forKey: tag) else { return nil }
            return (continuation, state.outcomes[tag]!)
        }
        if let (continuation, outcome) = waiting { continuation.resume(returning: outcome) }
    }

    func closed() { state.withLock { $0.isClosed = true } }
    var isClosed: Bool { state.withLock { $0.isClosed } }
    func receivedBytes(_ tag: UInt64) -> Int { state.withLock { $0.receivedBytes[tag] ?? 0 } }
    func messages(_ tag: UInt64) -> [[UInt8]] { state.withLock { $0.outcomes[tag]?.messages ?? [] } }
    func isFinished(_ tag: UInt64) -> Bool { state.withLock { $0.finished.contains(tag) } }

    func outcome(_ tag: UInt64) async -> Outcome {
        await withCheckedContinuation { continuation in
            let done = state.withLock { state -> Outcome? in
                if state.finished.contains(tag) { return state.outcomes[tag]! }
                state.waiting[tag] = continuation
                return nil
            }
            if let done { continuation.resume(returning: done) }
        }
    }

    private func newTag() -> UInt64 {
        state.withLock { state in
            state.nextTag += 1
            return state.nextTag
        }
    }

    func method(_ path: String) -> ClientMethod { ClientMethod(path: path, authority: connection.authority) }

    /// Runs on the connection's loop and waits.
    func onLoop<R: Sendable>(_ body: @escaping @Sendable (ClientConnection) -> R) async -> R {
        let connection = connection!
        return await withCheckedContinuation { continuation in
            connection.execute { continuation.resume(returning: body(connection)) }
        }
    }

    /// Starts a unary call; its tag leads to the outcome.
    func begin(
        _ path: String, _ request: [UInt8] = [], timeoutNanoseconds: UInt64? = nil, metadata: [(String, String)] = []
    ) async -> (call: ClientCall?, tag: UInt64) {
        let tag = newTag()
        let method = method(path)
        let call = await onLoop {
            $0.call(method, tag: tag, timeoutNanoseconds: timeoutNanoseconds, metadata: metadata) { $0.append(request) }
        }
        return (call, tag)
    }

    func unary(
        _ path: String, _ request: [UInt8] = [], timeoutNanoseconds: UInt64? = nil, metadata: [(String, String)] = []
    ) async -> Outcome {
        let (call, tag) = await begin(path, request, timeoutNanoseconds: timeoutNanoseconds, metadata: metadata)
        guard call != nil else { return Outcome(code: .unavailable, text: "no call") }
        return await outcome(tag)
    }

    func open(_ path: String, timeoutNanoseconds: UInt64? = nil) async -> (call: ClientCall, tag: UInt64) {
        let tag = newTag()
        let method = method(path)
        let call = await onLoop { $0.open(method, tag: tag, timeoutNanoseconds: timeoutNanoseconds)! }
        return (call, tag)
    }

    /// Waits until something holds for the client. Bounded.
    func until(_ what: String, _ condition: @escaping () -> Bool) async throws {
        for _ in 0..<5000 {
            if condition() { return }
            try await Task.sleep(for: .milliseconds(2))
        }
        Issue.record("never happened: \(what)")
        throw NeverHappened(what: what)
    }

    func close() async { await onLoop { $0.close() } }
}
