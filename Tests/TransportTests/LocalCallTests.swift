// Calls from inside the process: the same handlers, the same life as calls from the network.

import Synchronization
import Testing
import Wire

@testable import Transport

/// Gathers what a local call answers. Confined to the loop.
private final class Gathering: LocalCallOutput, @unchecked Sendable {
    var messages: [[UInt8]] = []
    private var expected = 0
    var end: (status: StatusCode, text: String)?
    var resumed = 0
    var hasRoom = true

    func messageBegan(length: Int) {
        messages.append([])
        expected = length
    }
    func messageBytes(_ bytes: UnsafeRawBufferPointer) { messages[messages.count - 1] += bytes }
    func turnEnded() {}
    func callEnded(_ status: StatusCode, _ text: String) { end = (status, text) }
    func inputResumed() { resumed += 1 }
}

@Suite struct LocalCallTests {
    /// Runs on the loop of a server whose methods the call may use.
    private func with(
        _ adding: @escaping (inout MethodTable) -> Void = { _ in }, _ configuration: ServerConfiguration = ServerConfiguration(),
        _ body: (TestServer, LocalEndpoint) async throws -> Void
    ) async throws {
        var table = MethodTable()
        table.add(service: "t.T", method: "Echo", kind: .unary, EchoMethod())
        table.add(service: "t.T", method: "EchoStream", kind: .bidirectional, EchoStream())
        table.add(service: "t.T", method: "Fail", kind: .unary, FailMethod())
        adding(&table)
        let test = try await TestServer.start()
        try await body(test, LocalEndpoint(table, configuration))
        try await test.checkNothingLeft()
        await test.stop()
    }

    private func make(_ endpoint: LocalEndpoint, _ path: String, _ output: Gathering, _ loop: ServerLoop) -> LocalCall {
        LocalCall(
            endpoint, method: endpoint.method(path)!, loop: loop, metadata: [(.token, Array("t".utf8))], remoteAddress: "1.2.3.4:5", output: output)
    }

    @Test func unaryCallsAreAnswered() async throws {
        try await with { test, endpoint in
            let output = Gathering()
            await test.onLoop { loop in
                let call = self.make(endpoint, "/t.T/Echo", output, loop)
                call.start()
                [1, 2, 3].withUnsafeBytes { call.send($0) }
                #expect(output.end == nil, "answers come at the end of the batch")
            }
            await test.onLoop { _ in
                #expect(output.messages.count == 1 && output.messages[0].count == 24)
                #expect(output.end?.status == .ok)
            }
            let failing = Gathering()
            await test.onLoop { loop in
                let call = self.make(endpoint, "/t.T/Fail", failing, loop)
                call.start()
                Array("\u{5}gone".utf8).withUnsafeBytes { call.send($0) }
            }
            await test.onLoop { _ in
                #expect(failing.end?.status == .notFound && failing.end?.text == "gone" && failing.messages.isEmpty)
            }
            #expect(endpoint.method("/t.T/Nope") == nil)
            #expect(endpoint.unknownMethod("/t.T/Nope").message == "unknown method Nope for service t.T")
        }
    }

    @Test func streamsGoBothWays() async throws {
        try await with { test, endpoint in
            let output = Gathering()
            nonisolated(unsafe) var call: LocalCall?
            await test.onLoop { loop in
                call = self.make(endpoint, "/t.T/EchoStream", output, loop)
                call?.start()
            }
            for number in 0..<5 {
                await test.onLoop { _ in withUnsafeBytes(of: UInt8(number)) { call?.send($0) } }
            }
            await test.onLoop { _ in #expect(output.messages == (0..<5).map { [UInt8($0)] } && output.end == nil) }
            await test.onLoop { _ in call?.halfClose() }
            await test.onLoop { _ in
                #expect(output.end?.status == .ok)
                // Dead: nothing happens.
                call?.halfClose()
                call?.cancel()
            }
        }
    }

    @Test func handlersSeeTheCaller() async throws {
        let seen = Mutex<(String?, String, String?)>((nil, "", nil))
        try await with({ table in
            table.add(
                service: "t.T", method: "Look", kind: .unary,
                UnaryMethod { call, _ in
                    seen.withLock { $0 = (call.metadata(.token), call.remoteAddress, call.peerCommonName) }
                    #expect(call.metadata(.token, is: "t") && call.metadata(.authorization) == nil)
                    call.reply { _ in }
                })
        }) { test, endpoint in
            let output = Gathering()
            await test.onLoop { loop in
                let call = self.make(endpoint, "/t.T/Look", output, loop)
                call.start()
                call.send(UnsafeRawBufferPointer(start: nil, count: 0))
            }
            await test.onLoop { _ in #expect(output.end?.status == .ok) }
            let (token, address, name) = seen.withLock { $0 }
            #expect(token == "t" && address == "1.2.3.4:5" && name == nil)
        }
    }

    @Test func cancellationAndDeadlinesAreTold() async throws {
        let silent = SilentMethod()
        try await with({ $0.add(service: "t.T", method: "Silent", kind: .unary, silent) }) { test, endpoint in
            let outputs = [Gathering(), Gathering(), Gathering()]
            await test.onLoop { loop in
                let cancelled = self.make(endpoint, "/t.T/Silent", outputs[0], loop)
                cancelled.start()
                cancelled.send(UnsafeRawBufferPointer(start: nil, count: 0))
                cancelled.cancel()
                let late = self.make(endpoint, "/t.T/Silent", outputs[1], loop)
                late.start(timeout: 5_000_000)
                late.send(UnsafeRawBufferPointer(start: nil, count: 0))
                let dead = self.make(endpoint, "/t.T/Silent", outputs[2], loop)
                dead.start(timeout: 0)
                dead.send(UnsafeRawBufferPointer(start: nil, count: 0))
            }
            try await test.until("the deadline") { _ in outputs[1].end != nil }
            await test.onLoop { _ in
                #expect(outputs[0].end == nil, "who cancels is not told")
                #expect(outputs[1].end?.status == .deadlineExceeded && outputs[2].end?.status == .deadlineExceeded)
                #expect(outputs[2].end?.text == "context deadline exceeded")
            }
            let log = silent.log.withLock { $0 }
            #expect(log.received == 2 && log.cancelled == [.connectionLost, .deadline] && log.userDataSeen == 2)
            #expect(silent.liveObjects.load(ordering: .relaxed) == 0)
        }
    }

    /// A message of any size is pulled as the output takes it, and its handler can end the call before it is through.
    @Test func largeAnswersWaitForTheirReader() async throws {
        let length = 10 << 20
        let sources = Mutex<[CountingSource]>([])
        try await with({ table in
            table.add(
                service: "t.T", method: "Large", kind: .unary,
                UnaryMethod { call, _ in
                    let source = CountingSource(length: length)
                    sources.withLock { $0.append(source) }
                    call.reply(length: length, source: source)
                })
            table.add(
                service: "t.T", method: "Broken", kind: .unary,
                UnaryMethod { call, _ in call.reply(length: length, source: CountingSource(length: length, failsAt: 100_000)) })
        }) { test, endpoint in
            let output = Gathering()
            output.hasRoom = false
            nonisolated(unsafe) var call: LocalCall?
            await test.onLoop { loop in
                call = self.make(endpoint, "/t.T/Large", output, loop)
                call?.start()
                call?.send(UnsafeRawBufferPointer(start: nil, count: 0))
            }
            await test.onLoop { _ in
                #expect(sources.withLock { $0[0].position } == 0, "nothing is read ahead of the reader")
                output.hasRoom = true
                call?.resumeOutput()
            }
            try await test.until("the end") { _ in output.end != nil }
            await test.onLoop { _ in #expect(output.messages[0] == CountingSource.expected(length) && output.end?.status == .ok) }

            let gone = Gathering()
            gone.hasRoom = false
            await test.onLoop { loop in
                let call = self.make(endpoint, "/t.T/Large", gone, loop)
                call.start()
                call.send(UnsafeRawBufferPointer(start: nil, count: 0))
                call.cancel()
            }
            await test.onLoop { _ in #expect(sources.withLock { $0[1].wasCancelled.withLock { $0 } }) }

            let broken = Gathering()
            await test.onLoop { loop in
                let call = self.make(endpoint, "/t.T/Broken", broken, loop)
                call.start()
                call.send(UnsafeRawBufferPointer(start: nil, count: 0))
            }
            try await test.until("the failure") { _ in broken.end != nil }
            await test.onLoop { _ in #expect(broken.end?.status == .internal && broken.messages[0].count < length) }
        }
    }

    @Test func limitsHold() async throws {
        var configuration = ServerConfiguration()
        configuration.receiveMessageBytesMax = 10
        configuration.sendMessageBytesMax = 5
        try await with({ _ in }, configuration) { test, endpoint in
            let outputs = [Gathering(), Gathering()]
            await test.onLoop { loop in
                for (index, size) in [11, 6].enumerated() {
                    let call = self.make(endpoint, "/t.T/Echo", outputs[index], loop)
                    call.start()
                    [UInt8](repeating: 0, count: size).withUnsafeBytes { call.send($0) }
                }
            }
            await test.onLoop { _ in
                #expect(outputs[0].end?.text == "grpc: received message larger than max (11 vs. 10)")
                #expect(outputs[1].end?.text == "trying to send message larger than max (6 vs. 5)")
                #expect(outputs.allSatisfy { $0.end?.status == .resourceExhausted })
            }
        }
    }

    @Test func pausedStreamsBlockTheirCaller() async throws {
        let calls = Mutex<[Call]>([])
        let stream = ScriptedStream(message: { call, _ in
            calls.withLock { $0 = [call] }
            call.pauseReading()
        })
        try await with({ $0.add(service: "t.T", method: "Paused", kind: .bidirectional, stream) }) { test, endpoint in
            let output = Gathering()
            nonisolated(unsafe) var call: LocalCall?
            await test.onLoop { loop in
                call = self.make(endpoint, "/t.T/Paused", output, loop)
                call?.start()
                #expect(call?.isInputBlocked == false)
                withUnsafeBytes(of: UInt8(1)) { call?.send($0) }
                #expect(call?.isInputBlocked == true)
            }
            await test.onLoop { _ in
                #expect(output.resumed == 0)
                calls.withLock { $0[0] }.resumeReading()
            }
            await test.onLoop { _ in
                #expect(output.resumed == 1 && call?.isInputBlocked == false)
                call?.cancel()
            }
            #expect(stream.log.withLock { $0.cancelled } == [.connectionLost])
        }
    }
}
