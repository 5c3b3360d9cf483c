// Calls from a client to handlers and back.

import Synchronization
import Testing
import Wire

@testable import Transport

@Suite struct CallTests {
    @Test func unaryCallsAreAnswered() async throws {
        let test = try await TestServer.start()
        let client = try await test.client()
        for size in [0, 1, 5, 100, 16_383, 16_384, 16_385, 70_000, 1_572_864] {
            let request = CountingSource.expected(size)
            let outcome = await client.unary("/test.Test/Echo", request)
            #expect(outcome == Outcome(messages: [request], code: .ok, text: ""), "size \(size)")
        }
        await client.close()
        try await test.checkNothingLeft()
        await test.stop()
    }

    @Test func errorsCarryCodeAndText() async throws {
        let test = try await TestServer.start()
        let client = try await test.client()
        for code in StatusCode.allCases where code != .ok {
            let text = "etcdserver: 100 % \(code) ünïcode\n"
            let outcome = await client.unary("/test.Test/Fail", [UInt8(code.rawValue)] + Array(text.utf8))
            #expect(outcome == Outcome(code: code, text: text))
        }
        await test.stop()
    }

    @Test func unknownMethodsAreUnimplemented() async throws {
        let test = try await TestServer.start()
        let client = try await test.client()
        for (path, text) in [
            ("/test.Test/Nope", "unknown method Nope for service test.Test"),
            ("/other.Service/Echo", "unknown service other.Service"),
            ("/a/b/c", "unknown service a/b"),
            ("/nothing", "malformed method name: \"/nothing\""),
        ] {
            #expect(await client.unary(path) == Outcome(code: .unimplemented, text: text))
        }
        await test.stop()
    }

    @Test func messagesBeyondTheReceiveLimitAreRefused() async throws {
        var configuration = ServerConfiguration()
        configuration.receiveMessageBytesMax = 100_000
        let test = try await TestServer.start(configuration)
        let client = try await test.client()
        #expect(await client.unary("/test.Test/Echo", [UInt8](repeating: 1, count: 100_000)).code == .ok)
        let outcome = await client.unary("/test.Test/Echo", [UInt8](repeating: 1, count: 100_001))
        #expect(outcome == Outcome(code: .resourceExhausted, text: "grpc: received message larger than max (100001 vs. 100000)"))
        await client.close()
        try await test.checkNothingLeft()
        await test.stop()
    }

    @Test func messagesBeyondTheSendLimitAreRefused() async throws {
        var configuration = ServerConfiguration()
        configuration.sendMessageBytesMax = 1000
        let source = CountingSource(length: 1002)
        let test = try await TestServer.start(configuration) {
            $0.add(service: "test.Test", method: "Source", kind: .unary, UnaryMethod { call, _ in call.reply(length: 1002, source: source) })
        }
        let client = try await test.client()
        let outcome = await client.unary("/test.Test/Echo", [UInt8](repeating: 1, count: 1001))
        #expect(outcome == Outcome(code: .resourceExhausted, text: "trying to send message larger than max (1001 vs. 1000)"))
        #expect(await client.unary("/test.Test/Source").text == "trying to send message larger than max (1002 vs. 1000)")
        #expect(source.wasCancelled.withLock { $0 })
        await test.stop()
    }

    @Test func deadlinesEndCallsAndTellHandlers() async throws {
        let test = try await TestServer.start()
        let client = try await test.client()
        let outcome = await client.unary("/test.Test/Silent", timeoutNanoseconds: 20_000_000)
        #expect(outcome == Outcome(code: .deadlineExceeded, text: "context deadline exceeded"))
        #expect(test.silent.log.withLock { $0.cancelled } == [.deadline])
        #expect(test.silent.log.withLock { $0.userDataSeen } == 1)
        // One that is answered in time leaves nothing in the heap.
        #expect(await client.unary("/test.Test/Echo", [1], timeoutNanoseconds: 60_000_000_000).code == .ok)
        #expect(await test.onLoop { $0.deadlineCount } == 0)
        // No time at all.
        #expect(await client.unary("/test.Test/Silent", timeoutNanoseconds: 0).code == .deadlineExceeded)
        await client.close()
        try await test.checkNothingLeft()
        #expect(test.silent.liveObjects.load(ordering: .relaxed) == 0)
        await test.stop()
    }

    @Test func manyDeadlinesFireInAnyOrder() async throws {
        let test = try await TestServer.start()
        let client = try await test.client()
        var generator = SeededGenerator(seed: 7)
        var tags: [UInt64] = []
        for _ in 0..<300 {
            let timeout = UInt64.random(in: 1_000_000...40_000_000, using: &generator)
            tags.append(await client.begin("/test.Test/Silent", timeoutNanoseconds: timeout).tag)
        }
        for tag in tags { #expect(await client.outcome(tag).code == .deadlineExceeded) }
        await client.close()
        try await test.checkNothingLeft()
        await test.stop()
    }

    @Test func cancelledCallsAreTold() async throws {
        let test = try await TestServer.start()
        let client = try await test.client()
        let (call, tag) = await client.begin("/test.Test/Silent")
        try await test.until("the request arrives") { _ in test.silent.log.withLock { $0.received } == 1 }
        await client.onLoop { $0.cancel(call!) }
        #expect(await client.outcome(tag).code == .cancelled)
        try await test.until("the handler is told") { _ in test.silent.log.withLock { $0.cancelled } == [.reset(8)] }
        await client.close()
        try await test.checkNothingLeft()
        #expect(test.silent.liveObjects.load(ordering: .relaxed) == 0)
        await test.stop()
    }

    @Test func lostConnectionsCancelTheirCalls() async throws {
        let test = try await TestServer.start()
        let client = try await test.client()
        for _ in 0..<10 { _ = await client.begin("/test.Test/Silent") }
        try await test.until("the requests arrive") { _ in test.silent.log.withLock { $0.received } == 10 }
        await client.close()
        try await test.checkNothingLeft()
        #expect(test.silent.log.withLock { $0.cancelled } == Array(repeating: .connectionLost, count: 10))
        #expect(test.silent.liveObjects.load(ordering: .relaxed) == 0)
        await test.stop()
    }

    @Test func staleHandlesAreHarmless() async throws {
        let test = try await TestServer.start()
        let client = try await test.client()
        let (call, _) = await client.begin("/test.Test/Silent")
        try await test.until("the request arrives") { _ in test.silent.log.withLock { $0.received } == 1 }
        await client.onLoop { $0.cancel(call!) }
        try await test.until("the call is gone") { $0.calls.takenCount == 0 }
        let source = CountingSource(length: 10)
        await test.onLoop { _ in
            let stale = test.silent.log.withLock { $0.calls[0] }
            #expect(!stale.isAlive)
            stale.reply { _ in Issue.record("a stale handle wrote a message") }
            stale.send { _ in Issue.record("a stale handle wrote a message") }
            stale.reply(length: 10, source: source)
            stale.fail(.internal, "late")
            stale.finish()
            stale.resume()
            stale.pauseReading()
            stale.resumeReading()
            stale.userData = source
            #expect(stale.userData == nil)
            #expect(stale.metadata(.token) == nil)
            #expect(stale.queuedBytes == 0)
        }
        #expect(source.wasCancelled.withLock { $0 })
        // The slot serves the next call as if nothing had been.
        #expect(await client.unary("/test.Test/Echo", [9]).messages == [[9]])
        await test.stop()
    }

    @Test func answersMayComeLaterFromAnotherThread() async throws {
        let test = try await TestServer.start()
        let client = try await test.client()
        var tags: [UInt64] = []
        for _ in 0..<50 { tags.append(await client.begin("/test.Test/Silent").tag) }
        try await test.until("the requests arrive") { _ in test.silent.log.withLock { $0.received } == 50 }
        let calls = test.silent.log.withLock { $0.calls }
        test.loop.execute {
            for (number, call) in calls.enumerated() { call.reply { $0.append(byte: UInt8(number)) } }
        }
        for (number, tag) in tags.enumerated() {
            #expect(await client.outcome(tag) == Outcome(messages: [[UInt8(number)]], code: .ok, text: ""))
        }
        #expect(test.silent.log.withLock { $0.cancelled.isEmpty })
        await client.close()
        try await test.checkNothingLeft()
        await test.stop()
    }

    @Test func outputOutsideABatchIsSentToo() async throws {
        let test = try await TestServer.start()
        let client = try await test.client()
        let (_, tag) = await client.begin("/test.Test/Silent")
        try await test.until("the request arrives") { _ in test.silent.log.withLock { $0.received } == 1 }
        let call = test.silent.log.withLock { $0.calls[0] }
        test.loop.eventLoop.execute { call.reply { $0.append(byte: 3) } }
        #expect(await client.outcome(tag).messages == [[3]])
        await test.stop()
    }

    @Test func metadataIsKept() async throws {
        var configuration = ServerConfiguration()
        configuration.metadataNames = ["x-first", "x-second"]
        let test = try await TestServer.start(configuration) {
            $0.add(
                service: "test.Test", method: "Metadata", kind: .unary,
                UnaryMethod { call, _ in
                    let names: [MetadataName] = [
                        .hasLeader, .token, .authorization, .clientAPIVersion, .userAgent, .traceparent, .gatewayAccept,
                        .registered(0), .registered(1),
                    ]
                    #expect(call.metadata(.hasLeader, is: "true"))
                    #expect(!call.metadata(.hasLeader, is: "tru"))
                    #expect(!call.metadata(.gatewayAccept, is: ""))
                    #expect(call.remoteAddress.hasPrefix("127.0.0.1:"))
                    call.reply { $0.append(names.map { call.metadata($0) ?? "-" }.joined(separator: "|")) }
                })
        }
        let client = try await test.client()
        for _ in 0..<3 {
            let outcome = await client.unary(
                "/test.Test/Metadata",
                metadata: [
                    ("hasleader", "true"), ("token", "abc.12"), ("token", "second"), ("client-api-version", "3.6"),
                    ("traceparent", "00-1"), ("x-second", "two"), ("x-other", "no"), ("authorization", "Bearer x"),
                ])
            #expect(
                outcome.messages.first.map { String(decoding: $0, as: UTF8.self) }
                    == "true|abc.12|Bearer x|3.6|martlet|00-1|-|-|two")
        }
        await test.stop()
    }

    @Test func observersAndCountersSeeEverything() async throws {
        final class Counting: TransportObserver {
            let events = Mutex<[String]>([])
            func callStarted(method: Int, _ call: Call) { events.withLock { $0.append("start \(method)") } }
            func callFinished(method: Int, _ call: Call, code: StatusCode) { events.withLock { $0.append("finish \(method) \(code.name)") } }
            func messageReceived(method: Int, bytes: Int, _ origin: CallOrigin) { events.withLock { $0.append("in \(bytes)") } }
            func messageSent(method: Int, bytes: Int, _ origin: CallOrigin) { events.withLock { $0.append("out \(bytes)") } }
        }
        let observer = Counting()
        let test = try await TestServer.start(observer: observer)
        let client = try await test.client()
        _ = await client.unary("/test.Test/Echo", [1, 2, 3])
        _ = await client.unary("/test.Test/Fail", [5, 65])
        _ = await client.unary("/test.Test/Nope", [5, 65])
        #expect(observer.events.withLock { $0 } == ["start 0", "in 3", "out 3", "finish 0 OK", "start 2", "in 2", "finish 2 NotFound"])
        let counters = test.loop.counters
        #expect(counters.callsStarted.value == 2)
        #expect(counters.callsOpen.value == 0)
        #expect(counters.messagesReceived.value == 2)
        #expect(counters.messagesSent.value == 1)
        #expect(counters.connectionsOpen.value == 1)
        await test.stop()
    }

    @Test func healthServiceAnswers() async throws {
        let test = try await TestServer.start()
        let client = try await test.client()
        #expect(await client.unary("/grpc.health.v1.Health/Check").messages == [[8, 1]])
        #expect(
            await client.unary("/grpc.health.v1.Health/Check", [10, 1, 120]) == Outcome(code: .notFound, text: "unknown service"))
        let (_, watch) = await client.begin("/grpc.health.v1.Health/Watch")
        let (unknown, unknownTag) = await client.begin("/grpc.health.v1.Health/Watch", [10, 1, 120])
        try await client.until("both watches answer") { client.messages(watch) == [[8, 1]] && client.messages(unknownTag) == [[8, 3]] }
        test.health.set(.notServing)
        test.health.set(.serving, service: "x")
        try await client.until("the changes are told") {
            client.messages(watch) == [[8, 1], [8, 2]] && client.messages(unknownTag) == [[8, 3], [8, 1]]
        }
        #expect(await client.unary("/grpc.health.v1.Health/Check").messages == [[8, 2]])
        await client.onLoop { $0.cancel(unknown!) }
        #expect(await client.unary("/grpc.health.v1.Health/Check", [255]).code == .internal)
        await client.close()
        try await test.checkNothingLeft()
        await test.stop()
    }
}
