// Request bodies handed over as they come, in both versions of HTTP and by WebSocket: back-pressure, time, framing, memory.

import NIOCore
import Synchronization
import Testing
import Wire

@testable import Transport

/// Echoes bodies as they come; by path it pauses, lets them be endless, or only counts.
private final class StreamingWeb: HTTPHandler {
    struct Log {
        var received = 0
        var ended = 0
        var gone = 0
        var bodies: [HTTPBodyStream] = []
    }
    let log = Mutex(Log())

    final class Reader: HTTPBodyReader {
        let web: StreamingWeb
        let body: HTTPBodyStream
        let responder: HTTPResponder
        let path: String

        init(_ web: StreamingWeb, _ body: HTTPBodyStream, _ responder: HTTPResponder, _ path: String) {
            self.web = web
            self.body = body
            self.responder = responder
            self.path = path
        }

        func bodyReceived(_ bytes: UnsafeRawBufferPointer) {
            web.log.withLock { $0.received += bytes.count }
            switch path {
            case "/stream/pause": body.paused = true
            case "/stream/hold": body.heldBytes += bytes.count
            case "/stream/count": break
            default: responder.writeOnLoop(bytes)
            }
        }

        func bodyEnded() {
            web.log.withLock { $0.ended += 1 }
            if path == "/stream/count" || path == "/stream/pause" || path == "/stream/hold" {
                responder.respond(HTTPResponse(body: Array("done".utf8)))
            } else {
                responder.end()
            }
        }
    }

    func handle(_ request: HTTPRequest, _ responder: HTTPResponder) {
        guard let body = request.bodyStream else { return responder.respond(HTTPResponse(body: Array("whole \(request.body.count)".utf8))) }
        let reader = Reader(self, body, responder, request.path)
        responder.onPeerGone {
            self.log.withLock { $0.gone += 1 }
        }
        if request.path == "/stream/endless" { body.allowEndless() }
        if request.path == "/stream/echo" || request.path == "/stream/endless" { responder.start(headers: [:]) }
        log.withLock { $0.bodies.append(body) }
        body.read(by: reader)
    }
}

@Suite struct BodyStreamTests {
    private struct Test {
        let server: Server
        let listener: Listener
        let web: StreamingWeb
        var port: Int { listener.port }

        static func start(_ configuration: ServerConfiguration = ServerConfiguration()) async throws -> Test {
            let server = Server(configuration: configuration)
            let web = StreamingWeb()
            let services = Services(http: web, bodyStreamPrefixes: ["/stream/"])
            return Test(server: server, listener: try await server.listen(on: .host("127.0.0.1", port: 0), services), web: web)
        }

        func until(_ what: String, _ condition: @escaping @Sendable (ServerLoop) -> Bool) async throws {
            for _ in 0..<5000 {
                let loop = server.loops[0]
                let holds = await withCheckedContinuation { continuation in
                    loop.execute { continuation.resume(returning: condition(loop)) }
                }
                if holds { return }
                try await Task.sleep(for: .milliseconds(2))
            }
            Issue.record("never happened: \(what)")
            throw NeverHappened(what: what)
        }

        /// All is given back when the clients are gone.
        func stop() async throws {
            try await until("nothing is left") {
                $0.calls.checkInvariants()
                return $0.counters.connectionsOpen.value == 0 && $0.calls.takenCount == 0 && $0.counters.receivedPartialBytes.value == 0
                    && $0.counters.queuedBytes.value == 0
            }
            await server.shutdown(grace: .zero)
        }
    }

    private func bytes(_ text: String) -> [UInt8] { Array(text.replacing("\n", with: "\r\n").utf8) }

    @Test func echoesWhileTheBodyIsArriving() async throws {
        let test = try await Test.start()
        do {
            let peer = try RawPeer(port: test.port)
            peer.send(bytes("POST /stream/echo HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n"))
            for word in ["one", "two", "three"] {
                peer.send(bytes("\(word.utf8.count);extension=\"x\"\n\(word)\n"))
                #expect(peer.receive(until: word).contains(word))
            }
            peer.send(bytes("0\nTrailer: t\n\n"))
            #expect(peer.receive(until: "0\r\n\r\n").hasSuffix("0\r\n\r\n"))
            // The connection is good for the next request.
            peer.send(bytes("POST /whole HTTP/1.1\nHost: a\nContent-Length: 2\n\nab"))
            #expect(peer.receive(until: "whole 2").hasSuffix("whole 2"))

            let two = try RawPeer(port: test.port)
            two.send(Frames.preface + Frames.settings + Frames.request(1, "/stream/echo", contentType: nil))
            let frames = FrameReader(two)
            for word in ["one", "two"] {
                two.send(Frames.data(1, Array(word.utf8)))
                while let frame = frames.next() {
                    guard frame.type == 0 else { continue }
                    #expect(frame.payload == Array(word.utf8) && !frame.endsStream)
                    break
                }
            }
            two.send(Frames.data(1, [], endStream: true))
            while let frame = frames.next() { if frame.type == 0, frame.endsStream { break } }
        }
        #expect(test.web.log.withLock { $0.ended } == 2)
        try await test.stop()
    }

    /// A reader that takes no more stops the client, whatever the version.
    @Test(arguments: [false, true]) func pausedBodiesWait(isHTTP2: Bool) async throws {
        let test = try await Test.start()
        let total = 4 << 20
        do {
            nonisolated(unsafe) let peer = try RawPeer(port: test.port)
            if isHTTP2 {
                open(peer)
                peer.send(Frames.request(1, "/stream/pause", contentType: nil))
            } else {
                peer.send(bytes("POST /stream/pause HTTP/1.1\nHost: a\nContent-Length: \(total)\n\n"))
            }
            let piece = [UInt8](repeating: 7, count: 16384)
            let sender = Task.detached {
                // Blocks as soon as nobody takes anything. HTTP/2 peers that ignore windows are cut, so this one stops at its window.
                let count = isHTTP2 ? TransportLimits.streamWindowBytes / 4 / piece.count : total / piece.count
                for _ in 0..<count where !peer.send(isHTTP2 ? Frames.data(1, piece) : piece) { return false }
                return true
            }
            try await test.until("the first piece") { _ in test.web.log.withLock { $0.received > 0 } }
            // Whatever was on its way comes; then it stays so.
            var before = -1
            for _ in 0..<100 {
                try await Task.sleep(for: .milliseconds(10))
                let now = test.web.log.withLock { $0.received }
                if now == before { break }
                before = now
            }
            #expect(test.web.log.withLock { $0.received } <= TransportLimits.streamWindowBytes)
            for _ in 0..<10_000 where !isHTTP2 && test.web.log.withLock({ $0.received }) < total {
                test.server.loops[0].execute { test.web.log.withLock { $0.bodies[0] }.paused = false }
                try await Task.sleep(for: .milliseconds(1))
            }
            #expect(await sender.value)
            #expect(isHTTP2 || test.web.log.withLock { $0.received } == total)
        }
        try await test.stop()
    }

    @Test func bodiesThatDripAreCut() async throws {
        var configuration = ServerConfiguration()
        configuration.readHeaderTimeout = .milliseconds(150)
        let test = try await Test.start(configuration)
        do {
            let slow = try RawPeer(port: test.port)
            slow.send(bytes("POST /stream/count HTTP/1.1\nHost: a\nContent-Length: 1000\n\nabc"))
            // Closed without an answer.
            #expect(slow.receiveAll().isEmpty)
            let whole = try RawPeer(port: test.port)
            whole.send(bytes("POST /whole HTTP/1.1\nHost: a\nContent-Length: 1000\n\nabc"))
            #expect(whole.receiveAll().isEmpty)
            // A conversation may take its time.
            let endless = try RawPeer(port: test.port)
            endless.send(bytes("POST /stream/endless HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n1\na\n"))
            #expect(endless.receive(until: "\r\na\r\n").hasSuffix("a\r\n"))
            try await Task.sleep(for: .milliseconds(400))
            endless.send(bytes("1\nb\n0\n\n"))
            #expect(endless.receive(until: "0\r\n\r\n").hasSuffix("b\r\n0\r\n\r\n"))
        }
        try await test.stop()
    }

    @Test(arguments: [
        "Content-Length: 3\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n", "Transfer-Encoding: chunked\nContent-Length: 3\n\n3\nabc\n0\n\n",
        "Content-Length: 3\nContent-Length: 4\n\nabcd", "Content-Length: +3\n\nabc", "Content-Length: 3, 3\n\nabc", "Content-Length: 99999999999999999999999\n\n",
        "Transfer-Encoding: chunked, identity\n\nabc", "Transfer-Encoding: xchunked\n\nabc", "Transfer-Encoding: chunked\n\n-1\nabc\n", "Transfer-Encoding: chunked\n\n3\nabcd\n0\n\n",
        "Transfer-Encoding: chunked\n\n11111111111111111\nabc\n", " Content-Length: 3\n\nabc", "Content-Length : 3\n\nabc", "X: y\u{0}z\nContent-Length: 3\n\nabc",
    ]) func ambiguousFramingIsRefused(head: String) async throws {
        let test = try await Test.start()
        do {
            let peer = try RawPeer(port: test.port)
            peer.send(bytes("POST /stream/count HTTP/1.1\nHost: a\n\(head)"))
            let answer = String(decoding: peer.receiveAll(), as: UTF8.self)
            // What was sound so far may have been read, but nothing is answered but the refusal, and the connection is over.
            #expect(answer.hasPrefix("HTTP/1.1 400 ") || answer.isEmpty, "\(answer)")
            #expect(test.web.log.withLock { $0.ended } == 0)
        }
        try await test.stop()
    }

    @Test func whatReadersHoldIsBounded() async throws {
        let test = try await Test.start()
        do {
            let peer = try RawPeer(port: test.port)
            open(peer)
            var stream: UInt32 = 1
            let piece = [UInt8](repeating: 1, count: 16384)
            // 80 streams of 1 MiB are more than a connection may make the server keep.
            var isCut = false
            for _ in 0..<80 where !isCut {
                peer.send(Frames.request(stream, "/stream/hold", contentType: nil))
                for _ in 0..<63 where !peer.send(Frames.data(stream, piece)) { isCut = true }
                stream += 2
            }
            let frames = FrameReader(peer)
            while let frame = frames.next() {
                if frame.type == 3 {
                    isCut = true
                    #expect(frame.payload.last == 11, "ENHANCE_YOUR_CALM")
                    break
                }
            }
            #expect(isCut)
        }
        try await test.stop()
    }

    /// The server's windows count from when its settings are acknowledged.
    private func open(_ peer: RawPeer) {
        peer.send(Frames.preface + Frames.settings)
        _ = FrameReader(peer).next()
        peer.send(Frames.frame(4, 1, 0, []))
    }

    @Test func leavingInTheMiddleIsTold() async throws {
        let test = try await Test.start()
        do {
            let one = try RawPeer(port: test.port)
            one.send(bytes("POST /stream/echo HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n1\na\n"))
            _ = one.receive(until: "\r\na\r\n")
            let two = try RawPeer(port: test.port)
            two.send(Frames.preface + Frames.settings + Frames.request(1, "/stream/echo", contentType: nil) + Frames.data(1, [1]))
            try await test.until("both are there") { _ in test.web.log.withLock { $0.received } == 2 }
            two.send(Frames.reset(1))
            try await test.until("one has gone") { _ in test.web.log.withLock { $0.gone } == 1 }
        }
        try await test.until("both have gone") { _ in test.web.log.withLock { $0.gone } == 2 }
        try await test.stop()
    }

    // MARK: WebSocket

    private let handshake =
        "GET /stream/echo HTTP/1.1\nHost: a\nConnection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n\n"

    private func frame(_ opcode: UInt8, _ payload: [UInt8], fin: Bool = true, masked: Bool = true) -> [UInt8] {
        let key: [UInt8] = [1, 2, 3, 4]
        var result = [opcode | (fin ? 0x80 : 0)]
        let length = payload.count
        let mask: UInt8 = masked ? 0x80 : 0
        result += length < 126 ? [mask | UInt8(length)] : [mask | 126, UInt8(length >> 8), UInt8(length & 255)]
        if masked { result += key }
        return result + payload.enumerated().map { masked ? $1 ^ key[$0 % 4] : $1 }
    }

    @Test func webSocketMessagesAreLines() async throws {
        let test = try await Test.start()
        do {
            let peer = try RawPeer(port: test.port)
            // The first message comes with the handshake.
            peer.send(bytes(handshake) + frame(1, Array("first".utf8)))
            let answer = peer.receive(until: "first")
            #expect(answer.contains("HTTP/1.1 101 Switching Protocols\r\n") && answer.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"))
            // In fragments, with a ping between them.
            peer.send(frame(1, Array("sec".utf8), fin: false) + frame(9, [42]) + frame(0, Array("ond".utf8)))
            let pong = peer.receive(until: "second")
            #expect(pong.utf8.contains(42))
            // A long line goes out in fragments.
            let long = [UInt8](repeating: UInt8(ascii: "x"), count: 60_000)
            peer.send(frame(2, long))
            var received: [UInt8] = []
            while received.filter({ $0 == UInt8(ascii: "x") }).count < long.count {
                let more = peer.receive()
                if more.isEmpty { break }
                received += more
            }
            #expect(received.filter { $0 == UInt8(ascii: "x") }.count == long.count)
            peer.send(frame(8, [3, 232]))
            #expect(peer.receiveAll().suffix(4) == [0x88, 2, 3, 232])
        }
        #expect(test.web.log.withLock { $0.gone } == 1)
        try await test.stop()
    }

    @Test(arguments: [
        ([0x81, 0x03, 65, 66, 67], 1002), ([0x80, 0x80, 1, 2, 3, 4], 1002), ([0x01, 0x80, 1, 2, 3, 4, 0x81, 0x80, 1, 2, 3, 4], 1002),
        ([0xf1, 0x80, 1, 2, 3, 4], nil), ([0x83, 0x80, 1, 2, 3, 4], 1002), ([0x89, 0xfe, 0, 126, 1, 2, 3, 4], nil),
        ([0x81, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4], 1009), ([0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4], nil),
    ] as [([UInt8], Int?)]) func brokenFramesCloseTheSocket(frames: [UInt8], code: Int?) async throws {
        let test = try await Test.start()
        do {
            let peer = try RawPeer(port: test.port)
            peer.send(bytes(handshake))
            _ = peer.receive(until: "\r\n\r\n")
            peer.send(frames)
            peer.finishSending()
            let answer = peer.receiveAll()
            if let code { #expect(Array(answer.suffix(4)) == [0x88, 2, UInt8(code >> 8), UInt8(code & 255)], "\(answer)") }
        }
        try await test.stop()
    }
}
