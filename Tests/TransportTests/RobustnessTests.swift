// Bytes that no honest client sends: the server must stay up, serve others, and give everything back.

import Testing
import Wire

@testable import Transport

#if canImport(Glibc)
import Glibc
#endif

@Suite(.serialized) struct RobustnessTests {
    private static let soak = getenv("MARTLET_SOAK").flatMap { Int(String(cString: $0)) } ?? 1

    /// A valid conversation of the kind that fuzzing starts from.
    private func conversation(_ generator: inout SeededGenerator) -> [UInt8] {
        var bytes = Frames.preface + Frames.settings
        let paths = ["/test.Test/Echo", "/test.Test/EchoStream", "/test.Test/Silent", "/test.Test/Nope", "/version", "/held"]
        for number in 0..<Int.random(in: 1...12, using: &generator) {
            let stream = UInt32(2 * number + 1)
            let path = paths.randomElement(using: &generator)!
            let isPlain = path.hasPrefix("/v") || path.hasPrefix("/h")
            bytes += Frames.request(
                stream, path, method: isPlain ? "GET" : "POST", contentType: isPlain ? nil : "application/grpc",
                extra: Bool.random(using: &generator) ? [("grpc-timeout", "\(Int.random(in: 0...9999, using: &generator))u")] : [])
            for _ in 0..<Int.random(in: 0...4, using: &generator) {
                let size = Int.random(in: 0...3, using: &generator) == 0 ? 5000 : 20
                bytes += Frames.data(stream, Frames.message(generator.bytes(Int.random(in: 0...size, using: &generator))))
            }
            switch Int.random(in: 0...5, using: &generator) {
            case 0: bytes += Frames.reset(stream)
            case 1: bytes += Frames.ping(UInt8(number))
            case 2: bytes += Frames.window(Bool.random(using: &generator) ? 0 : stream, UInt32.random(in: 0...1000, using: &generator))
            case 3: break
            default: bytes += Frames.data(stream, [], endStream: true)
            }
        }
        return bytes
    }

    private func mutate(_ bytes: [UInt8], _ generator: inout SeededGenerator) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 0...6, using: &generator) {
            guard bytes.count > 40 else { break }
            // The preface mostly stays: behind it is what is to be tested.
            let position = Int.random(in: (Int.random(in: 0...20, using: &generator) == 0 ? 0 : 24)..<bytes.count, using: &generator)
            switch Int.random(in: 0...4, using: &generator) {
            case 0: bytes[position] ^= 1 << UInt8.random(in: 0...7, using: &generator)
            case 1: bytes[position] = UInt8.random(in: 0...255, using: &generator)
            case 2: bytes.removeSubrange(position..<min(bytes.count, position + Int.random(in: 1...30, using: &generator)))
            case 3: bytes.insert(contentsOf: generator.bytes(Int.random(in: 1...30, using: &generator)), at: position)
            default: bytes = Array(bytes[..<position])
            }
        }
        return bytes
    }

    @Test func fuzzedConversationsLeaveNothingBehind() async throws {
        let test = try await TestServer.start()
        for round in 0..<(300 * Self.soak) {
            let seed = UInt64(round) &* 7919 &+ 13
            var generator = SeededGenerator(seed: seed)
            let bytes = mutate(conversation(&generator), &generator)
            let peer = try RawPeer(port: test.port, timeoutSeconds: 1)
            var offset = 0
            while offset < bytes.count {
                let end = min(bytes.count, offset + Int.random(in: 1...(Bool.random(using: &generator) ? 50 : 20_000), using: &generator))
                guard peer.send(Array(bytes[offset..<end])) else { break }
                offset = end
            }
            if round % 20 == 0 {
                let client = try await test.client()
                #expect(await client.unary("/test.Test/Echo", [1]).code == .ok, "seed \(seed)")
                await client.close()
            }
        }
        test.web.held.withLock { $0 = nil }
        try await test.checkNothingLeft()
        #expect(test.silent.liveObjects.load(ordering: .relaxed) == 0)
        await test.stop()
    }

    @Test func garbageIsNotServed() async throws {
        let test = try await TestServer.start()
        for round in 0..<(100 * Self.soak) {
            var generator = SeededGenerator(seed: UInt64(round) + 99)
            let peer = try RawPeer(port: test.port, timeoutSeconds: 1)
            if round % 2 == 0 { peer.send(Frames.preface) }
            peer.send(generator.bytes(Int.random(in: 1...5000, using: &generator)))
        }
        try await test.checkNothingLeft()
        await test.stop()
    }

    @Test func floodsAreBounded() async throws {
        let test = try await TestServer.start()
        // Frames that cost the sender little, many times over, by a peer that reads nothing.
        let floods: [[UInt8]] = [
            Frames.ping(1), Frames.settings, Frames.data(1, []), Frames.window(1, 1),
            Frames.frame(2, 0, 3, [0, 0, 0, 0, 1]), Frames.frame(0x7f, 0, 0, [1, 2, 3]), Frames.reset(1),
        ]
        for (number, frame) in floods.enumerated() {
            let peer = try RawPeer(port: test.port, timeoutSeconds: 1)
            peer.send(Frames.preface + Frames.settings + Frames.request(1, "/test.Test/EchoStream"))
            let burst = Array(repeatElement(frame, count: 1000).joined())
            for _ in 0..<30 { guard peer.send(burst) else { break } }
            let client = try await test.client()
            #expect(await client.unary("/test.Test/Echo", [1]).code == .ok, "flood \(number)")
            await client.close()
        }
        try await test.checkNothingLeft()
        await test.stop()
    }

    @Test func rapidResetsAreServed() async throws {
        let test = try await TestServer.start()
        let peer = try RawPeer(port: test.port)
        let reader = FrameReader(peer)
        peer.send(Frames.preface + Frames.settings)
        var stream: UInt32 = 1
        for _ in 0..<20 {
            var burst: [UInt8] = []
            for _ in 0..<500 {
                burst += Frames.request(stream, "/test.Test/Silent") + Frames.data(stream, Frames.message([1]), endStream: true) + Frames.reset(stream)
                stream += 2
            }
            peer.send(burst)
        }
        peer.send(Frames.request(stream, "/test.Test/Echo") + Frames.data(stream, Frames.message([1]), endStream: true))
        #expect(reader.next { $0.stream == stream && $0.endsStream }?["grpc-status"] == "0")
        #expect(test.silent.log.withLock { $0.cancelled.count } == 10_000)
        #expect(await test.onLoop { $0.calls.takenCount } == 0)
        await test.stop()
    }

    /// Many requests that never end may hold so much and no more.
    @Test func unfinishedMessagesAreBounded() async throws {
        let test = try await TestServer.start()
        let client = try await test.client()
        let method = client.method("/test.Test/Echo")
        let count = 80
        // 1 MiB of a message that would have nearly 2 MiB.
        let part = [0, 0, 0x1e, 0, 0] + [UInt8](repeating: 0, count: 1 << 20)
        await client.onLoop { connection in
            for number in 0..<count {
                let call = connection.open(method, tag: UInt64(1_000_000 + number))!
                connection.sendRaw(call, part)
            }
        }
        try await test.until("some are refused") { $0.counters.connectionsRejected.value > 0 }
        #expect(await test.onLoop { $0.counters.receivedPartialBytes.value } <= TransportLimits.receivedPartialBytesMax + (4 << 20))
        #expect(await client.unary("/test.Test/Echo", [1]).code == .ok)
        await client.close()
        try await test.checkNothingLeft()
        await test.stop()
    }

    /// Long headers of calls that never end count as memory too.
    @Test func longHeadersAreBounded() async throws {
        let test = try await TestServer.start()
        let peer = try RawPeer(port: test.port)
        let reader = FrameReader(peer)
        peer.send(Frames.preface + Frames.settings)
        let length = 60_000
        // An HPACK string of that length: 127 and the rest in groups of seven bits.
        var token: [UInt8] = [0, 5] + Array("token".utf8) + [0x7f]
        var rest = length - 127
        while rest >= 128 {
            token.append(UInt8(rest & 127 | 128))
            rest >>= 7
        }
        token += [UInt8(rest)] + [UInt8](repeating: UInt8(ascii: "t"), count: length)
        let fields = [(":method", "POST"), (":scheme", "http"), (":path", "/test.Test/Silent"), ("content-type", "application/grpc")]
        let block = Frames.headerBlock(fields) + token
        let count = TransportLimits.receivedPartialBytesMax / length + 20
        for number in 0..<count {
            let stream = UInt32(2 * number + 1)
            for start in stride(from: 0, to: block.count, by: 16_384) {
                let end = min(start + 16_384, block.count)
                peer.send(Frames.frame(start == 0 ? 1 : 9, end == block.count ? 4 : 0, stream, Array(block[start..<end])))
            }
        }
        let reset = try #require(reader.next { $0.type == 3 })
        #expect(reset.payload == [0, 0, 0, 11])
        #expect(await test.onLoop { $0.counters.receivedPartialBytes.value } <= TransportLimits.receivedPartialBytesMax + 2 * length)
        await test.stop()
        #expect(test.loop.counters.receivedPartialBytes.value == 0)
    }

    /// A peer whose socket takes nothing keeps its connection's memory bounded, however much it asks.
    @Test func askingWithoutReadingIsBounded() async throws {
        let test = try await TestServer.start()
        let peer = try RawPeer(port: test.port, timeoutSeconds: 1)
        // Windows as large as can be, so that only the socket stands in the way.
        peer.send(Frames.preface + Frames.frame(4, 0, 0, [0, 4, 0x7f, 0xff, 0xff, 0xff]) + Frames.window(0, 0x7fff_0000))
        for number in 0..<500 {
            // 3 MB each.
            peer.send(Frames.request(UInt32(2 * number + 1), "/large", method: "GET", contentType: nil, endStream: true))
        }
        let client = try await test.client()
        #expect(await client.unary("/test.Test/Echo", [1]).code == .ok)
        let queued = await test.onLoop { $0.counters.queuedBytes.value }
        #expect(queued > 0 && queued < TransportLimits.connectionQueuedBytesMax + (4 << 20))
        await client.close()
        await test.stop()
        #expect(test.loop.counters.queuedBytes.value == 0)
    }
}
