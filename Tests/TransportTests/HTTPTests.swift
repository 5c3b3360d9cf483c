// Plain HTTP on the common port: HTTP/1.1 and HTTP/2.

import Synchronization
import Testing

@testable import Transport

@Suite struct HTTPTests {
    private func exchange(_ port: Int, _ request: String) throws -> String {
        let peer = try RawPeer(port: port)
        peer.send(Array(request.replacing("\n", with: "\r\n").utf8))
        return String(decoding: peer.receiveAll(), as: UTF8.self)
    }

    @Test func oneRequestPerConnection() async throws {
        let test = try await TestServer.start()
        let answer = try exchange(test.port, "GET /version HTTP/1.1\nHost: a\nConnection: close\n\n")
        #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\nDate: "))
        #expect(answer.hasSuffix("\r\nConnection: close\r\n\r\n{\"a\":1}"))
        let missing = try exchange(test.port, "GET /nope HTTP/1.1\nHost: a\nConnection: close\n\n")
        #expect(missing.hasPrefix("HTTP/1.1 404 Not Found\r\n") && missing.hasSuffix("\r\n\r\n404 page not found\n"))
        #expect(missing.contains("X-Content-Type-Options: nosniff\r\n"))
        let old = try exchange(test.port, "GET /version HTTP/1.0\n\n")
        #expect(old.hasSuffix("{\"a\":1}"))
        let dropped = try exchange(test.port, "GET /dropped HTTP/1.1\nHost: a\nConnection: close\n\n")
        #expect(dropped.hasPrefix("HTTP/1.1 500 "))
        let broken = try exchange(test.port, "NONSENSE\n\n")
        #expect(broken.hasPrefix("HTTP/1.1 400 ") || broken.hasPrefix("HTTP/1.0 400 "))
        try await test.checkNothingLeft()
        await test.stop()
    }

    @Test func severalRequestsOnOneConnection() async throws {
        let test = try await TestServer.start()
        let peer = try RawPeer(port: test.port)
        // Pipelined: answers keep the order even when an earlier one is slower.
        peer.send(Array("GET /later HTTP/1.1\r\nHost: a\r\n\r\nHEAD /version HTTP/1.1\r\nHost: a\r\n\r\nPOST /describe?x=1&y=%20 HTTP/1.1\r\nHost: h:1\r\nX-Test: t\r\nContent-Length: 3\r\n\r\nabcGET /pieces HTTP/1.1\r\nHost: a\r\n\r\n".utf8))
        let answer = peer.receive(until: "\r\n0\r\n\r\n")
        let later = try #require(answer.firstRange(of: "\r\n\r\nlater"))
        let head = try #require(answer.firstRange(of: "Content-Length: 7\r\n"))
        let describe = try #require(answer.firstRange(of: "POST /describe x=1&y=%20 h:1 t 3"))
        #expect(later.upperBound < head.lowerBound && head.upperBound < describe.lowerBound)
        #expect(!answer.contains("{\"a\":1}"))
        #expect(answer.contains("transfer-encoding: chunked\r\n\r\n8\r\npiece 0\n\r\n") || answer.contains("chunked"))
        #expect(answer.contains("8\r\npiece 3\n\r\n0\r\n\r\n"))
        peer.send(Array("GET /version HTTP/1.1\r\nHost: a\r\n\r\n".utf8))
        #expect(peer.receive(until: "{\"a\":1}").hasSuffix("{\"a\":1}"))
        await test.stop()
    }

    @Test func bodiesHaveALimit() async throws {
        var configuration = ServerConfiguration()
        configuration.httpBodyBytesMax = 1000
        let test = try await TestServer.start(configuration)
        let body = String(repeating: "x", count: 1000)
        #expect(try exchange(test.port, "POST /describe HTTP/1.1\nHost: a\nConnection: close\nContent-Length: 1000\n\n" + body).hasSuffix(" 1000"))
        let declared = try exchange(test.port, "POST /describe HTTP/1.1\nHost: a\nContent-Length: 1001\n\n")
        #expect(declared.hasPrefix("HTTP/1.1 413 "))
        let chunked = try exchange(test.port, "POST /describe HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n3e9\n" + body + "x\n0\n\n")
        #expect(chunked.hasPrefix("HTTP/1.1 413 "))
        let expecting = try RawPeer(port: test.port)
        expecting.send(Array("POST /describe HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n".utf8))
        #expect(expecting.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 100 Continue\r\n"))
        expecting.send([65, 66])
        #expect(expecting.receive(until: " 2").contains("HTTP/1.1 200 OK"))
        await test.stop()
    }

    @Test func clientsThatLeaveAreNoticed() async throws {
        let test = try await TestServer.start()
        for isHTTP2 in [false, true] {
            do {
                let peer = try RawPeer(port: test.port)
                if isHTTP2 {
                    peer.send(Frames.preface + Frames.settings + Frames.request(1, "/held", method: "GET", contentType: nil, endStream: true))
                } else {
                    peer.send(Array("GET /held HTTP/1.1\r\nHost: a\r\n\r\n".utf8))
                }
                try await test.until("the request arrives") { _ in test.web.held.withLock { $0 != nil } }
            }
            try await test.until("the handler is told") { _ in test.web.gone.load(ordering: .relaxed) == (isHTTP2 ? 2 : 1) }
            // An answer that comes too late is dropped.
            test.web.held.withLock {
                $0?.respond(.notFound)
                $0 = nil
            }
        }
        try await test.checkNothingLeft()
        await test.stop()
    }

    @Test func slowHeadersEndAConnection() async throws {
        var configuration = ServerConfiguration()
        configuration.handshakeTimeout = .milliseconds(50)
        configuration.readHeaderTimeout = .milliseconds(50)
        let test = try await TestServer.start(configuration)
        let silent = try RawPeer(port: test.port)
        #expect(silent.receive().isEmpty)
        let half = try RawPeer(port: test.port)
        half.send(Array("GET /version HTTP/1.1\r\nHost:".utf8))
        #expect(half.receive().isEmpty)
        let prefix = try RawPeer(port: test.port)
        prefix.send(Array("PRI * HT".utf8))
        #expect(prefix.receive().isEmpty)
        // Between requests a connection may rest longer than that.
        let idle = try RawPeer(port: test.port)
        idle.send(Array("GET /version HTTP/1.1\r\nHost: a\r\n\r\n".utf8))
        _ = idle.receive(until: "{\"a\":1}")
        try await Task.sleep(for: .milliseconds(120))
        idle.send(Array("GET /version HTTP/1.1\r\nHost: a\r\n\r\n".utf8))
        #expect(idle.receive(until: "{\"a\":1}").contains("200 OK"))
        await test.stop()
    }

    @Test func plainRequestsOverHTTP2() async throws {
        let test = try await TestServer.start()
        let peer = try RawPeer(port: test.port)
        let reader = FrameReader(peer)
        peer.send(
            Frames.preface + Frames.settings
                + Frames.request(1, "/version", method: "GET", contentType: nil, endStream: true)
                + Frames.request(3, "/describe?q", contentType: "application/json", extra: [("x-test", "t")])
                + Frames.data(3, [1, 2]) + Frames.data(3, [3], endStream: true)
                + Frames.request(5, "/version", method: "HEAD", contentType: nil, endStream: true)
                + Frames.request(7, "/nope", method: "GET", contentType: nil, endStream: true)
                + Frames.request(9, "/pieces", method: "GET", contentType: nil, endStream: true))
        var heads: [UInt32: FrameReader.Frame] = [:]
        var bodies: [UInt32: [UInt8]] = [:]
        var ended: Set<UInt32> = []
        while ended.count < 5, let frame = reader.next() {
            if frame.type == 1 { heads[frame.stream] = frame }
            if frame.type == 0 { bodies[frame.stream, default: []] += frame.payload }
            if frame.endsStream { ended.insert(frame.stream) }
        }
        func body(_ stream: UInt32) -> String { String(decoding: bodies[stream] ?? [], as: UTF8.self) }
        #expect(heads[1]?[":status"] == "200" && heads[1]?["content-type"] == "application/json")
        #expect(heads[1]?["content-length"] == "7" && body(1) == "{\"a\":1}")
        #expect(body(3) == "POST /describe q test t 3")
        #expect(heads[5]?[":status"] == "200" && heads[5]?["content-length"] == "7" && bodies[5] == nil)
        #expect(heads[7]?[":status"] == "404" && body(7) == "404 page not found\n")
        #expect(body(9) == "piece 0\npiece 1\npiece 2\npiece 3\n")
        await test.stop()
    }

    @Test func largeAnswersGoToSlowReaders() async throws {
        let test = try await TestServer.start()
        let peer = try RawPeer(port: test.port)
        peer.send(Array("GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".utf8))
        #expect(peer.receiveAll().count > 3_000_000)
        try await test.checkNothingLeft()
        await test.stop()
    }
}
