// Calls that come from inside the process: the JSON gateway calls the same handlers as the connections do, without a socket, a frame
// or a copy of its own of any service.

import Wire

#if canImport(Glibc)
import Glibc
#endif

/// The methods that local calls may use, with what every connection of a listener shares.
public final class LocalEndpoint: Sendable {
    let endpoint: Endpoint

    public init(_ methods: MethodTable, _ configuration: ServerConfiguration, observer: (any TransportObserver)? = nil) {
        endpoint = Endpoint(Services(methods: methods), configuration, observer)
    }

    /// Position of a method by its path "/service/method".
    public func method(_ path: String) -> Int? {
        var path = path
        return path.withUTF8 { endpoint.methods.find(UnsafeRawBufferPointer($0)) }
    }

    public func kind(_ method: Int) -> MethodKind { endpoint.kinds[method] }

    /// What a call of a path that no method has ends with.
    public func unknownMethod(_ path: String) -> CallError { endpoint.methods.unknownMethod(path: path) }
}

/// Who gets the answers of a local call. Everything happens on the call's loop, at the end of a batch, and never inside the handler.
public protocol LocalCallOutput: AnyObject {
    /// False while the reader is too slow: answers then wait in the call, where its handler sees them as queued.
    var hasRoom: Bool { get }
    /// A message of so many bytes follows.
    func messageBegan(length: Int)
    /// The next bytes of that message; valid during the call.
    func messageBytes(_ bytes: UnsafeRawBufferPointer)
    /// Nothing more comes in this turn.
    func turnEnded()
    /// The call is over, after its last message, or within one that cannot be completed. Not called after `cancel()`.
    func callEnded(_ status: StatusCode, _ text: String)
    /// Messages may be sent again after `LocalCall.isInputBlocked` was true.
    func inputResumed()
}

/// One call and its caller's end of it. Used on its loop only.
public final class LocalCall {
    public let loop: ServerLoop
    let endpoint: Endpoint
    let remoteAddress: String
    private let metadata: [(name: MetadataName, value: [UInt8])]
    private weak var output: (any LocalCallOutput)?
    private let method: Int
    private var index = CallTable.none
    private var generation: UInt32 = 0
    private var owesResume = false
    // The five bytes in front of a message, as far as they have come, and what is left of the message.
    private var frameHeader: (UInt8, UInt8, UInt8, UInt8, UInt8) = (0, 0, 0, 0, 0)
    private var frameHeaderCount = 0
    private var messageLeft = 0
    /// In the loop's list of local calls with something to say.
    var isDirty = false
    /// Bytes passed on in the batch that began at that moment.
    private var turn = (began: UInt64(0), bytes: 0)

    private static let pieceBytes = 32 << 10

    /// - Parameters:
    ///   - method: position in the endpoint's table.
    ///   - metadata: request metadata by name; the first value of a name counts.
    ///   - remoteAddress: of whoever caused the call.
    public init(
        _ services: LocalEndpoint, method: Int, loop: ServerLoop, metadata: [(name: MetadataName, value: [UInt8])] = [],
        remoteAddress: String, output: any LocalCallOutput
    ) {
        self.endpoint = services.endpoint
        self.method = method
        self.loop = loop
        self.metadata = metadata
        self.remoteAddress = remoteAddress
        self.output = output
    }

    private var call: Call { Call(loop, index, generation) }
    private var handler: any MethodHandler { endpoint.handlers[method] }
    private var isStream: Bool { endpoint.kinds[method] == .bidirectional }

    private var slot: UnsafeMutablePointer<CallSlot>? { index == CallTable.none ? nil : loop.calls.find(index, generation) }
    private var aliveSlot: UnsafeMutablePointer<CallSlot>? {
        guard let slot, slot.pointee.flags.contains(.alive) else { return nil }
        return slot
    }

    // MARK: The caller's side

    /// Begins the call.
    ///
    /// - Parameter timeout: nanoseconds until it ends with DeadlineExceeded; nil for none.
    public func start(timeout: UInt64? = nil) {
        precondition(index == CallTable.none)
        loop.batch {
            index = loop.calls.take()
            let slot = loop.calls[index]
            generation = slot.pointee.generation
            slot.pointee.local = self
            slot.pointee.method = Int32(method)
            slot.pointee.flags.insert([.headDone, .alive, .isPOST, .isGRPC])
            slot.pointee.record.begin(at: loop.now)
            loop.counters.callsStarted.add(1)
            loop.counters.callsOpen.add(1)
            slot.pointee.startedAt = loop.now
            slot.pointee.client = 0
            endpoint.observer?.callStarted(method: method, call)
            if let timeout {
                let deadline = loop.now + min(timeout, TransportLimits.deadlineNanosecondsMax)
                guard timeout > 0 else { return deadlineExceeded() }
                loop.setDeadline(index, slot, deadline)
            }
            if isStream {
                slot.pointee.flags.insert(.delivered)
                handler.opened(call)
            }
        }
    }

    /// True until the call has an end, be it told to the output or not.
    public var isAlive: Bool { aliveSlot != nil }

    /// True while the handler wants no more messages. `LocalCallOutput.inputResumed()` says when it does again.
    public var isInputBlocked: Bool {
        guard let slot = aliveSlot else { return false }
        let isBlocked = slot.pointee.flags.contains(.paused) || slot.pointee.output.heldBytes > TransportLimits.queuedHighBytes
        if isBlocked { owesResume = true }
        return isBlocked
    }

    /// A request message: the only one of a unary or server-streaming call.
    public func send(_ bytes: UnsafeRawBufferPointer) {
        guard let slot = aliveSlot else { return }
        loop.batch {
            let limit = endpoint.configuration.receiveMessageBytesMax
            guard bytes.count <= limit else {
                let text = "grpc: received message larger than max (\(bytes.count) vs. \(limit))"
                return end(slot, .resourceExhausted, text, telling: .failed(.resourceExhausted))
            }
            loop.counters.messagesReceived.add(1)
            endpoint.observer?.messageReceived(
                method: method, bytes: bytes.count, CallOrigin(loop: loop.index, client: slot.pointee.client))
            slot.pointee.flags.insert(.delivered)
            handler.message(call, bytes)
        }
    }

    /// No more messages come.
    public func halfClose() {
        guard let slot = aliveSlot, !slot.pointee.flags.contains(.remoteClosed) else { return }
        slot.pointee.flags.insert(.remoteClosed)
        guard isStream else { return }
        loop.batch { handler.halfClosed(call) }
    }

    /// The caller has gone: the handler is told, the output is not.
    public func cancel() {
        output = nil
        guard let slot else { return }
        loop.batch {
            dropOutput(slot)
            guard slot.pointee.flags.contains(.alive) else { return loop.markDirty(local: self) }
            noteEnd(slot, .cancelled)
            if slot.pointee.flags.contains(.delivered) { handler.cancelled(call, .connectionLost) }
            loop.markDirty(local: self)
        }
    }

    /// The output has room again.
    public func resumeOutput() {
        guard slot != nil else { return }
        loop.batch { loop.markDirty(local: self) }
    }

    // MARK: The handler's side, by way of `Call`

    func metadataValue(_ name: MetadataName) -> [UInt8]? { metadata.first { $0.name == name }?.value }

    func queueMessage(_ slot: UnsafeMutablePointer<CallSlot>, extra: Int, _ write: (ByteSink) -> Void) -> Bool {
        let range = loop.writeMessage(extra: extra, write)
        let length = range.count - 5 + extra
        let limit = endpoint.configuration.sendMessageBytesMax
        guard length <= limit else {
            loop.dropArena(from: range.lowerBound)
            let text = "trying to send message larger than max (\(length) vs. \(limit))"
            end(slot, .resourceExhausted, text, telling: .failed(.resourceExhausted))
            return false
        }
        slot.pointee.output.appendArena(range)
        loop.noteArena(index, slot)
        queued(slot, range.count)
        slot.pointee.record.answerBytes += length
        slot.pointee.record.waitsSince = loop.now
        loop.counters.messagesSent.add(1)
        endpoint.observer?.messageSent(method: method, bytes: length, CallOrigin(loop: loop.index, client: slot.pointee.client))
        loop.markDirty(local: self)
        return true
    }

    func queueMessage(_ slot: UnsafeMutablePointer<CallSlot>, head: UnsafeRawBufferPointer, shared: SharedBytes) {
        guard queueMessage(slot, extra: shared.count, { $0.append(head) }), shared.count > 0 else { return }
        slot.pointee.output.append(shared)
        queued(slot, shared.count)
    }

    func queueSource(_ slot: UnsafeMutablePointer<CallSlot>, _ length: Int, _ source: any BodySource) -> Bool {
        precondition(length >= 0)
        guard queueMessage(slot, extra: length, { _ in }) else {
            source.cancelled()
            return false
        }
        if length > 0 { slot.pointee.output.append(source, length: length) }
        return true
    }

    private func queued(_ slot: UnsafeMutablePointer<CallSlot>, _ bytes: Int) {
        loop.counters.queuedBytes.add(bytes)
        if slot.pointee.output.heldBytes >= TransportLimits.queuedLowBytes { slot.pointee.flags.insert(.owesWritable) }
    }

    func finish(_ slot: UnsafeMutablePointer<CallSlot>, _ status: StatusCode, _ text: String) {
        slot.pointee.flags.insert(.finished)
        slot.pointee.status = status
        slot.pointee.statusText = text
        noteEnd(slot, status)
        loop.markDirty(local: self)
    }

    func end(_ slot: UnsafeMutablePointer<CallSlot>, _ status: StatusCode, _ text: String, telling reason: CancelReason) {
        dropOutput(slot)
        finish(slot, status, text)
        if slot.pointee.flags.contains(.delivered) { handler.cancelled(call, reason) }
    }

    func deadlineExceeded() {
        guard let slot = aliveSlot else { return }
        end(slot, .deadlineExceeded, "context deadline exceeded", telling: .deadline)
    }

    func sourceResumed() { loop.markDirty(local: self) }

    func readingResumed() {
        guard owesResume else { return }
        // Not from inside the handler: at the end of the batch.
        loop.markDirty(local: self)
    }

    private func noteEnd(_ slot: UnsafeMutablePointer<CallSlot>, _ status: StatusCode) {
        slot.pointee.flags.remove(.alive)
        loop.counters.callsOpen.add(-1)
        endpoint.observer?.callFinished(method: method, call, code: status)
        loop.clearDeadline(slot)
    }

    private func dropOutput(_ slot: UnsafeMutablePointer<CallSlot>) {
        guard !slot.pointee.output.isEmpty else { return }
        loop.counters.queuedBytes.add(-slot.pointee.output.heldBytes)
        slot.pointee.output.removeAll()
    }

    // MARK: Passing on, at the end of a batch

    func pump() {
        isDirty = false
        guard let slot else { return }
        guard let output else {
            // Cancelled. A handler that is not told any more may hold a stale handle, no more.
            return release(slot)
        }
        if turn.began != loop.now { turn = (loop.now, 0) }
        var result = OutputQueue.PullResult.filled
        while output.hasRoom, result == .filled {
            guard turn.bytes < TransportLimits.outputTurnBytes else {
                // The others' turn; this one goes on in the next batch.
                output.turnEnded()
                return loop.markDirtyLater(local: self)
            }
            let held = slot.pointee.output.heldBytes
            let buffer = loop.pieceBuffer(Self.pieceBytes)
            let (count, _, pulled) = slot.pointee.output.pull(into: buffer, length: Self.pieceBytes, arena: loop.arena.base)
            loop.counters.queuedBytes.add(slot.pointee.output.heldBytes - held)
            turn.bytes += count
            result = pulled
            pass(UnsafeRawBufferPointer(start: buffer, count: count), to: output)
        }
        if result == .failed, slot.pointee.flags.contains(.alive) || slot.pointee.flags.contains(.finished) {
            dropOutput(slot)
            slot.pointee.status = .internal
            slot.pointee.statusText = "the answer cannot be read to its end"
            if slot.pointee.flags.contains(.alive) { end(slot, .internal, slot.pointee.statusText, telling: .failed(.internal)) }
        }
        if slot.pointee.output.isEmpty, slot.pointee.flags.contains(.finished) {
            self.output = nil
            let status = slot.pointee.status
            let text = slot.pointee.statusText
            release(slot)
            return output.callEnded(status, text)
        }
        output.turnEnded()
        let isLow = slot.pointee.output.heldBytes < TransportLimits.queuedLowBytes
        if slot.pointee.flags.contains(.owesWritable), isLow {
            slot.pointee.flags.remove(.owesWritable)
            if slot.pointee.flags.contains(.alive) { handler.writable(call) }
        }
        if owesResume, isAlive, !isInputBlocked {
            owesResume = false
            output.inputResumed()
        }
    }

    /// Takes the messages out of their frames.
    private func pass(_ bytes: UnsafeRawBufferPointer, to output: any LocalCallOutput) {
        var index = 0
        while index < bytes.count {
            if messageLeft > 0 {
                let size = min(messageLeft, bytes.count - index)
                output.messageBytes(UnsafeRawBufferPointer(rebasing: bytes[index..<index + size]))
                messageLeft -= size
                index += size
                continue
            }
            withUnsafeMutableBytes(of: &frameHeader) { $0[frameHeaderCount] = bytes[index] }
            frameHeaderCount += 1
            index += 1
            guard frameHeaderCount == 5 else { continue }
            frameHeaderCount = 0
            messageLeft = withUnsafeBytes(of: frameHeader) { Int(UInt32(bigEndian: $0.loadUnaligned(fromByteOffset: 1, as: UInt32.self))) }
            output.messageBegan(length: messageLeft)
        }
    }

    private func release(_ slot: UnsafeMutablePointer<CallSlot>) {
        loop.noteEnded(index, slot, endpoint)
        dropOutput(slot)
        loop.clearDeadline(slot)
        slot.pointee.userData = nil
        slot.pointee.local = nil
        slot.pointee.statusText = ""
        slot.pointee.method = -1
        slot.pointee.deadline = .max
        slot.pointee.status = .ok
        loop.calls.release(index)
        index = CallTable.none
    }
}
