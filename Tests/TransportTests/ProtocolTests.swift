// HTTP/2 and gRPC on the wire, byte by byte: what an independent peer must see.

import Testing
import Wire

@testable import Transport

@Suite struct ProtocolTests {
    private func open(_ test: TestServer, timeoutSeconds: Int = 10) throws -> (RawPeer, FrameReader) {
        let peer = try RawPeer(port: test.port, timeoutSeconds: timeoutSeconds)
        peer.send(Frames.preface + Frames.settings)
        return (peer, FrameReader(peer))
    }

    @Test func settingsAreEtcds() async throws {
        var configuration = ServerConfiguration()
        configuration.concurrentStreamsMax = 77
        for limited in [false, true] {
            let test = try await TestServer.start(limited ? configuration : ServerConfiguration())
            let (_, reader) = try open(test)
            let settings = try #require(reader.next { $0.type == 4 && $0.flags == 0 })
            var entries: [Int: Int] = [:]
            for offset in stride(from: 0, to: settings.payload.count, by: 6) {
                let bytes = settings.payload[offset..<(offset + 6)].map(Int.init)
                entries[bytes[0] << 8 | bytes[1]] = bytes[2] << 24 | bytes[3] << 16 | bytes[4] << 8 | bytes[5]
            }
            // MAX_FRAME_SIZE, INITIAL_WINDOW_SIZE and, if asked for, MAX_CONCURRENT_STREAMS.
            #expect(entries == (limited ? [5: 16384, 4: 1 << 20, 3: 77] : [5: 16384, 4: 1 << 20]))
            #expect(reader.next { $0.type == 4 && $0.flags == 1 } != nil)
            await test.stop()
        }
    }

    @Test func answersHaveExactlyTheseHeaders() async throws {
        let test = try await TestServer.start()
        let (peer, reader) = try open(test)
        peer.send(Frames.request(1, "/test.Test/Echo") + Frames.data(1, Frames.message([1, 2]), endStream: true))
        let head = try #require(reader.next { $0.type == 1 })
        #expect(head.headers.map { "\($0.0)=\($0.1)" } == [":status=200", "content-type=application/grpc"])
        let data = try #require(reader.next())
        #expect(data.type == 0 && data.payload == [0, 0, 0, 0, 2, 1, 2] && !data.endsStream)
        let trailers = try #require(reader.next())
        #expect(trailers.type == 1 && trailers.endsStream)
        #expect(trailers.headers.map { "\($0.0)=\($0.1)" } == ["grpc-status=0", "grpc-message="])
        // An error without a message is one header list.
        peer.send(Frames.request(3, "/test.Test/Fail") + Frames.data(3, Frames.message([11] + Array("a%b".utf8)), endStream: true))
        let error = try #require(reader.next { $0.type == 1 })
        #expect(error.endsStream)
        #expect(
            error.headers.map { "\($0.0)=\($0.1)" } == [
                ":status=200", "content-type=application/grpc", "grpc-status=11", "grpc-message=a%25b",
            ])
        await test.stop()
    }

    @Test func messagesComeInAnyPieces() async throws {
        let test = try await TestServer.start()
        let (peer, reader) = try open(test)
        // One byte per frame, each in a segment of its own, and the end of the stream in an empty frame.
        let message = Frames.message([7, 8, 9])
        peer.send(Frames.request(1, "/test.Test/Echo"))
        for byte in message { peer.send(Frames.data(1, [byte])) }
        peer.send(Frames.data(1, []))
        peer.send(Frames.data(1, [], endStream: true))
        #expect(reader.next { $0.type == 0 }?.payload == message)
        // Several messages in a frame, and a frame that ends inside the next message.
        let many = Frames.message([1]) + Frames.message([]) + Frames.message([2, 3])
        peer.send(Frames.request(3, "/test.Test/EchoStream") + Frames.data(3, many + [0, 0]))
        #expect(reader.next { $0.type == 0 && $0.stream == 3 }?.payload == many)
        peer.send(Frames.data(3, [0, 0, 1, 4], endStream: true))
        #expect(reader.next { $0.type == 0 && $0.stream == 3 }?.payload == Frames.message([4]))
        #expect(reader.next { $0.endsStream && $0.stream == 3 }?["grpc-status"] == "0")
        await test.stop()
    }

    @Test func brokenRequestsGetGRPCGosAnswers() async throws {
        let test = try await TestServer.start(http: false)
        let (peer, reader) = try open(test)
        var stream: UInt32 = 1
        func ask(_ frames: (UInt32) -> [UInt8]) throws -> FrameReader.Frame {
            defer { stream += 2 }
            peer.send(frames(stream))
            return try #require(reader.next { $0.stream == stream && $0.endsStream })
        }
        let path = "/test.Test/Echo"
        let violation = "cardinality violation: received"
        check(try ask { Frames.request($0, path, endStream: true) }, "200", .internal, "\(violation) no request message from non-client-streaming RPC")
        check(
            try ask { Frames.request($0, path) + Frames.data($0, Frames.message([1]) + Frames.message([2]), endStream: true) }, "200",
            .internal, "\(violation) multiple request messages for non-client-streaming RPC")
        check(
            try ask { Frames.request($0, path) + Frames.data($0, Frames.message([1])) + Frames.data($0, Frames.message([2]), endStream: true) },
            "200", .internal, "\(violation) multiple request messages for non-client-streaming RPC")
        check(try ask { Frames.request($0, path) + Frames.data($0, [0, 0, 0, 0, 9, 1], endStream: true) }, "200", .internal, "unexpected EOF")
        check(
            try ask { Frames.request($0, path) + Frames.data($0, Frames.message([1], format: 1), endStream: true) }, "200", .internal,
            "grpc: compressed flag set with identity or empty encoding")
        check(
            try ask { Frames.request($0, path) + Frames.data($0, Frames.message([1], format: 9), endStream: true) }, "200", .internal,
            "grpc: received unexpected payload format 9")
        check(
            try ask { Frames.request($0, path, extra: [("grpc-encoding", "zstd")]) + Frames.data($0, Frames.message([1]), endStream: true) },
            "200", .unimplemented, "grpc: Decompressor is not installed for grpc-encoding \"zstd\"")
        check(try ask { Frames.request($0, path, extra: [("grpc-encoding", "identity")]) + Frames.data($0, Frames.message([]), endStream: true) }, nil, .ok, "")
        check(
            try ask { Frames.request($0, path, contentType: "application/json", endStream: true) }, "415", .invalidArgument,
            "invalid gRPC request content-type \"application/json\"")
        check(try ask { Frames.request($0, path, contentType: nil, endStream: true) }, "415", .invalidArgument, "invalid gRPC request content-type \"\"")
        check(
            try ask { Frames.request($0, path, contentType: "application/grpcx", endStream: true) }, "415", .invalidArgument,
            "invalid gRPC request content-type \"application/grpcx\"")
        check(
            try ask { Frames.request($0, path, method: "GET", endStream: true) }, "405", .internal,
            "Received a HEADERS frame with :method \"GET\" which should be POST")
        check(
            try ask { Frames.request($0, path, extra: [("grpc-timeout", "18f6n")], endStream: true) }, "400", .internal,
            "malformed grpc-timeout: strconv.ParseUint: parsing \"18f6\": invalid syntax")
        for type in ["application/grpc+proto", "application/grpc;charset=utf-8", "Application/GRPC"] {
            #expect(try ask { Frames.request($0, path, contentType: type) + Frames.data($0, Frames.message([1]), endStream: true) }["grpc-status"] == "0")
        }
        await test.stop()
    }

    private func check(_ answer: FrameReader.Frame, _ status: String?, _ code: StatusCode, _ text: String) {
        #expect(answer[":status"] == status)
        #expect(answer["grpc-status"] == "\(code.rawValue)")
        #expect(answer["grpc-message"] == text)
    }

    @Test func malformedHeadsAreReset() async throws {
        let test = try await TestServer.start()
        let (peer, reader) = try open(test)
        let good = [(":method", "POST"), (":scheme", "http"), (":path", "/test.Test/Echo"), (":authority", "#initially=[http://a:1/]")]
        let type = [("content-type", "application/grpc")]
        typealias Head = [(String, String)]
        var heads: [Head] = []
        heads.append(Array(good.dropFirst()) + type)
        heads.append(Array(good.dropLast(2)) + type)
        heads.append([good[0], good[2]] + type)
        heads.append(type + good)
        heads.append([good[0], good[1], (":path", "x"), good[3]] + type)
        for extra in [(":method", "POST"), (":status", "200"), (":path", "/b")] { heads.append(good + [extra] + type) }
        for extra in [("Upper", "x"), ("a", "x\ny"), ("connection", "close"), ("", "x")] { heads.append(good + type + [extra]) }
        for (number, head) in heads.enumerated() {
            let stream = UInt32(2 * number + 1)
            peer.send(Frames.frame(1, 5, stream, Frames.headerBlock(head)))
            let answer = try #require(reader.next { $0.stream == stream })
            #expect(answer.type == 3 && answer.payload == [0, 0, 0, 1], "head \(number)")
        }
        // The strange authority of old clients is none of our business.
        peer.send(Frames.frame(1, 4, 101, Frames.headerBlock(good + type)) + Frames.data(101, Frames.message([1]), endStream: true))
        #expect(reader.next { $0.stream == 101 && $0.endsStream }?["grpc-status"] == "0")
        // A head beyond the limit: one value of 4,000 bytes put into the dynamic table, then named over and over.
        let bytes = Array(repeating: UInt8(ascii: "v"), count: 4000)
        let large = [0x40, 1, UInt8(ascii: "n"), 0x7f, 0xa1, 0x1e] + bytes
        let bomb = Frames.headerBlock(good + type) + large + [UInt8](repeating: 0xbe, count: 10_000)
        peer.send(Frames.frame(1, 5, 103, bomb))
        let answer = try #require(reader.next { $0.stream == 103 })
        #expect(answer.type == 3 && answer.payload == [0, 0, 0, 11])
        try await test.until("nothing is left") { $0.calls.takenCount == 0 }
        await test.stop()
    }

    @Test func pingsAreAcknowledgedAndPoliced() async throws {
        let test = try await TestServer.start()
        let (peer, reader) = try open(test)
        // A ping after each answer is free, as often as it comes.
        for number in 0..<20 {
            let stream = UInt32(2 * number + 1)
            peer.send(Frames.request(stream, "/test.Test/Echo") + Frames.data(stream, Frames.message([1]), endStream: true))
            #expect(reader.next { $0.endsStream }?.stream == stream)
            peer.send(Frames.ping(UInt8(number)))
            #expect(reader.next { $0.type == 6 }?.payload == [UInt8(number), 1, 2, 3, 4, 5, 6, 7])
        }
        // Three too fast are two strikes too many... and the last is still acknowledged.
        for number in 0..<3 { peer.send(Frames.ping(UInt8(number))) }
        let goaway = try #require(reader.next { $0.type == 7 })
        #expect(Array(goaway.payload[4..<8]) == [0, 0, 0, 11])
        #expect(String(decoding: goaway.payload[8...], as: UTF8.self) == "too_many_pings")
        #expect(reader.next { $0.type == 7 } == nil)
        try await test.checkNothingLeft()
        await test.stop()
    }

    @Test func uploadsGetTheirWindowBack() async throws {
        let test = try await TestServer.start()
        let (peer, reader) = try open(test)
        var windows: [UInt32: Int] = [:]
        // The larger window of a stream holds from the acknowledgement of the settings on.
        _ = reader.next { $0.type == 4 && $0.flags == 0 }
        peer.send(Frames.frame(4, 1, 0, []))
        peer.send(Frames.request(1, "/test.Test/Echo"))
        let body = Frames.message([UInt8](repeating: 5, count: 1_500_000))
        for start in stride(from: 0, to: body.count, by: 16384) {
            peer.send(Frames.data(1, Array(body[start..<min(start + 16384, body.count)])))
        }
        peer.send(Frames.data(1, [], endStream: true))
        while let frame = reader.next() {
            if frame.type == 8 { windows[frame.stream, default: 0] += frame.payload.reduce(0) { $0 << 8 | Int($1) } }
            if frame.type == 0 { break }
        }
        #expect(windows[1, default: 0] >= 500_000)
        #expect(windows[0, default: 0] >= TransportLimits.connectionWindowBytes - 65_535)
        await test.stop()
    }

    @Test func shutdownDrainsThenCancels() async throws {
        let test = try await TestServer.start()
        let client = try await test.client()
        let (stream, tag) = await client.open("/test.Test/EchoStream")
        let (_, silent) = await client.begin("/test.Test/Silent")
        try await test.until("both are open") { $0.calls.takenCount == 2 }
        async let stopped: Void = test.server.shutdown(grace: .seconds(2))
        try await client.until("the client is told") { client.connection.isGoingAway }
        // Calls in progress may end; new ones are not taken.
        await client.onLoop { connection in
            connection.send(stream) { $0.append(byte: 4) }
            connection.halfClose(stream)
        }
        #expect(await client.outcome(tag) == Outcome(messages: [[4]], code: .ok, text: ""))
        #expect(await client.unary("/test.Test/Echo", [1]).code == .unavailable)
        #expect(await client.outcome(silent).code == .unavailable)
        await stopped
        #expect(test.silent.log.withLock { $0.cancelled } == [.shutdown])
        try await client.until("the connection closes") { client.isClosed }
    }

    @Test func idleConnectionsCloseAtOnceOnShutdown() async throws {
        let test = try await TestServer.start()
        let client = try await test.client()
        #expect(await client.unary("/test.Test/Echo", [1]).code == .ok)
        // So do those that have said nothing, or half of something.
        let silent = try RawPeer(port: test.port)
        let half = try RawPeer(port: test.port)
        half.send(Array("GET / HT".utf8))
        let idle = try RawPeer(port: test.port)
        idle.send(Array("GET /version HTTP/1.1\r\nHost: a\r\n\r\n".utf8))
        _ = idle.receive(until: "{\"a\":1}")
        let clock = ContinuousClock()
        let start = clock.now
        await test.server.shutdown(grace: .seconds(30))
        #expect(clock.now - start < .seconds(20))
        #expect(silent.receive().isEmpty && half.receive().isEmpty && idle.receive().isEmpty)
    }

    @Test func deadPeersAreFoundByKeepalive() async throws {
        var configuration = ServerConfiguration()
        configuration.keepalive.interval = .milliseconds(30)
        configuration.keepalive.timeout = .milliseconds(200)
        let test = try await TestServer.start(configuration)
        // The client answers pings by itself and stays.
        let client = try await test.client()
        let (peer, reader) = try open(test)
        #expect(reader.next { $0.type == 6 && $0.flags == 0 } != nil)
        #expect(reader.next { $0.type == 6 && $0.flags == 0 } == nil, "closed, not pinged again")
        _ = peer
        #expect(await client.unary("/test.Test/Echo", [1]).code == .ok)
        await test.stop()
    }

    @Test func streamLimitsAreEnforced() async throws {
        var configuration = ServerConfiguration()
        configuration.concurrentStreamsMax = 3
        let test = try await TestServer.start(configuration)
        let (peer, reader) = try open(test)
        for number in 0..<4 { peer.send(Frames.request(UInt32(2 * number + 1), "/test.Test/Silent")) }
        let reset = try #require(reader.next { $0.type == 3 })
        #expect(reset.stream == 7 && reset.payload == [0, 0, 0, 7])
        await test.stop()
    }

    @Test func listenersOfEveryKind() async throws {
        let path = "/tmp/martlet-transport-\(SeededGenerator(seed: UInt64(monotonicNanoseconds())).seed).sock"
        for address in [ListenAddress.unix(path: path), .host("localhost", port: 0), .host("", port: 0), .host("::1", port: 0)] {
            let test: TestServer
            do { test = try await TestServer.start(address: address) } catch {
                // A machine without IPv6 has no such address.
                if case .host(let host, _) = address, host != "localhost" { continue }
                throw error
            }
            var target = test.listener.address
            if case .host("", let port) = target { target = .host("::1", port: port) }
            let client = try await TestClient.connect(to: target)
            #expect(await client.unary("/test.Test/Echo", [1]).messages == [[1]], "\(address)")
            await client.close()
            await test.stop()
        }
        // The socket file of an earlier process does not matter.
        let again = try await TestServer.start(address: .unix(path: path))
        await again.stop()
    }

    @Test func theNextConnectionWaitsForRoom() async throws {
        var options = ListenOptions()
        options.connectionsMax = 2
        let test = try await TestServer.start(options: options)
        let first = try await test.client()
        let second = try await test.client()
        #expect(await first.unary("/test.Test/Echo", [1]).code == .ok)
        #expect(await second.unary("/test.Test/Echo", [1]).code == .ok)
        let third = try await test.client()
        let (_, tag) = await third.begin("/test.Test/Echo", [3])
        for _ in 0..<20 { _ = await test.onLoop { $0.index } }
        #expect(!third.isFinished(tag))
        #expect(await test.onLoop { $0.counters.connectionsOpen.value } == 2)
        await first.close()
        #expect(await third.outcome(tag).messages == [[3]])
        await test.stop()
    }
}
