// The services that the tests call.

import NIOCore
import Synchronization
import Wire

@testable import Transport

/// Answers with what it was asked.
final class EchoMethod: MethodHandler {
    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) { call.reply { $0.append(bytes) } }
}

/// Answers with the common name of the client's certificate.
final class WhoAmIMethod: MethodHandler {
    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) { call.reply { $0.append(call.peerCommonName ?? "") } }
}

/// Echoes every message of a stream; finishes when the client does.
final class EchoStream: MethodHandler {
    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) { call.send { $0.append(bytes) } }
    func halfClosed(_ call: Call) { call.finish() }
}

/// Fails with the code in the first byte and the text behind it.
final class FailMethod: MethodHandler {
    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        call.fail(StatusCode(rawValue: Int(bytes[0])) ?? .unknown, String(decoding: bytes.dropFirst(), as: UTF8.self))
    }
}

/// Never answers; notes what it is told.
final class SilentMethod: MethodHandler {
    struct Log {
        var received = 0
        var cancelled: [CancelReason] = []
        var calls: [Call] = []
        var userDataSeen = 0
    }
    let log = Mutex(Log())
    /// Counts how many per-call objects are alive.
    let liveObjects = Atomic<Int>(0)

    final class PerCall {
        let owner: SilentMethod
        init(_ owner: SilentMethod) {
            self.owner = owner
            owner.liveObjects.add(1, ordering: .relaxed)
        }
        deinit { owner.liveObjects.subtract(1, ordering: .relaxed) }
    }

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        call.userData = PerCall(self)
        log.withLock {
            $0.received += 1
            $0.calls.append(call)
        }
    }

    func cancelled(_ call: Call, _ reason: CancelReason) {
        let hasData = call.userData is PerCall
        let isAlive = call.isAlive
        log.withLock {
            $0.cancelled.append(reason)
            if hasData, !isAlive { $0.userDataSeen += 1 }
        }
    }
}

/// A stream that notes its life and can be told what to do through closures.
final class ScriptedStream: MethodHandler {
    struct Log {
        var opened = 0
        var messages: [[UInt8]] = []
        var halfClosed = 0
        var writable = 0
        var cancelled: [CancelReason] = []
    }
    let log = Mutex(Log())
    let onOpened: @Sendable (Call) -> Void
    let onMessage: @Sendable (Call, UnsafeRawBufferPointer) -> Void
    let onHalfClosed: @Sendable (Call) -> Void
    let onWritable: @Sendable (Call) -> Void

    init(
        opened: @escaping @Sendable (Call) -> Void = { _ in },
        message: @escaping @Sendable (Call, UnsafeRawBufferPointer) -> Void = { _, _ in },
        halfClosed: @escaping @Sendable (Call) -> Void = { _ in },
        writable: @escaping @Sendable (Call) -> Void = { _ in }
    ) {
        onOpened = opened
        onMessage = message
        onHalfClosed = halfClosed
        onWritable = writable
    }

    func opened(_ call: Call) {
        log.withLock { $0.opened += 1 }
        onOpened(call)
    }
    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        let copy = Array(bytes)
        log.withLock { $0.messages.append(copy) }
        onMessage(call, bytes)
    }
    func halfClosed(_ call: Call) {
        log.withLock { $0.halfClosed += 1 }
        onHalfClosed(call)
    }
    func writable(_ call: Call) {
        log.withLock { $0.writable += 1 }
        onWritable(call)
    }
    func cancelled(_ call: Call, _ reason: CancelReason) { log.withLock { $0.cancelled.append(reason) } }
}

/// Bytes 0, 1, 2 … 250 over and over, made as they are read; may pause or fail on the way.
final class CountingSource: BodySource, @unchecked Sendable {
    struct Broken: Error {}
    private(set) var position = 0
    let length: Int
    let failsAt: Int?
    /// Answers 0 once at this position.
    var stallsAt: Int?
    var onStall: (() -> Void)?
    let wasCancelled = Mutex(false)

    init(length: Int, failsAt: Int? = nil, stallsAt: Int? = nil) {
        self.length = length
        self.failsAt = failsAt
        self.stallsAt = stallsAt
    }

    func read(into buffer: GappedBuffer) throws -> Int {
        if let failsAt, position >= failsAt { throw Broken() }
        if let stall = stallsAt, position >= stall {
            stallsAt = nil
            onStall?()
            return 0
        }
        // Both apply where they say, however much is asked for.
        let end = [length, failsAt, stallsAt].compactMap { $0 }.min()!
        let count = min(buffer.count, end - position, Self.pattern.count - 251)
        let first = position % 251
        Self.pattern.withUnsafeBytes { buffer.copy(UnsafeRawBufferPointer(rebasing: $0[first..<first + count]), to: 0) }
        position += count
        return count
    }

    func cancelled() { wasCancelled.withLock { $0 = true } }

    private static let pattern = expected(251 * 1024)

    static func expected(_ length: Int) -> [UInt8] { (0..<length).map { UInt8($0 % 251) } }
}

/// Echoes the request as text; a few paths do other things.
final class TestWeb: HTTPHandler {
    let gone = Atomic<Int>(0)
    let held = Mutex<HTTPResponder?>(nil)

    func handle(_ request: HTTPRequest, _ responder: HTTPResponder) {
        switch request.path {
        case "/version":
            responder.respond(HTTPResponse(headers: ["Content-Type": "application/json"], body: Array("{\"a\":1}".utf8)))
        case "/describe":
            let text = "\(request.method) \(request.path) \(request.query ?? "-") \(request.authority) \(request.headers["x-test"] ?? "-") \(request.body.count)"
            responder.respond(HTTPResponse(body: Array(text.utf8)))
        case "/pieces":
            responder.start(headers: ["Content-Type": "text/plain"])
            for piece in 0..<4 { responder.write(Array("piece \(piece)\n".utf8)) }
            responder.end()
        case "/later":
            responder.eventLoop.eventLoop.execute { responder.respond(HTTPResponse(body: Array("later".utf8))) }
        case "/dropped": break
        case "/held":
            responder.onPeerGone { self.gone.add(1, ordering: .relaxed) }
            held.withLock { $0 = responder }
        case "/large": responder.respond(HTTPResponse(body: [UInt8](repeating: 65, count: 3_000_000)))
        default: responder.respond(.notFound)
        }
    }
}
