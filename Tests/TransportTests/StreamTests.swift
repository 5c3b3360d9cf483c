// Streams: order, ends, back-pressure both ways, bodies that are made while they are sent.

import NIOCore
import Synchronization
import Testing
import Wire

@testable import Transport

@Suite struct StreamTests {
    @Test func messagesKeepTheirOrder() async throws {
        let test = try await TestServer.start()
        let client = try await test.client()
        var generator = SeededGenerator(seed: 11)
        var expected: [[UInt8]] = []
        let (call, tag) = await client.open("/test.Test/EchoStream")
        for _ in 0..<200 {
            let batch = (0..<Int.random(in: 1...20, using: &generator)).map { _ in
                generator.bytes(Int.random(in: 0...3, using: &generator) == 0 ? Int.random(in: 0...40_000, using: &generator) : 9)
            }
            expected += batch
            await client.onLoop { connection in for message in batch { connection.send(call) { $0.append(message) } } }
        }
        await client.onLoop { $0.halfClose(call) }
        let outcome = await client.outcome(tag)
        #expect(outcome.code == .ok)
        #expect(outcome.messages == expected)
        await client.close()
        try await test.checkNothingLeft()
        await test.stop()
    }

    @Test func streamsEndInEveryWay() async throws {
        let handler = ScriptedStream(
            opened: { call in
                #expect(call.isAlive)
                call.userData = Mark()
            },
            message: { call, bytes in
                switch bytes[0] {
                case 1: call.finish()
                case 2: call.fail(.aborted, "no more")
                case 3:
                    call.send { $0.append(byte: 7) }
                    call.finish()
                    call.send { _ in Issue.record("sent after the end") }
                default: break
                }
            }, halfClosed: { $0.fail(.outOfRange, "half") })
        let test = try await TestServer.start { $0.add(service: "test.Test", method: "Script", kind: .bidirectional, handler) }
        let client = try await test.client()
        for (first, outcome) in [
            (1, Outcome(code: .ok, text: "")), (2, Outcome(code: .aborted, text: "no more")),
            (3, Outcome(messages: [[7]], code: .ok, text: "")),
        ] {
            let (call, tag) = await client.open("/test.Test/Script")
            await client.onLoop { connection in
                connection.send(call) { $0.append(byte: UInt8(first)) }
                // Comes after the end and must be dropped.
                connection.send(call) { $0.append(byte: 2) }
            }
            #expect(await client.outcome(tag) == outcome)
        }
        let (call, tag) = await client.open("/test.Test/Script")
        await client.onLoop { $0.halfClose(call) }
        #expect(await client.outcome(tag) == Outcome(code: .outOfRange, text: "half"))
        // Opened, and nothing sent: the deadline ends it.
        let (_, late) = await client.open("/test.Test/Script", timeoutNanoseconds: 10_000_000)
        #expect(await client.outcome(late).code == .deadlineExceeded)
        #expect(handler.log.withLock { $0.cancelled } == [.deadline])
        #expect(handler.log.withLock { $0.opened } == 5)
        await client.close()
        try await test.checkNothingLeft()
        #expect(Mark.count.load(ordering: .relaxed) == 0)
        await test.stop()
    }

    final class Mark {
        static let count = Atomic<Int>(0)
        init() { Self.count.add(1, ordering: .relaxed) }
        deinit { Self.count.subtract(1, ordering: .relaxed) }
    }

    @Test func sharedBytesAndSourcesArriveWhole() async throws {
        let large = SharedBytes(count: 300_000) { $0.copyBytes(from: CountingSource.expected(300_000)) }
        let small = SharedBytes(count: 3) { $0.copyBytes(from: [1, 2, 3]) }
        let handler = ScriptedStream(opened: { call in
            [9, 8].withUnsafeBytes { (head: UnsafeRawBufferPointer) in
                let head = UnsafeRawBufferPointer(rebasing: head[..<2])
                call.send(head: head, shared: small)
                call.send(head: head, shared: large)
            }
            call.send { $0.append(byte: 5) }
            call.send(length: 200_000, source: CountingSource(length: 200_000))
            call.send(length: 0, source: CountingSource(length: 0))
            call.send(head: UnsafeRawBufferPointer(start: nil, count: 0), shared: large)
            call.finish()
        })
        let test = try await TestServer.start { $0.add(service: "test.Test", method: "Mixed", kind: .bidirectional, handler) }
        let client = try await test.client()
        let (_, tag) = await client.open("/test.Test/Mixed")
        let messages = await client.outcome(tag).messages
        #expect(messages.map(\.count) == [5, 300_002, 1, 200_000, 0, 300_000])
        #expect(messages[1].dropFirst(2).elementsEqual(CountingSource.expected(300_000)))
        #expect(messages[3] == CountingSource.expected(200_000))
        await client.close()
        try await test.checkNothingLeft()
        await test.stop()
    }

    @Test func largeAnswersAreMadeWhileTheyAreSent() async throws {
        let length = 50_000_000
        let source = CountingSource(length: length)
        let test = try await TestServer.start {
            $0.add(service: "test.Test", method: "Large", kind: .unary, UnaryMethod { call, _ in call.reply(length: length, source: source) })
        }
        var configuration = ClientConfiguration()
        configuration.streamWindowBytes = 65_535
        configuration.connectionWindowBytes = 65_535
        let client = try await TestClient.connect(to: test.listener.address, configuration, keepsMessages: false)
        // While the client does not read, no more than windows and socket buffers is made.
        await client.onLoop { $0.setReading(false) }
        let (_, tag) = await client.begin("/test.Test/Large")
        try await test.until("the answer begins") { _ in source.position > 0 }
        for _ in 0..<20 { _ = await test.onLoop { $0.index } }
        #expect(await test.onLoop { _ in source.position } <= 65_535)
        await client.onLoop { $0.setReading(true) }
        #expect(await client.outcome(tag).code == .ok)
        #expect(client.receivedBytes(tag) == length)
        #expect(!source.wasCancelled.withLock { $0 })
        await client.close()
        try await test.checkNothingLeft()
        await test.stop()
    }

    /// Several large answers on one connection, with messages and small answers between their frames: what a source
    /// wrote ahead for the next frames must never be lost, doubled or sent with another call's.
    @Test(arguments: [65_535, 200_000, 4 << 20]) func largeAnswersTakeTurns(window: Int) async throws {
        let lengths = [900_000, 16_384, 400_001, 16_379, 100_000]
        let test = try await TestServer.start {
            $0.add(
                service: "test.Test", method: "Large", kind: .unary,
                UnaryMethod { call, bytes in
                    let length = lengths[Int(bytes[0])]
                    call.reply(length: length, source: CountingSource(length: length))
                })
            $0.add(
                service: "test.Test", method: "Parts", kind: .bidirectional,
                ScriptedStream(opened: { call in
                    for length in lengths {
                        call.send { $0.append(byte: 7) }
                        call.send(length: length, source: CountingSource(length: length))
                    }
                    call.finish()
                }))
        }
        var configuration = ClientConfiguration()
        configuration.streamWindowBytes = window
        configuration.connectionWindowBytes = window
        let client = try await TestClient.connect(to: test.listener.address, configuration)
        for round in 0..<2 {
            let (_, parts) = await client.open("/test.Test/Parts")
            var tags: [(Int, UInt64)] = []
            for index in 0..<lengths.count {
                let which = (index + round) % lengths.count
                tags.append((which, await client.begin("/test.Test/Large", [UInt8(which)]).1))
                #expect(await client.unary("/test.Test/Echo", [UInt8(index)]).messages == [[UInt8(index)]])
            }
            for (which, tag) in tags {
                let messages = await client.outcome(tag).messages
                #expect((messages == [CountingSource.expected(lengths[which])]) as Bool, "answer \(which)")
            }
            let messages = await client.outcome(parts).messages
            #expect((messages == lengths.flatMap { [[7], CountingSource.expected($0)] }) as Bool)
        }
        await client.close()
        try await test.checkNothingLeft()
        await test.stop()
    }

    @Test func sourcesMayStallFailAndBeCancelled() async throws {
        let stalling = CountingSource(length: 100_000, stallsAt: 40_000)
        let failing = CountingSource(length: 100_000, failsAt: 50_000)
        let endless = CountingSource(length: 500_000_000)
        let test = try await TestServer.start {
            $0.add(
                service: "test.Test", method: "Stall", kind: .unary,
                UnaryMethod { call, _ in
                    stalling.onStall = { call.loop.eventLoop.execute { call.resume() } }
                    call.reply(length: 100_000, source: stalling)
                })
            $0.add(service: "test.Test", method: "Failing", kind: .unary, UnaryMethod { call, _ in call.reply(length: 100_000, source: failing) })
            $0.add(service: "test.Test", method: "Endless", kind: .unary, UnaryMethod { call, _ in call.reply(length: 500_000_000, source: endless) })
        }
        let client = try await test.client()
        #expect(await client.unary("/test.Test/Stall").messages == [CountingSource.expected(100_000)])
        let failed = await client.unary("/test.Test/Failing")
        #expect(failed.code == .internal && failed.messages.isEmpty)
        #expect(failing.wasCancelled.withLock { $0 })
        let (call, tag) = await client.begin("/test.Test/Endless")
        try await test.until("the answer begins") { _ in endless.position > 0 }
        await client.onLoop { $0.cancel(call!) }
        #expect(await client.outcome(tag).code == .cancelled)
        try await test.until("the source is told") { _ in endless.wasCancelled.withLock { $0 } }
        #expect(await client.unary("/test.Test/Echo", [1]).messages == [[1]])
        await client.close()
        try await test.checkNothingLeft()
        await test.stop()
    }

    /// A producer that minds `queuedBytes` and goes on in `writable` sends everything, in constant memory.
    @Test func slowReadersHoldTheProducerBack() async throws {
        let total = 20_000
        let sent = Mutex(0)
        let peak = Mutex(0)
        let produce: @Sendable (Call) -> Void = { call in
            while call.queuedBytes < 128 << 10, call.isAlive {
                let number = sent.withLock { number -> Int in
                    number += 1
                    return number
                }
                if number > total { return call.finish() }
                call.send { $0.append(zeros: 1000) }
                peak.withLock { $0 = max($0, call.queuedBytes) }
            }
        }
        let handler = ScriptedStream(opened: produce, writable: produce)
        let test = try await TestServer.start { $0.add(service: "test.Test", method: "Produce", kind: .bidirectional, handler) }
        let client = try await TestClient.connect(to: test.listener.address, keepsMessages: false)
        await client.onLoop { $0.setReading(false) }
        let (_, tag) = await client.open("/test.Test/Produce")
        try await test.until("the producer is held back") { loop in
            loop.counters.queuedBytes.value > 0 && sent.withLock { $0 } > 100
        }
        for _ in 0..<20 { _ = await test.onLoop { $0.index } }
        #expect(sent.withLock { $0 } < total)
        await client.onLoop { $0.setReading(true) }
        #expect(await client.outcome(tag).code == .ok)
        #expect(client.receivedBytes(tag) == total * 1000)
        #expect(peak.withLock { $0 } < 140 << 10)
        #expect(handler.log.withLock { $0.writable } > 0)
        await client.close()
        try await test.checkNothingLeft()
        await test.stop()
    }

    /// A client that sends and never reads is held back by its stream's window: the echo's queue stays bounded.
    @Test func streamsThatDoNotReadAreNotReadFrom() async throws {
        let test = try await TestServer.start()
        let client = try await TestClient.connect(to: test.listener.address, keepsMessages: false)
        let (call, tag) = await client.open("/test.Test/EchoStream")
        await client.onLoop { $0.setGranting(false) }
        let messages = 40_000
        await client.onLoop { connection in for _ in 0..<messages { connection.send(call) { $0.append(zeros: 1000) } } }
        try await test.until("the queue is at its bound") { $0.counters.queuedBytes.value > TransportLimits.queuedHighBytes }
        for _ in 0..<50 { _ = await test.onLoop { $0.index } }
        let held = await test.onLoop { [$0.counters.queuedBytes.value, $0.counters.receivedPartialBytes.value] }
        #expect(held[0] < 3 << 20 && held[1] < 3 << 20, "\(held)")
        await client.onLoop {
            $0.setGranting(true)
            $0.halfClose(call)
        }
        #expect(await client.outcome(tag).code == .ok)
        #expect(client.receivedBytes(tag) == messages * 1000)
        await client.close()
        try await test.checkNothingLeft()
        await test.stop()
    }

    @Test func handlersCanPauseAStream() async throws {
        let paused = Mutex<Call?>(nil)
        let handler = ScriptedStream(
            message: { call, bytes in
                if bytes.count == 1, bytes[0] == 1 {
                    call.pauseReading()
                    paused.withLock { $0 = call }
                }
            }, halfClosed: { $0.finish() })
        let test = try await TestServer.start { $0.add(service: "test.Test", method: "Pause", kind: .bidirectional, handler) }
        let client = try await test.client()
        let (call, tag) = await client.open("/test.Test/Pause")
        await client.onLoop { connection in
            for number in 0..<5 { connection.send(call) { $0.append(byte: UInt8(number)) } }
            connection.halfClose(call)
        }
        try await test.until("the stream is paused") { _ in paused.withLock { $0 } != nil }
        #expect(await client.unary("/test.Test/Echo", [1]).code == .ok)
        #expect(handler.log.withLock { $0.messages } == [[0], [1]])
        #expect(handler.log.withLock { $0.halfClosed } == 0)
        await test.onLoop { _ in paused.withLock { $0! }.resumeReading() }
        #expect(await client.outcome(tag).code == .ok)
        #expect(handler.log.withLock { $0.messages } == [[0], [1], [2], [3], [4]])
        #expect(handler.log.withLock { $0.halfClosed } == 1)
        await client.close()
        try await test.checkNothingLeft()
        await test.stop()
    }

    @Test func thousandsOfStreamsAndACancelStorm() async throws {
        let handler = ScriptedStream(opened: { $0.send { $0.append(byte: 1) } })
        let test = try await TestServer.start { $0.add(service: "test.Test", method: "Open", kind: .bidirectional, handler) }
        let client = try await test.client()
        let count = 5000
        let method = client.method("/test.Test/Open")
        let calls = await client.onLoop { connection in
            (0..<count).map { connection.open(method, tag: UInt64($0) + 1_000_000)! }
        }
        try await test.until("all are open") { $0.calls.takenCount == count }
        await client.onLoop { connection in for call in calls { connection.cancel(call) } }
        try await test.until("all are cancelled") { $0.calls.takenCount == 0 }
        #expect(handler.log.withLock { $0.cancelled.count } == count)
        #expect(await client.unary("/test.Test/Echo", [1]).code == .ok)
        await client.close()
        try await test.checkNothingLeft()
        await test.stop()
    }

    @Test func aHundredConnections() async throws {
        var configuration = ServerConfiguration()
        configuration.loopCount = 2
        let test = try await TestServer.start(configuration)
        var clients: [TestClient] = []
        for _ in 0..<100 { clients.append(try await test.client()) }
        var streams: [(ClientCall, UInt64)] = []
        for client in clients { streams.append(await client.open("/test.Test/EchoStream")) }
        for (number, client) in clients.enumerated() {
            #expect(await client.unary("/test.Test/Echo", [UInt8(number)]).messages == [[UInt8(number)]])
            let call = streams[number].0
            await client.onLoop { connection in
                connection.send(call) { $0.append(byte: 1) }
                connection.halfClose(call)
            }
            #expect(await client.outcome(streams[number].1).messages == [[1]])
        }
        #expect(test.server.loops.allSatisfy { $0.counters.connectionsOpen.value == 50 })
        for client in clients { await client.close() }
        try await test.until("all are gone") { _ in test.server.loops.allSatisfy { $0.counters.connectionsOpen.value == 0 } }
        await test.stop()
    }
}
