// Frames as they come: messages out of DATA, ends of streams, pings.

import CNGHTTP2
import Wire

extension ServerConnection {
    private static let frameHeaderBytes = 5

    func onFrame(_ frame: UnsafePointer<nghttp2_frame>) {
        let header = frame.pointee.hd
        switch nghttp2_frame_type(UInt32(header.type)) {
        case NGHTTP2_HEADERS:
            if frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST {
                guard currentHead != CallTable.none else { return }
                let index = currentHead
                let slot = loop.calls[index]
                headComplete(index, slot)
            }
            if header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0 { remoteEnded(header.stream_id) }
        case NGHTTP2_DATA:
            if header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0 { remoteEnded(header.stream_id) }
        case NGHTTP2_PING:
            if header.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) != 0 {
                sendFinalGoaway()
            } else if !pings.pinged(now: loop.now, openCalls: openCalls) {
                calmDown("too_many_pings")
            }
        case NGHTTP2_SETTINGS where header.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) == 0:
            let entries = UnsafeBufferPointer(start: frame.pointee.settings.iv, count: frame.pointee.settings.niv)
            let changes = entries.count { $0.settings_id == Int32(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE.rawValue) }
            if !settings.windowChanged(times: changes, streams: openCalls, now: loop.now) {
                calmDown("too_many_settings")
                stopsParsing = true
            }
        default: break
        }
    }

    /// The peer asks for more than it may: it is told so, and the connection ends.
    private func calmDown(_ text: StaticString) {
        guard closing == .no || closing == .draining else { return }
        loop.counters.connectionsRejected.add(1)
        nghttp2_submit_goaway(
            session, UInt8(NGHTTP2_FLAG_NONE.rawValue), nghttp2_session_get_last_proc_stream_id(session),
            NGHTTP2_ENHANCE_YOUR_CALM.rawValue, text.utf8Start, text.utf8CodeUnitCount)
        closeWhenFlushed()
    }

    @inline(__always)
    private func findCall(_ stream: Int32) -> UInt32? {
        let user = UInt(bitPattern: nghttp2_session_get_stream_user_data(session, stream))
        return user == 0 ? nil : UInt32(user - 1)
    }

    // MARK: Data

    func onData(_ stream: Int32, _ bytes: UnsafeRawBufferPointer) {
        guard let index = findCall(stream) else {
            nghttp2_session_consume(session, stream, bytes.count)
            return
        }
        let slot = loop.calls[index]
        let flags = slot.pointee.flags
        guard flags.contains(.alive) else {
            // Finished or refused: what still comes is not wanted, but must not use up the connection's window.
            nghttp2_session_consume(session, stream, bytes.count)
            return
        }
        if flags.contains(.http) {
            if flags.contains(.paused) {
                nghttp2_session_consume_connection(session, bytes.count)
                slot.pointee.unconsumed += bytes.count
            } else {
                nghttp2_session_consume(session, stream, bytes.count)
            }
            httpBody(index, slot, bytes)
            return
        }
        if isInputBlocked(slot) {
            nghttp2_session_consume_connection(session, bytes.count)
            slot.pointee.unconsumed += bytes.count
            keepInput(index, slot, bytes)
            return
        }
        nghttp2_session_consume(session, stream, bytes.count)
        if slot.pointee.input.count == 0, !flags.contains(.hasRequest) {
            let used = takeMessages(index, slot, bytes, borrowed: true)
            if used < bytes.count, slot.pointee.flags.contains(.alive) {
                keepInput(index, slot, UnsafeRawBufferPointer(rebasing: bytes[used...]))
            }
        } else {
            keepInput(index, slot, bytes)
            takeKeptMessages(index, slot)
        }
    }

    /// A stream whose handler paused it, or that has much unsent output, waits with its input.
    @inline(__always)
    private func isInputBlocked(_ slot: UnsafeMutablePointer<CallSlot>) -> Bool {
        slot.pointee.flags.contains(.paused) || slot.pointee.output.heldBytes > TransportLimits.queuedHighBytes
    }

    private func isStream(_ slot: UnsafeMutablePointer<CallSlot>) -> Bool {
        endpoint.kinds[Int(slot.pointee.method)] == .bidirectional
    }

    private func keepInput(_ index: UInt32, _ slot: UnsafeMutablePointer<CallSlot>, _ bytes: UnsafeRawBufferPointer) {
        let before = slot.pointee.input.capacity
        slot.pointee.input.append(bytes, expected: expectedInput(slot, bytes))
        accountInput(slot.pointee.input.capacity - before)
        if partialBytes > TransportLimits.receivedPartialBytesMax {
            loop.counters.connectionsRejected.add(1)
            end(
                index, slot, .resourceExhausted, "grpc: too many bytes of unfinished messages on this connection",
                telling: .failed(.resourceExhausted))
        }
    }

    /// Length of the message at the start of the input, its frame header included, if that can be seen already.
    private func expectedInput(_ slot: UnsafeMutablePointer<CallSlot>, _ bytes: UnsafeRawBufferPointer) -> Int {
        let start = slot.pointee.input.count == 0 ? bytes : slot.pointee.input.bytes
        guard start.count >= Self.frameHeaderBytes else { return 0 }
        return Self.frameHeaderBytes + Int(UInt32(bigEndian: start.loadUnaligned(fromByteOffset: 1, as: UInt32.self)))
    }

    @inline(__always)
    func accountInput(_ change: Int) {
        guard change != 0 else { return }
        partialBytes += change
        loop.counters.receivedPartialBytes.add(change)
    }

    private func takeKeptMessages(_ index: UInt32, _ slot: UnsafeMutablePointer<CallSlot>) {
        guard slot.pointee.flags.contains(.alive), slot.pointee.input.count > 0 else { return }
        let used = takeMessages(index, slot, slot.pointee.input.bytes, borrowed: false)
        // The message of a unary call stays where it is until the client has ended its side.
        guard used > 0, slot.pointee.flags.contains(.alive), !slot.pointee.flags.contains(.hasRequest) else { return }
        let before = slot.pointee.input.capacity
        slot.pointee.input.removeFirst(used)
        accountInput(slot.pointee.input.capacity - before)
    }

    /// Takes the complete messages at the start of `bytes`; returns how many bytes they were.
    private func takeMessages(
        _ index: UInt32, _ slot: UnsafeMutablePointer<CallSlot>, _ bytes: UnsafeRawBufferPointer, borrowed: Bool
    ) -> Int {
        let method = Int(slot.pointee.method)
        let isStream = isStream(slot)
        let call = Call(loop, index, slot.pointee.generation)
        let limit = endpoint.configuration.receiveMessageBytesMax
        var offset = 0
        if slot.pointee.flags.contains(.hasRequest) {
            // One message is all that a unary call may bring; its bytes are followed by more.
            failCardinality(index, slot)
            return 0
        }
        slot.pointee.flags.insert(.delivering)
        defer { slot.pointee.flags.remove(.delivering) }
        while bytes.count - offset >= Self.frameHeaderBytes {
            let format = bytes[offset]
            let length = Int(UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: offset + 1, as: UInt32.self)))
            guard length <= limit else {
                end(
                    index, slot, .resourceExhausted, "grpc: received message larger than max (\(length) vs. \(limit))",
                    telling: .failed(.resourceExhausted))
                return offset
            }
            guard bytes.count - offset - Self.frameHeaderBytes >= length else { break }
            var message = UnsafeRawBufferPointer(rebasing: bytes[(offset + Self.frameHeaderBytes)...].prefix(length))
            var inflated: [UInt8] = []
            if format == 1, slot.pointee.flags.contains(.compressed) {
                guard let content = inflate(index, slot, message) else { return offset }
                inflated = content
            } else if format != 0 {
                let text =
                    format == 1
                    ? "grpc: compressed flag set with identity or empty encoding"
                    : "grpc: received unexpected payload format \(format)"
                end(index, slot, .internal, text, telling: .failed(.internal))
                return offset
            }
            offset += Self.frameHeaderBytes + length
            loop.counters.messagesReceived.add(1)
            slot.pointee.record.requestBytes += length
            endpoint.observer?.messageReceived(
                method: method, bytes: format == 0 ? length : inflated.count, CallOrigin(loop: loop.index, client: slot.pointee.client))
            if isStream {
                if format == 0 {
                    endpoint.handlers[method].message(call, message)
                } else {
                    inflated.withUnsafeBytes { endpoint.handlers[method].message(call, $0) }
                }
                guard slot.pointee.generation == call.generation, slot.pointee.flags.contains(.alive) else { return offset }
                if isInputBlocked(slot) { break }
            } else {
                let isOnly = offset == bytes.count
                if format == 1 {
                    // From here on the content stands for the message; `bytes` may lie in what is replaced.
                    replaceInput(slot, with: inflated)
                    message = slot.pointee.input.bytes
                }
                slot.pointee.request = message
                slot.pointee.flags.insert(.hasRequest)
                if !isOnly {
                    failCardinality(index, slot)
                } else if borrowed, format == 0 {
                    slot.pointee.flags.insert(.borrowed)
                    borrowers.append(index)
                }
                break
            }
        }
        return offset
    }

    /// The content of a gzip-encoded message; nil when the call was ended because it has none.
    private func inflate(
        _ index: UInt32, _ slot: UnsafeMutablePointer<CallSlot>, _ message: UnsafeRawBufferPointer
    ) -> [UInt8]? {
        let limit = endpoint.configuration.receiveMessageBytesMax
        do throws(Gzip.Failure) {
            return try Gzip.inflate(message, limit: limit)
        } catch {
            if error == .tooLarge {
                let text = "grpc: received message after decompression larger than max \(limit)"
                end(index, slot, .resourceExhausted, text, telling: .failed(.resourceExhausted))
            } else {
                let text = "grpc: failed to decompress the received message: \(error.text)"
                end(index, slot, .internal, text, telling: .failed(.internal))
            }
            return nil
        }
    }

    private func replaceInput(_ slot: UnsafeMutablePointer<CallSlot>, with bytes: [UInt8]) {
        let before = slot.pointee.input.capacity
        slot.pointee.input.release()
        bytes.withUnsafeBytes { slot.pointee.input.append($0, expected: bytes.count) }
        accountInput(slot.pointee.input.capacity - before)
    }

    private func failCardinality(_ index: UInt32, _ slot: UnsafeMutablePointer<CallSlot>) {
        end(
            index, slot, .internal,
            "cardinality violation: received multiple request messages for non-client-streaming RPC",
            telling: .failed(.internal))
    }

    /// After a read: requests that still point into it get memory of their own.
    func keepBorrowed() {
        guard !borrowers.isEmpty else { return }
        for index in borrowers {
            let slot = loop.calls[index]
            guard slot.pointee.flags.contains(.borrowed) else { continue }
            slot.pointee.flags.remove(.borrowed)
            guard slot.pointee.flags.contains(.alive) else { continue }
            let request = slot.pointee.request
            let before = slot.pointee.input.capacity
            // One byte more, so that an empty request keeps an address too.
            slot.pointee.input.append(request, expected: request.count)
            accountInput(slot.pointee.input.capacity - before)
            slot.pointee.request = slot.pointee.input.bytes
        }
        borrowers.removeAll(keepingCapacity: true)
    }

    // MARK: Ends

    private func remoteEnded(_ stream: Int32) {
        guard let index = findCall(stream) else { return }
        let slot = loop.calls[index]
        slot.pointee.flags.insert(.remoteClosed)
        guard slot.pointee.flags.contains(.alive) else { return }
        if slot.pointee.flags.contains(.http) { return httpRequestComplete(index, slot) }
        if isStream(slot) {
            halfClose(index, slot)
            return
        }
        guard slot.pointee.flags.contains(.hasRequest) else {
            let text =
                slot.pointee.input.count > 0
                ? "unexpected EOF"
                : "cardinality violation: received no request message from non-client-streaming RPC"
            return end(index, slot, .internal, text, telling: .failed(.internal))
        }
        slot.pointee.flags.remove(.borrowed)
        slot.pointee.flags.insert(.delivered)
        let call = Call(loop, index, slot.pointee.generation)
        endpoint.handlers[Int(slot.pointee.method)].message(call, slot.pointee.request)
        // The slot is this call's until its stream closes, which cannot have happened meanwhile.
        releaseInput(slot)
    }

    private func halfClose(_ index: UInt32, _ slot: UnsafeMutablePointer<CallSlot>) {
        if isInputBlocked(slot), slot.pointee.input.count > 0 {
            slot.pointee.flags.insert(.halfCloseOwed)
            return
        }
        slot.pointee.flags.remove(.halfCloseOwed)
        guard slot.pointee.input.count == 0 else {
            return end(index, slot, .internal, "unexpected EOF", telling: .failed(.internal))
        }
        guard !slot.pointee.flags.contains(.halfClosed) else { return }
        slot.pointee.flags.insert(.halfClosed)
        endpoint.handlers[Int(slot.pointee.method)].halfClosed(Call(loop, index, slot.pointee.generation))
    }

    func releaseInput(_ slot: UnsafeMutablePointer<CallSlot>) {
        let before = slot.pointee.input.capacity
        if before > 0 {
            slot.pointee.input.release()
            accountInput(-before)
        }
        slot.pointee.request = UnsafeRawBufferPointer(start: nil, count: 0)
    }

    /// The reason for waiting with a stream's input may be over.
    func resumeInput(_ index: UInt32, _ slot: UnsafeMutablePointer<CallSlot>) {
        guard slot.pointee.flags.contains(.alive), !slot.pointee.flags.contains([.delivering]), !isInputBlocked(slot),
            slot.pointee.method >= 0
        else { return }
        let generation = slot.pointee.generation
        takeKeptMessages(index, slot)
        guard slot.pointee.generation == generation, slot.pointee.flags.contains(.alive), !isInputBlocked(slot) else { return }
        if slot.pointee.unconsumed > 0 {
            nghttp2_session_consume_stream(session, slot.pointee.streamID, slot.pointee.unconsumed)
            slot.pointee.unconsumed = 0
            loop.markDirty(self)
        }
        if slot.pointee.flags.contains(.halfCloseOwed) { halfClose(index, slot) }
    }
}
