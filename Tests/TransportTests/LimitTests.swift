// Limits that stand for the whole server: shared connections, memory of all peers, long work, answers nobody takes.

import NIOCore
import NIOEmbedded
import Synchronization
import Testing
import Wire

@testable import Transport

@Suite(.serialized) struct LimitTests {
    @Test func listenersShareABudget() async throws {
        var options = ListenOptions()
        let budget = ConnectionBudget(limit: 4)
        options.budget = budget
        let test = try await TestServer.start(options: options)
        let other = try await test.server.listen(on: .host("127.0.0.1", port: 0), Services(methods: MethodTable()), options: options)
        var peers = try (0..<8).map { _ in try RawPeer(port: test.port) }
        try await test.until("the first listener has all there is") { _ in budget.openConnections >= 4 && budget.acceptPauses > 0 }
        // One accept may bring several connections.
        #expect(budget.openConnections <= 4 + 4)
        let late = try RawPeer(port: other.port)
        late.send(Frames.preface + Frames.settings)
        peers.removeAll()
        // Room on one listener is room on the other.
        #expect(FrameReader(late).next { $0.type == 4 } != nil)
        await test.stop()
        #expect(budget.openConnections == 0)
    }

    @Test func whoHoldsMostGoes() async throws {
        let test = try await TestServer.start()
        await test.onLoop { $0.heldBytesMax = 20 << 20 }
        let honest = try await test.client()
        // Each asks for 3 MB at a time and takes nothing.
        let peers = try (0..<4).map { _ in try RawPeer(port: test.port, timeoutSeconds: 2) }
        for (number, peer) in peers.enumerated() {
            peer.send(Frames.preface + Frames.frame(4, 0, 0, [0, 4, 0, 0, 0, 0]))
            for stream in 0..<(number + 1) * 2 {
                peer.send(Frames.request(UInt32(2 * stream + 1), "/large", method: "GET", contentType: nil, endStream: true))
            }
        }
        try await test.until("one is cut") { $0.counters.connectionsCut.value > 0 }
        #expect(await test.onLoop { $0.counters.queuedBytes.value } <= 20 << 20)
        #expect(await honest.unary("/test.Test/Echo", [1]).code == .ok)
        await honest.close()
        await test.stop()
        #expect(test.loop.counters.queuedBytes.value == 0)
    }

    /// Bodies of HTTP/1 requests that do not end count like anything else.
    @Test func whoHoldsMostByHTTP1Goes() async throws {
        let test = try await TestServer.start()
        await test.onLoop { $0.heldBytesMax = 20 << 20 }
        let peers = try (0..<5).map { _ in try RawPeer(port: test.port, timeoutSeconds: 5) }
        let piece = [UInt8](repeating: 0x78, count: 1 << 20)
        for (number, peer) in peers.enumerated() {
            peer.send(Array("POST /describe HTTP/1.1\r\nHost: a\r\nContent-Length: 16000000\r\n\r\n".utf8))
            for _ in 0..<(2 * (number + 1)) where peer.send(piece) {}
        }
        try await test.until("one is cut") { $0.counters.connectionsCut.value > 0 }
        #expect(await test.onLoop { $0.counters.receivedPartialBytes.value } <= 20 << 20)
        // A whole body is given back with its answer.
        let held = await test.onLoop { $0.counters.receivedPartialBytes.value }
        let honest = try RawPeer(port: test.port)
        honest.send(Array("POST /describe HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n".utf8) + piece)
        #expect(honest.receive(until: " 1048576").hasPrefix("HTTP/1.1 200 "))
        #expect(await test.onLoop { $0.counters.receivedPartialBytes.value } <= held)
        await test.stop()
        #expect(test.loop.counters.receivedPartialBytes.value == 0)
        #expect(test.loop.counters.queuedBytes.value == 0)
        withExtendedLifetime(peers) {}
    }

    private final class Endless: BodySource {
        let onCancel: () -> Void
        init(_ onCancel: @escaping () -> Void) { self.onCancel = onCancel }
        func read(into buffer: GappedBuffer) throws -> Int {
            buffer.forEachPiece(0, buffer.count) { $0.initializeMemory(as: UInt8.self, repeating: 7) }
            return buffer.count
        }
        func cancelled() { onCancel() }
    }

    @Test func answersThatNobodyTakesEnd() async throws {
        var configuration = ServerConfiguration()
        configuration.stalledAnswerTimeout = .milliseconds(1)
        let counter = Counter()
        let test = try await TestServer.start(configuration) { table in
            table.add(service: "test.Test", method: "Long", kind: .unary, UnaryMethod { call, _ in
                call.reply(length: 1 << 30, source: Endless { counter.add() })
            })
        }
        let peer = try RawPeer(port: test.port)
        let reader = FrameReader(peer)
        peer.send(Frames.preface + Frames.settings + Frames.request(1, "/test.Test/Long") + Frames.data(1, Frames.message([]), endStream: true))
        try await test.until("the windows are used up") { loop in
            if counter.value == 0 {
                loop.nextStalledSweep = 0
                loop.cutStalledAnswers()
            }
            return counter.value > 0
        }
        let reset = try #require(reader.next { $0.type == 3 })
        #expect(reset.payload == [0, 0, 0, 11])
        #expect(test.loop.counters.answersStalled.value == 1)
        try await test.until("the call is gone") { $0.calls.takenCount == 0 }
        await test.stop()
    }

    private final class Counter: Sendable {
        private let cell = Atomic<Int>(0)
        func add() { cell.wrappingAdd(1, ordering: .relaxed) }
        var value: Int { cell.load(ordering: .relaxed) }
    }

    /// Long work that hands in its own continuation does not keep sockets waiting.
    @Test func longWorkLetsOthersBeServed() async throws {
        let test = try await TestServer.start()
        let client = try await test.client()
        let stopped = Counter()
        test.loop.execute { Self.goOn(test.loop, until: stopped) }
        for number in 0..<20 { #expect(await client.unary("/test.Test/Echo", [UInt8(number)]).code == .ok) }
        stopped.add()
        try await test.until("the work has ended") { $0.slices.isEmpty }
        #expect(test.loop.counters.slicesWaiting.value == 0)
        await client.close()
        await test.stop()
    }

    private static func goOn(_ loop: ServerLoop, until stopped: Counter) {
        guard stopped.value == 0 else { return }
        loop.later { goOn(loop, until: stopped) }
    }

    @Test func windowChangesAreCountedByTheirWork() {
        var policy = SettingsPolicy(now: 0)
        func allows(_ times: Int, _ streams: Int, _ now: UInt64) -> Bool { policy.windowChanged(times: times, streams: streams, now: now) }
        // A client with thousands of streams whose window grows.
        for _ in 0..<20 { #expect(allows(1, 5000, 1)) }
        // Frames without that setting, as many as there may be.
        #expect((0..<100_000).allSatisfy { _ in allows(0, 100_000, 1) })
        var frames = 0
        while allows(1, 50_000, 2) { frames += 1 }
        #expect(frames < 100)
        // Some seconds later there is leave again.
        #expect(allows(1, 50_000, 5_000_000_000))
    }
}
