// One request of the gateway: JSON in, a call, JSON out. Both directions are translated as they come and wait for who is slower.

import Transport
import Wire

#if canImport(Glibc)
import Glibc
#endif

/// Confined to its event loop. Kept by the responder's hooks and the body's stream until the exchange is over.
final class GatewayExchange: HTTPBodyReader, LocalCallOutput, @unchecked Sendable {
    private let gateway: Gateway
    private let responder: HTTPResponder
    private let body: HTTPBodyStream
    private var target: Gateway.Target?
    /// What the request is answered with when its body has come to its end.
    private var refusal: CallError?
    private var call: LocalCall?
    private var deadline: UInt64?
    /// Its place among the gateway's calls.
    private var place = Place.none
    private enum Place { case none, awaited, taken }

    // In: bytes not yet made into messages, of which so many were scanned.
    private let input = ByteSink(capacity: 512)
    private var scanned = 0
    private var scanner = JSONScanner()
    private var isInputOver = false
    private var isBodyOver = false
    private let message = ByteSink(capacity: 256)

    // Out
    private let output = ByteSink(capacity: 512)
    private var writer = ProtobufJSONWriter()
    private var hasAnswer = false
    private var isStarted = false
    private var isBroken = false
    private var isOver = false {
        didSet { if isOver, !oldValue { giveUpPlace() } }
    }
    private var isCounted = false

    init(_ gateway: Gateway, _ responder: HTTPResponder, _ body: HTTPBodyStream) {
        self.gateway = gateway
        self.responder = responder
        self.body = body
    }

    var loop: ServerLoop { responder.eventLoop }

    private var isStreamingAnswer: Bool { target?.route.kind != .unary }
    private var isStreamingRequest: Bool { target?.route.kind == .bidirectional }

    // MARK: Begin

    /// A refusal waits for the end of the body, where there is one, so that the connection can be used again.
    func refuse(_ error: CallError) {
        refusal = error
        if body.hasNoEnd { bodyEnded() }
    }

    func begin(_ target: Gateway.Target, _ request: HTTPRequest) throws(CallError) {
        self.target = target
        if let timeout = try GatewayHeaders.timeout(request.headers) { deadline = monotonicNow() &+ timeout }
        guard let method = target.method else { throw gateway.services.unknownMethod(target.methodPath) }
        let call = LocalCall(
            gateway.services, method: method, loop: responder.eventLoop, metadata: GatewayHeaders.metadata(request.headers),
            remoteAddress: request.remoteAddress, output: self)
        self.call = call
        // The responder lets go of these when the exchange is over, however it ends.
        responder.onPeerGone { self.peerIsGone() }
        responder.onWritable { self.call?.resumeOutput() }
        if isStreamingRequest {
            body.allowEndless()
            switch enter() {
            case .entered: start(call)
            case .waits: body.paused = true
            case .refused: throw CallError.tooManyRequests
            }
        }
    }

    // MARK: Its place

    private func enter() -> GatewayStreams.Entry {
        guard let streams = gateway.streams else { return .entered }
        let entry = streams.enter(self)
        switch entry {
        case .entered: place = .taken
        case .waits: place = .awaited
        case .refused: break
        }
        return entry
    }

    /// There is a place now. Whoever has gone meanwhile gives it on.
    func admitted() {
        place = .taken
        guard !isOver, let call else { return giveUpPlace() }
        start(call)
        if isStreamingRequest {
            body.paused = false
            takeMessages()
        } else {
            sendOnly(call)
        }
    }

    private func giveUpPlace() {
        guard place == .taken else { return }
        place = .none
        gateway.streams?.leave()
    }

    private func start(_ call: LocalCall) {
        guard let deadline else { return call.start() }
        let now = monotonicNow()
        call.start(timeout: deadline > now ? deadline - now : 0)
    }

    private func peerIsGone() {
        isOver = true
        note(0)
        call?.cancel()
        call = nil
    }

    // MARK: Request

    func bodyReceived(_ bytes: UnsafeRawBufferPointer) {
        guard !isOver, !isInputOver, refusal == nil else { return }
        input.append(bytes)
        if isStreamingRequest {
            takeMessages()
            guard input.count > gateway.bodyBytesMax else { return }
            isInputOver = true
            call?.cancel()
            call = nil
            callEnded(.resourceExhausted, "a message of the request is longer than \(gateway.bodyBytesMax) bytes")
        } else if input.count > gateway.bodyBytesMax {
            isInputOver = true
            isOver = true
            call = nil
            respond(.error(413, "http: request body too large"))
        } else {
            body.heldBytes = input.count
            if body.hasNoEnd { callOnce(isWhole: false) }
        }
    }

    func bodyEnded() {
        guard !isOver, !isBodyOver else { return }
        isBodyOver = true
        if let refusal {
            isOver = true
            return respond(GatewayError.response(refusal))
        }
        if isStreamingRequest {
            takeMessages()
        } else if !isInputOver {
            callOnce(isWhole: true)
        }
    }

    /// The one message of a unary or server-streaming call: the first value of the body. What follows it is not looked at.
    private func callOnce(isWhole: Bool) {
        guard let call, let target else { return }
        var outcome = scanner.scan(UnsafeRawBufferPointer(rebasing: input.bytes[scanned...]))
        var end = input.count
        if case .complete(let at) = outcome { end = scanned + at }
        scanned = input.count
        if case .unfinished = outcome {
            guard isWhole else { return }
            outcome = scanner.finish()
        }
        isInputOver = true
        do throws(JSONMessageError) {
            switch outcome {
            case .malformed(let text): throw JSONMessageError(text)
            // Nothing but white space: a message without fields.
            case .unfinished: break
            case .complete: try JSONProtobufReader.read(value(input.bytes, end: end), as: target.route.request, to: message)
            }
        } catch {
            isOver = true
            self.call = nil
            return respond(GatewayError.response(CallError(.invalidArgument, error.message)))
        }
        forgetInput()
        switch enter() {
        case .entered:
            start(call)
            sendOnly(call)
        case .waits: break
        case .refused:
            isOver = true
            self.call = nil
            respond(GatewayError.response(.tooManyRequests))
        }
    }

    /// The one message of a call that takes one.
    private func sendOnly(_ call: LocalCall) {
        call.send(message.bytes)
        message.clear(keeping: 4096)
    }

    /// A value without the space around it.
    private func value(_ bytes: UnsafeRawBufferPointer, from start: Int = 0, end: Int) -> UnsafeRawBufferPointer {
        func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 }
        var start = start
        while start < end, isSpace(bytes[start]) { start += 1 }
        var end = end
        while end > start, isSpace(bytes[end - 1]) { end -= 1 }
        return UnsafeRawBufferPointer(rebasing: bytes[start..<end])
    }

    private func forgetInput() {
        input.clear(keeping: 512)
        body.heldBytes = 0
    }

    /// Sends the messages that are complete. One that cannot be read ends the client's side of the stream, as in etcd's gateway.
    private func takeMessages() {
        guard place != .awaited, let call, let target else { return }
        var start = 0
        while !isInputOver, call.isAlive, !call.isInputBlocked, scanned < input.count {
            let rest = UnsafeRawBufferPointer(rebasing: input.bytes[scanned...])
            switch scanner.scan(rest) {
            case .unfinished: scanned = input.count
            case .malformed: isInputOver = true
            case .complete(let end):
                scanned += end
                send(value(input.bytes, from: start, end: scanned), target, call)
                start = scanned
            }
        }
        if isBodyOver, !isInputOver, scanned == input.count {
            if case .complete = scanner.finish() { send(value(input.bytes, from: start, end: scanned), target, call) }
            isInputOver = true
        }
        if isInputOver {
            forgetInput()
            scanned = 0
            return call.halfClose()
        }
        if start > 0 {
            input.removeFirst(start)
            scanned -= start
        }
        body.heldBytes = input.count
        body.paused = call.isInputBlocked
    }

    private func send(_ text: UnsafeRawBufferPointer, _ target: Gateway.Target, _ call: LocalCall) {
        message.clear(keeping: 4096)
        do {
            try JSONProtobufReader.read(text, as: target.route.request, to: message)
            call.send(message.bytes)
        } catch {
            isInputOver = true
        }
    }

    func inputResumed() {
        guard !isOver else { return }
        body.paused = false
        takeMessages()
    }

    // MARK: Answer

    var hasRoom: Bool { responder.queuedBytes + output.count < ServerLimits.gatewayOutputAheadBytes }

    func messageBegan(length: Int) {
        guard !isBroken, let target else { return }
        hasAnswer = true
        if isStreamingAnswer {
            startAnswer()
            output.append("{\"result\":" as StaticString)
        }
        writer.begin(target.route.response, length: length, escapesHTML: isStreamingAnswer, to: output)
        endMessageIfComplete()
    }

    func messageBytes(_ bytes: UnsafeRawBufferPointer) {
        guard !isBroken else { return }
        do {
            try writer.write(bytes, to: output)
        } catch {
            isBroken = true
            return
        }
        endMessageIfComplete()
        if !isStreamingAnswer, !isStarted, output.count > ServerLimits.gatewayAnswerInlineBytesMax { startAnswer() }
        if isStarted, output.count > ServerLimits.gatewayOutputPieceBytes { flush() }
    }

    private func endMessageIfComplete() {
        if writer.isFinished, isStreamingAnswer { output.append("}\n" as StaticString) }
    }

    private func startAnswer() {
        guard !isStarted else { return }
        isStarted = true
        note(200)
        responder.start(headers: Self.headers)
    }

    private func respond(_ response: HTTPResponse) {
        note(response.status)
        responder.respond(response)
    }

    /// Counts the request, once.
    private func note(_ status: Int) {
        guard !isCounted else { return }
        isCounted = true
        gateway.metrics.answered(target == nil ? .none : isStreamingAnswer ? .stream : .unary, status: status)
    }

    private static let headers: HTTPFields = ["Content-Type": "application/json", "Grpc-Metadata-Content-Type": "application/grpc"]

    private func flush() {
        guard isStarted, output.count > 0 else { return }
        responder.writeOnLoop(output.bytes)
        output.clear(keeping: 2 * ServerLimits.gatewayOutputPieceBytes)
    }

    func turnEnded() { flush() }

    func callEnded(_ status: StatusCode, _ text: String) {
        guard !isOver else { return }
        isOver = true
        call = nil
        guard !isBroken, writer.isFinished else { return breakOff() }
        if isStreamingAnswer { endStream(status, text) } else { endUnary(status, text) }
    }

    private func endUnary(_ status: StatusCode, _ text: String) {
        guard status == .ok else {
            return isStarted ? responder.abort() : respond(GatewayError.response(CallError(status, text)))
        }
        guard hasAnswer else { return respond(GatewayError.response(CallError(.internal, "the call ended without an answer"))) }
        guard isStarted else { return respond(HTTPResponse(headers: Self.headers, body: output.array())) }
        flush()
        responder.end()
    }

    private func endStream(_ status: StatusCode, _ text: String) {
        if !isStarted {
            isStarted = true
            // A stream that ends well without an answer has no content at all.
            let headers: HTTPFields = status == .ok ? [:] : ["Content-Type": "application/json"]
            note(GatewayError.httpStatus(status))
            responder.start(status: GatewayError.httpStatus(status), headers: headers)
        }
        if status != .ok {
            output.append("{\"error\":" as StaticString)
            GatewayError.append(status, text, escapesHTML: true, to: output)
            output.append("}\n" as StaticString)
        }
        flush()
        responder.end()
    }

    /// The answer stops inside a message, or cannot be said in JSON.
    private func breakOff() {
        if isStarted {
            responder.abort()
        } else {
            respond(GatewayError.response(CallError(.internal, "the answer cannot be translated to JSON")))
        }
    }
}
