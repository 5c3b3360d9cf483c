// Calls of a client connection: starting, sending, receiving, ending.

import CNGHTTP2
import Wire

#if canImport(Glibc)
import Glibc
#endif

/// State of one call.
struct ClientSlot {
    var isTaken = false
    var generation: UInt32 = 0
    var streamID: Int32 = 0
    var tag: UInt64 = 0
    var isHalfClosed = false
    var isDeferred = false
    var inArena = false
    var owesWritable = false
    var isEnded = false
    /// What arrives is no longer granted to the server.
    var isHeld = false
    var heldBytes = 0
    var input = InputBuffer()
    var output = OutputQueue()
    var status: Int32 = -1
    var httpStatus: Int32 = 0
    var statusText: OpaquePointer?
    var failure: CallError?

    mutating func leaveArena(_ base: UnsafeMutableRawPointer) {
        guard inArena else { return }
        inArena = false
        output.leaveArena(base)
    }
}

extension ClientConnection {
    // MARK: Starting

    /// A call with one request message. Nil when the connection takes no more calls.
    @discardableResult
    public func call(
        _ method: ClientMethod, tag: UInt64 = 0, timeoutNanoseconds: UInt64? = nil, metadata: [(String, String)] = [],
        _ write: (ByteSink) -> Void
    ) -> ClientCall? {
        guard let call = start(method, tag, timeoutNanoseconds, metadata) else { return nil }
        send(call, write)
        halfClose(call)
        return call
    }

    /// A call whose messages follow.
    @discardableResult
    public func open(
        _ method: ClientMethod, tag: UInt64 = 0, timeoutNanoseconds: UInt64? = nil, metadata: [(String, String)] = []
    ) -> ClientCall? {
        start(method, tag, timeoutNanoseconds, metadata)
    }

    private func start(
        _ method: ClientMethod, _ tag: UInt64, _ timeout: UInt64?, _ metadata: [(String, String)]
    ) -> ClientCall? {
        guard session != nil, context != nil, !isGoingAway else { return nil }
        if method !== lastMethod {
            lastMethod = method
            methods[ObjectIdentifier(method)] = method
        }
        if free.isEmpty {
            slots.append(ClientSlot())
            free.append(UInt32(slots.count - 1))
        }
        let index = free.removeLast()
        var provider = nghttp2_data_provider(
            source: nghttp2_data_source(ptr: UnsafeMutableRawPointer(bitPattern: UInt(index) + 1)),
            read_callback: NGHTTP2Client.provider)
        let user = UnsafeMutableRawPointer(bitPattern: UInt(index) + 1)
        var stream: Int32 = -1
        if timeout == nil, metadata.isEmpty {
            stream = nghttp2_submit_request(session, nil, method.fields.baseAddress, method.fields.count, &provider, user)
        } else {
            var extra = metadata
            if let timeout { extra.append(("grpc-timeout", GRPCTimeout.format(nanoseconds: timeout))) }
            HeaderFields.with(extra) { fields, count in
                let all = Array(method.fields) + Array(UnsafeBufferPointer(start: fields, count: count))
                stream = nghttp2_submit_request(session, nil, all, all.count, &provider, user)
            }
        }
        guard stream > 0 else {
            free.append(index)
            return nil
        }
        slots[Int(index)].isTaken = true
        slots[Int(index)].streamID = stream
        slots[Int(index)].tag = tag
        openCalls += 1
        noteOutput()
        return ClientCall(index: index, generation: slots[Int(index)].generation)
    }

    func isAlive(_ call: ClientCall) -> Bool {
        Int(call.index) < slots.count && slots[Int(call.index)].isTaken && slots[Int(call.index)].generation == call.generation
    }

    // MARK: Sending

    /// Queues one message.
    public func send(_ call: ClientCall, _ write: (ByteSink) -> Void) {
        guard isAlive(call), !slots[Int(call.index)].isHalfClosed else { return }
        let start = arena.count
        arena.append(zeros: 5)
        write(arena)
        let length = UInt32(arena.count - start - 5)
        (arena.base + start).storeBytes(of: length.bigEndian, toByteOffset: 1, as: UInt32.self)
        queue(call, start)
    }

    /// Queues bytes as they are, without a message header; for tests of broken framing.
    public func sendRaw(_ call: ClientCall, _ bytes: [UInt8]) {
        guard isAlive(call), !slots[Int(call.index)].isHalfClosed else { return }
        let start = arena.count
        arena.append(bytes)
        queue(call, start)
    }

    private func queue(_ call: ClientCall, _ start: Int) {
        let index = Int(call.index)
        slots[index].output.appendArena(start..<arena.count)
        if !slots[index].inArena {
            slots[index].inArena = true
            arenaCalls.append(call.index)
        }
        if slots[index].output.heldBytes >= TransportLimits.queuedLowBytes { slots[index].owesWritable = true }
        resume(index)
    }

    public func halfClose(_ call: ClientCall) {
        guard isAlive(call) else { return }
        slots[Int(call.index)].isHalfClosed = true
        resume(Int(call.index))
    }

    public func cancel(_ call: ClientCall) {
        guard isAlive(call) else { return }
        if slots[Int(call.index)].failure == nil { slots[Int(call.index)].failure = CallError(.cancelled, "context canceled") }
        nghttp2_submit_rst_stream(
            session, UInt8(NGHTTP2_FLAG_NONE.rawValue), slots[Int(call.index)].streamID, NGHTTP2_CANCEL.rawValue)
        noteOutput()
    }

    /// Stops granting the server a window for this call: at most one window of bytes arrives after it.
    public func hold(_ call: ClientCall) {
        guard isAlive(call) else { return }
        slots[Int(call.index)].isHeld = true
    }

    /// Goes on granting what `hold` kept back.
    public func release(_ call: ClientCall) {
        guard isAlive(call), slots[Int(call.index)].isHeld else { return }
        let index = Int(call.index)
        slots[index].isHeld = false
        let count = slots[index].heldBytes
        slots[index].heldBytes = 0
        if count > 0 { nghttp2_session_consume_stream(session, slots[index].streamID, count) }
        noteOutput()
    }

    public func queuedBytes(_ call: ClientCall) -> Int { isAlive(call) ? slots[Int(call.index)].output.heldBytes : 0 }

    private func resume(_ index: Int) {
        if slots[index].isDeferred {
            slots[index].isDeferred = false
            nghttp2_session_resume_data(session, slots[index].streamID)
        }
        noteOutput()
    }

    func onRead(_ index: UInt32, _ length: Int, _ flags: UnsafeMutablePointer<UInt32>) -> Int {
        let slot = Int(index)
        let (count, _, _) = slots[slot].output.pull(
            into: output.end + 9, length: min(length, output.room - 9), arena: arena.base)
        if slots[slot].owesWritable, slots[slot].output.heldBytes < TransportLimits.queuedLowBytes {
            slots[slot].owesWritable = false
            writableCalls.append(ClientCall(index: index, generation: slots[slot].generation))
        }
        let isEnd = slots[slot].isHalfClosed && slots[slot].output.isEmpty
        if count == 0, !isEnd {
            slots[slot].isDeferred = true
            return Int(NGHTTP2_ERR_DEFERRED.rawValue)
        }
        flags.pointee = NGHTTP2_DATA_FLAG_NO_COPY.rawValue | (isEnd ? NGHTTP2_DATA_FLAG_EOF.rawValue : 0)
        return count
    }

    func onSendData(_ header: UnsafePointer<UInt8>, _ length: Int) -> Int32 {
        memcpy(output.end, header, 9)
        output.advance(9 + length)
        return output.isFull ? NGHTTP2_ERR_PAUSE.rawValue : 0
    }

    // MARK: Receiving

    @inline(__always)
    private func find(_ stream: Int32) -> Int? {
        let user = UInt(bitPattern: nghttp2_session_get_stream_user_data(session, stream))
        return user == 0 ? nil : Int(user - 1)
    }

    func onHeader(_ stream: Int32, _ name: OpaquePointer, _ value: OpaquePointer) {
        guard let index = find(stream) else { return }
        let name = headerBytes(name)
        let bytes = headerBytes(value)
        func matches(_ text: StaticString) -> Bool {
            memcmp(name.baseAddress.unsafelyUnwrapped, text.utf8Start, name.count) == 0
        }
        func number() -> Int32 {
            var result: Int32 = 0
            for byte in bytes.prefix(4) where byte >= 0x30 && byte <= 0x39 { result = result * 10 + Int32(byte - 0x30) }
            return result
        }
        switch name.count {
        case 7 where matches(":status"): slots[index].httpStatus = number()
        case 11 where matches("grpc-status"): slots[index].status = number()
        case 12 where matches("grpc-message"):
            guard bytes.count > 0, slots[index].statusText == nil else { return }
            nghttp2_rcbuf_incref(value)
            slots[index].statusText = value
        default: break
        }
    }

    func onData(_ stream: Int32, _ bytes: UnsafeRawBufferPointer) {
        if let index = find(stream), slots[index].isTaken, slots[index].isHeld {
            nghttp2_session_consume_connection(session, bytes.count)
            slots[index].heldBytes += bytes.count
        } else if isGranting {
            nghttp2_session_consume(session, stream, bytes.count)
        } else {
            ungranted[stream, default: 0] += bytes.count
        }
        guard let index = find(stream), slots[index].isTaken, slots[index].failure == nil else { return }
        if slots[index].input.count == 0 {
            let used = takeMessages(index, bytes)
            if used < bytes.count { keep(index, UnsafeRawBufferPointer(rebasing: bytes[used...])) }
        } else {
            keep(index, bytes)
            let used = takeMessages(index, slots[index].input.bytes)
            if used > 0 { slots[index].input.removeFirst(used) }
        }
    }

    private func keep(_ index: Int, _ bytes: UnsafeRawBufferPointer) {
        let start = slots[index].input.count == 0 ? bytes : slots[index].input.bytes
        let expected = start.count < 5 ? 0 : 5 + Int(UInt32(bigEndian: start.loadUnaligned(fromByteOffset: 1, as: UInt32.self)))
        slots[index].input.append(bytes, expected: expected)
    }

    private func takeMessages(_ index: Int, _ bytes: UnsafeRawBufferPointer) -> Int {
        var offset = 0
        let call = ClientCall(index: UInt32(index), generation: slots[index].generation)
        while bytes.count - offset >= 5 {
            let length = Int(UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: offset + 1, as: UInt32.self)))
            guard length <= configuration.receiveMessageBytesMax, bytes[offset] == 0 else {
                slots[index].failure =
                    bytes[offset] == 0
                    ? CallError(
                        .resourceExhausted,
                        "grpc: received message larger than max (\(length) vs. \(configuration.receiveMessageBytesMax))")
                    : CallError(.internal, "grpc: compressed flag set with identity or empty encoding")
                nghttp2_submit_rst_stream(
                    session, UInt8(NGHTTP2_FLAG_NONE.rawValue), slots[index].streamID, NGHTTP2_CANCEL.rawValue)
                break
            }
            guard bytes.count - offset - 5 >= length else { break }
            let start = offset + 5
            offset = start + length
            observer?.received(call, tag: slots[index].tag, UnsafeRawBufferPointer(rebasing: bytes[start..<offset]))
        }
        return offset
    }

    /// How a call ends that the server says it has not looked at: it may be made again, whatever it does.
    public static let refusedMessage = "the stream was refused"

    func onSettings() {
        guard !hasSettings else { return }
        hasSettings = true
        observer?.ready()
    }

    func onGoaway(_ error: UInt32) {
        isGoingAway = true
        goawayError = error
        observer?.goingAway()
    }

    // MARK: Ending

    func onStreamClosed(_ stream: Int32, _ error: UInt32) {
        guard let index = find(stream) else { return }
        if isSending { endedWhileSending.append((UInt32(index), error)) } else { end(UInt32(index), error) }
    }

    /// `error` is the HTTP/2 error code, nil when the connection is gone.
    func end(_ index: UInt32, _ error: UInt32?) {
        let position = Int(index)
        guard slots[position].isTaken else { return }
        let tag = slots[position].tag
        let call = ClientCall(index: index, generation: slots[position].generation)
        let result = outcome(position, error)
        slots[position].input.release()
        slots[position].output.removeAll()
        if let text = slots[position].statusText { nghttp2_rcbuf_decref(text) }
        slots[position].statusText = nil
        slots[position].failure = nil
        slots[position].status = -1
        slots[position].httpStatus = 0
        slots[position].isHalfClosed = false
        slots[position].isDeferred = false
        slots[position].owesWritable = false
        slots[position].inArena = false
        slots[position].isHeld = false
        slots[position].heldBytes = 0
        slots[position].isTaken = false
        slots[position].generation &+= 1
        free.append(index)
        openCalls -= 1
        observer?.finished(call, tag: tag, status: result.code, message: result.message)
    }

    private func outcome(_ position: Int, _ error: UInt32?) -> CallError {
        if slots[position].status >= 0 {
            let code = StatusCode(rawValue: Int(slots[position].status)) ?? .unknown
            return CallError(code, slots[position].statusText.map { PercentEncoding.decode(headerBytes($0)) } ?? "")
        }
        if let failure = slots[position].failure { return failure }
        guard let error else { return CallError(.unavailable, closeReason) }
        switch nghttp2_error_code(error) {
        case NGHTTP2_REFUSED_STREAM: return CallError(.unavailable, Self.refusedMessage)
        case NGHTTP2_CANCEL: return CallError(.cancelled, "the stream was reset: CANCEL")
        case NGHTTP2_ENHANCE_YOUR_CALM: return CallError(.resourceExhausted, "the stream was reset: ENHANCE_YOUR_CALM")
        case NGHTTP2_NO_ERROR where slots[position].httpStatus != 200:
            return CallError(.unknown, "unexpected HTTP status code received from server: \(slots[position].httpStatus)")
        default: return CallError(.internal, "the stream was reset with HTTP/2 error \(error)")
        }
    }
}
