// Answers: queued by handlers, pulled by nghttp2, closed by trailers.

import CNGHTTP2
import Wire

#if canImport(Glibc)
import Glibc
#endif

extension ServerConnection {
    // MARK: Queueing

    /// Queues one message written by `write`. False when it was too large, which has ended the call.
    @inline(__always)
    func queueMessage(
        _ index: UInt32, _ slot: UnsafeMutablePointer<CallSlot>, extra: Int, _ write: (ByteSink) -> Void
    ) -> Bool {
        let range = loop.writeMessage(extra: extra, write)
        return queueWritten(index, slot, range, length: range.count - 5 + extra)
    }

    /// Queues what was just written to the arena as (the start of) a message of `length` bytes.
    private func queueWritten(
        _ index: UInt32, _ slot: UnsafeMutablePointer<CallSlot>, _ range: Range<Int>, length: Int
    ) -> Bool {
        guard checkSendLimit(index, slot, length) else {
            loop.dropArena(from: range.lowerBound)
            return false
        }
        slot.pointee.output.appendArena(range)
        loop.noteArena(index, slot)
        queued(slot, range.count)
        slot.pointee.record.answerBytes += length
        slot.pointee.record.waitsSince = loop.now
        loop.counters.messagesSent.add(1)
        endpoint.observer?.messageSent(
            method: Int(slot.pointee.method), bytes: length, CallOrigin(loop: loop.index, client: slot.pointee.client))
        startOrResume(index, slot)
        return true
    }

    func queueMessage(
        _ index: UInt32, _ slot: UnsafeMutablePointer<CallSlot>, head: UnsafeRawBufferPointer, shared: SharedBytes
    ) -> Bool {
        if shared.count <= TransportLimits.copyBytesMax {
            return queueMessage(index, slot, extra: 0) { sink in
                sink.append(head)
                sink.append(shared.bytes)
            }
        }
        guard queueMessage(index, slot, extra: shared.count, { $0.append(head) }) else { return false }
        slot.pointee.output.append(shared)
        queued(slot, shared.count)
        return true
    }

    func queueSource(
        _ index: UInt32, _ slot: UnsafeMutablePointer<CallSlot>, _ length: Int, _ source: any BodySource
    ) -> Bool {
        precondition(length >= 0)
        guard queueMessage(index, slot, extra: length, { _ in }) else {
            source.cancelled()
            return false
        }
        if length > 0 {
            slot.pointee.sourceReadAt = loop.now
            slot.pointee.output.append(source, length: length)
        }
        return true
    }

    private func checkSendLimit(_ index: UInt32, _ slot: UnsafeMutablePointer<CallSlot>, _ length: Int) -> Bool {
        let limit = endpoint.configuration.sendMessageBytesMax
        guard length > limit else { return true }
        end(
            index, slot, .resourceExhausted, "trying to send message larger than max (\(length) vs. \(limit))",
            telling: .failed(.resourceExhausted))
        return false
    }

    @inline(__always)
    func queued(_ slot: UnsafeMutablePointer<CallSlot>, _ bytes: Int) {
        queuedBytes += bytes
        loop.counters.queuedBytes.add(bytes)
        if slot.pointee.output.heldBytes >= TransportLimits.queuedLowBytes { slot.pointee.flags.insert(.owesWritable) }
    }

    @inline(__always)
    func startOrResume(_ index: UInt32, _ slot: UnsafeMutablePointer<CallSlot>) {
        if slot.pointee.flags.contains(.responding) {
            resumeOutput(slot)
        } else {
            slot.pointee.flags.insert(.responding)
            var provider = dataProvider(index)
            let fields = HeaderFields.response
            nghttp2_submit_response(session, slot.pointee.streamID, fields.baseAddress, fields.count, &provider)
            loop.markDirty(self)
        }
    }

    @inline(__always)
    func dataProvider(_ index: UInt32) -> nghttp2_data_provider {
        nghttp2_data_provider(
            source: nghttp2_data_source(ptr: UnsafeMutableRawPointer(bitPattern: UInt(index) + 1)),
            read_callback: NGHTTP2Server.provider)
    }

    @inline(__always)
    func resumeOutput(_ slot: UnsafeMutablePointer<CallSlot>) {
        if slot.pointee.flags.contains(.deferred) {
            slot.pointee.flags.remove(.deferred)
            nghttp2_session_resume_data(session, slot.pointee.streamID)
        }
        loop.markDirty(self)
    }

    // MARK: Ending

    /// The application's last word on a call. Queued messages go out before the status.
    func finish(_ index: UInt32, _ slot: UnsafeMutablePointer<CallSlot>, _ status: StatusCode, _ text: String) {
        slot.pointee.flags.remove(.alive)
        slot.pointee.flags.insert(.finished)
        slot.pointee.status = status
        if !text.isEmpty || !slot.pointee.statusText.isEmpty { slot.pointee.statusText = text }
        noteEnd(index, slot, status)
        loop.clearDeadline(slot)
        if !slot.pointee.flags.contains(.delivering), !slot.pointee.flags.contains(.hasRequest) { releaseInput(slot) }
        if slot.pointee.flags.contains(.responding) {
            resumeOutput(slot)
            return
        }
        slot.pointee.flags.insert(.responding)
        submitTrailersOnly(slot)
        resetUnlessRemoteClosed(slot)
        loop.markDirty(self)
    }

    /// Ends a call for a reason of the transport's own, and tells the handler.
    func end(
        _ index: UInt32, _ slot: UnsafeMutablePointer<CallSlot>, _ status: StatusCode, _ text: String,
        telling reason: CancelReason
    ) {
        dropOutput(slot)
        finish(index, slot, status, text)
        tellCancelled(index, slot, reason)
    }

    func deadlineExceeded(_ index: UInt32) {
        let slot = loop.calls[index]
        guard slot.pointee.flags.contains(.alive) else { return }
        end(index, slot, .deadlineExceeded, "context deadline exceeded", telling: .deadline)
    }

    /// Queued messages of a call that fails are not sent: the peer has given up on them or must not get them.
    /// If part of one is on its way the stream can only be reset.
    func dropOutput(_ slot: UnsafeMutablePointer<CallSlot>) {
        guard !slot.pointee.output.isEmpty else { return }
        if slot.pointee.flags.contains(.midMessage) { slot.pointee.flags.insert(.mustReset) }
        let held = slot.pointee.output.heldBytes
        slot.pointee.output.removeAll()
        queuedBytes -= held
        loop.counters.queuedBytes.add(-held)
    }

    private func noteEnd(_ index: UInt32, _ slot: UnsafeMutablePointer<CallSlot>, _ status: StatusCode) {
        guard slot.pointee.method >= 0 else { return }
        loop.counters.callsOpen.add(-1)
        endpoint.observer?.callFinished(
            method: Int(slot.pointee.method), Call(loop, index, slot.pointee.generation), code: status)
    }

    private func tellCancelled(_ index: UInt32, _ slot: UnsafeMutablePointer<CallSlot>, _ reason: CancelReason) {
        if slot.pointee.flags.contains(.http) {
            slot.pointee.exchange?.responder?.peerIsGone()
            slot.pointee.exchange?.stream?.detach()
            return
        }
        guard slot.pointee.flags.contains(.delivered), slot.pointee.method >= 0 else { return }
        endpoint.handlers[Int(slot.pointee.method)].cancelled(Call(loop, index, slot.pointee.generation), reason)
    }

    private func submitTrailersOnly(_ slot: UnsafeMutablePointer<CallSlot>) {
        let fields = HeaderFields.statusNames[slot.pointee.status.rawValue]
        withMessage(slot, fields) { nghttp2_submit_response(session, slot.pointee.streamID, $0, $1, nil) }
        pings.sent()
    }

    private func submitTrailers(_ slot: UnsafeMutablePointer<CallSlot>) {
        if slot.pointee.status == .ok, slot.pointee.statusText.isEmpty {
            let fields = HeaderFields.trailersOK
            nghttp2_submit_trailer(session, slot.pointee.streamID, fields.baseAddress, fields.count)
        } else {
            let fields = UnsafeBufferPointer(rebasing: HeaderFields.statusNames[slot.pointee.status.rawValue][2...])
            withMessage(slot, fields) { nghttp2_submit_trailer(session, slot.pointee.streamID, $0, $1) }
        }
        resetUnlessRemoteClosed(slot)
    }

    /// The status fields with the call's text as the last one.
    private func withMessage(
        _ slot: UnsafeMutablePointer<CallSlot>, _ fields: UnsafeBufferPointer<nghttp2_nv>,
        _ body: (UnsafePointer<nghttp2_nv>, Int) -> Int32
    ) {
        var text = PercentEncoding.encode(slot.pointee.statusText)
        text.withUTF8 { bytes in
            withUnsafeTemporaryAllocation(of: nghttp2_nv.self, capacity: fields.count) { copy in
                _ = copy.initialize(from: fields)
                if bytes.count > 0 {
                    copy[fields.count - 1].value = UnsafeMutablePointer(mutating: bytes.baseAddress)
                    copy[fields.count - 1].valuelen = bytes.count
                    copy[fields.count - 1].flags = UInt8(NGHTTP2_NV_FLAG_NO_COPY_NAME.rawValue)
                }
                _ = body(UnsafePointer(copy.baseAddress.unsafelyUnwrapped), fields.count)
            }
        }
    }

    /// A client that is still sending learns that nobody listens, once the end of the answer is on its way:
    /// nghttp2 would send nothing more of a stream with a reset in its queue.
    func resetUnlessRemoteClosed(_ slot: UnsafeMutablePointer<CallSlot>) {
        guard !slot.pointee.flags.contains(.remoteClosed) else { return }
        slot.pointee.flags.insert(.owesReset)
        owedResets += 1
    }

    func onFrameSent(_ frame: UnsafePointer<nghttp2_frame>) {
        guard owedResets > 0, frame.pointee.hd.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0 else { return }
        let user = UInt(bitPattern: nghttp2_session_get_stream_user_data(session, frame.pointee.hd.stream_id))
        guard user != 0 else { return }
        let slot = loop.calls[UInt32(user - 1)]
        guard slot.pointee.flags.contains(.owesReset) else { return }
        slot.pointee.flags.remove(.owesReset)
        owedResets -= 1
        guard !slot.pointee.flags.contains(.remoteClosed) else { return }
        nghttp2_submit_rst_stream(
            session, UInt8(NGHTTP2_FLAG_NONE.rawValue), slot.pointee.streamID, NGHTTP2_NO_ERROR.rawValue)
    }

    // MARK: Emitting (inside nghttp2; no handler runs here)

    /// nghttp2 wants up to `length` bytes of a call's output: they go behind the place for the frame's header.
    func onRead(_ index: UInt32, _ length: Int, _ flags: UnsafeMutablePointer<UInt32>) -> Int {
        let slot = loop.calls[index]
        if slot.pointee.flags.contains(.mustReset) { return Int(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue) }
        let staging = loop.staging
        if staging.ahead.count > 0, staging.ahead.call != index || staging.ahead.next > length { keepAhead() }
        let held = slot.pointee.output.heldBytes
        let count: Int
        let result: OutputQueue.PullResult
        if staging.ahead.count > 0 {
            assert(staging.ahead.position == staging.count + WrittenAhead.frameHeaderBytes)
            count = staging.ahead.next
            result = .filled
            staging.ahead.takeNext()
            slot.pointee.output.takeAhead(count)
        } else {
            let target = staging.end + WrittenAhead.frameHeaderBytes
            let length = min(length, staging.room - WrittenAhead.frameHeaderBytes)
            // Only what has sent a frame alone: calls that take turns would have to put away what they wrote ahead.
            let room = lastReadCall == index ? roomAhead(slot.pointee.streamID, length) : 0
            let pulled = slot.pointee.output.pull(
                into: target, length: length, ahead: room, gap: WrittenAhead.frameHeaderBytes, arena: loop.arena.base)
            (count, result) = (pulled.count, pulled.result)
            if pulled.ahead > 0 {
                staging.ahead = WrittenAhead(
                    call: index, position: staging.count + count + 2 * WrittenAhead.frameHeaderBytes, frameBytes: length,
                    count: pulled.ahead)
            }
        }
        lastReadCall = index
        if count > 0, slot.pointee.output.sourceCount > 0 { slot.pointee.sourceReadAt = loop.now }
        slot.pointee.record.noteSending(batch: loop.now, at: loop.emittedAt)
        let sent = held - slot.pointee.output.heldBytes
        queuedBytes -= sent
        loop.counters.queuedBytes.add(-sent)
        if slot.pointee.flags.contains(.owesWritable), slot.pointee.output.heldBytes < TransportLimits.queuedLowBytes {
            slot.pointee.flags.remove(.owesWritable)
            if slot.pointee.flags.contains(.alive) {
                writableCalls.append((index, slot.pointee.generation))
            }
        }
        if result == .failed { return Int(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue) }
        let isEnd = slot.pointee.output.isEmpty && slot.pointee.flags.contains(.finished)
        if count == 0, !isEnd {
            slot.pointee.flags.insert(.deferred)
            return Int(NGHTTP2_ERR_DEFERRED.rawValue)
        }
        if slot.pointee.output.isEmpty {
            slot.pointee.flags.remove(.midMessage)
        } else {
            slot.pointee.flags.insert(.midMessage)
        }
        flags.pointee = NGHTTP2_DATA_FLAG_NO_COPY.rawValue
        if isEnd {
            flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue
            if !slot.pointee.flags.contains(.http) {
                flags.pointee |= NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
                submitTrailers(slot)
            } else {
                resetUnlessRemoteClosed(slot)
            }
        }
        return count
    }

    /// Bytes that a source may write beyond the frame of `length` bytes that is being made: whole frames that the peer's
    /// windows and the output buffer have room for.
    private func roomAhead(_ stream: Int32, _ length: Int) -> Int {
        let window = min(
            Int(nghttp2_session_get_remote_window_size(session)),
            Int(nghttp2_session_get_stream_remote_window_size(session, stream)))
        let frames = (TransportLimits.outputAheadBytes - loop.staging.count) / (length + WrittenAhead.frameHeaderBytes)
        return max(0, min(frames, window / length - 1)) * length
    }

    /// Something else goes out before the payloads that were written ahead: their call keeps them.
    func keepAhead() {
        let staging = loop.staging
        let ahead = staging.ahead
        guard ahead.count > 0 else { return }
        staging.ahead = .nothing
        let slot = loop.calls[ahead.call]
        slot.pointee.output.keepAhead(ahead.count) { ahead.copy(from: staging.base, to: $0) }
        queued(slot, ahead.count)
    }

    func onSendData(_ header: UnsafePointer<UInt8>, _ length: Int) -> Int32 {
        memcpy(loop.staging.end, header, WrittenAhead.frameHeaderBytes)
        loop.staging.advance(WrittenAhead.frameHeaderBytes + length)
        pings.sent()
        return loop.staging.isFull ? NGHTTP2_ERR_PAUSE.rawValue : 0
    }

    // MARK: Closed streams

    func onStreamClosed(_ stream: Int32, _ error: UInt32) {
        let user = UInt(bitPattern: nghttp2_session_get_stream_user_data(session, stream))
        guard user != 0 else { return }
        let index = UInt32(user - 1)
        if currentHead == index { currentHead = CallTable.none }
        if isSending {
            // Finished calls are the common case, and nobody is to be told of them.
            if loop.calls[index].pointee.flags.contains(.alive) {
                closedWhileSending.append((index, error))
            } else {
                release(index)
            }
        } else {
            cancel(index, .reset(error))
            release(index)
        }
    }

    /// After emitting: tells handlers what happened meanwhile.
    func tellAfterSending() {
        if !closedWhileSending.isEmpty {
            let closed = closedWhileSending
            closedWhileSending.removeAll(keepingCapacity: true)
            for (index, error) in closed {
                cancel(index, .reset(error))
                release(index)
            }
        }
        if !writableCalls.isEmpty {
            let writable = writableCalls
            writableCalls.removeAll(keepingCapacity: true)
            for (index, generation) in writable {
                let slot = loop.calls[index]
                func isStill() -> Bool {
                    slot.pointee.generation == generation && slot.pointee.flags.contains(.alive)
                }
                guard isStill() else { continue }
                if slot.pointee.flags.contains(.http) {
                    slot.pointee.exchange?.responder?.becameWritable()
                } else {
                    endpoint.handlers[Int(slot.pointee.method)].writable(Call(loop, index, generation))
                    if isStill() { resumeInput(index, slot) }
                }
            }
        }
    }

    /// Ends a call whose stream is gone, if it had not ended.
    func cancel(_ index: UInt32, _ reason: CancelReason) {
        let slot = loop.calls[index]
        dropOutput(slot)
        guard slot.pointee.flags.contains(.alive) else { return }
        slot.pointee.flags.remove(.alive)
        noteEnd(index, slot, .cancelled)
        loop.clearDeadline(slot)
        tellCancelled(index, slot, reason)
    }

    /// Gives the slot of a closed stream back.
    func release(_ index: UInt32) {
        let slot = loop.calls[index]
        loop.noteEnded(index, slot, endpoint)
        dropOutput(slot)
        releaseInput(slot)
        if slot.pointee.flags.contains(.headAccounted) { accountInput(-slot.pointee.headerBytes) }
        if let exchange = slot.pointee.exchange, exchange.countedBytes > 0 { accountInput(-exchange.countedBytes) }
        loop.clearDeadline(slot)
        if let path = slot.pointee.path {
            nghttp2_rcbuf_decref(path)
            slot.pointee.path = nil
        }
        if let authority = slot.pointee.authority {
            nghttp2_rcbuf_decref(authority)
            slot.pointee.authority = nil
        }
        slot.pointee.metadata.release()
        if slot.pointee.userData != nil { slot.pointee.userData = nil }
        if slot.pointee.exchange != nil { slot.pointee.exchange = nil }
        if !slot.pointee.statusText.isEmpty { slot.pointee.statusText = "" }
        if slot.pointee.flags.contains(.owesReset) { owedResets -= 1 }
        slot.pointee.method = -1
        slot.pointee.deadline = .max
        slot.pointee.status = .ok
        slot.pointee.unconsumed = 0
        slot.pointee.headerBytes = 0
        slot.pointee.connection = nil
        let next = slot.pointee.next
        let previous = slot.pointee.previous
        if previous == CallTable.none { firstCall = next } else { loop.calls[previous].pointee.next = next }
        if next != CallTable.none { loop.calls[next].pointee.previous = previous }
        openCalls -= 1
        loop.calls.release(index)
    }
}
