// What one event loop keeps for all its connections: the slab of calls, deadlines, the answer arena, batches.

import CShims
import NIOCore
import Synchronization
import Wire

#if canImport(Glibc)
import Glibc
#endif

/// One NIO event loop serving connections. All state is confined to that loop; `execute` may be called from
/// any thread.
///
/// A server makes a fixed number of loops and never frees them: handles of calls hold plain pointers to their
/// loop, so that copying one costs nothing and a handle that outlives its server is still only stale.
public final class ServerLoop: @unchecked Sendable {
    // Unchecked: every stored variable is used on `eventLoop` only. Variables of the hot path do without the
    // run-time check of exclusive access, which cost 7 % of a call: one thread, and no access spans a callback.

    public let index: Int
    public let eventLoop: any EventLoop
    public let counters = LoopCounters()
    private let isShutDown = Atomic<Bool>(false)
    /// Nanoseconds from which on a call is told of to the observer when it has ended.
    public let longCallNanoseconds = Atomic<UInt64>(.max)

    @exclusivity(unchecked) var calls = CallTable()
    /// Answers are written here by handlers and copied from here into the socket buffer, once per batch.
    let arena = ByteSink(capacity: 16 << 10)
    let staging: OutputStaging
    /// `TransportLimits.loopHeldBytesMax`; less in tests.
    var heldBytesMax = TransportLimits.loopHeldBytesMax
    /// The most that was held since memory was last given back.
    @exclusivity(unchecked) private var heldBytesPeak = 0
    let handshakes: HandshakeQueue
    /// Monotonic nanoseconds at the start of the batch.
    @exclusivity(unchecked) public private(set) var now: UInt64

    /// Monotonic nanoseconds when output was last made.
    @exclusivity(unchecked) var emittedAt: UInt64 = 0

    @exclusivity(unchecked) private var deadlines = DeadlineHeap()
    @exclusivity(unchecked) private var armedDeadline = UInt64.max
    @exclusivity(unchecked) private var inBatch = false
    @exclusivity(unchecked) private var isEndingBatch = false
    private var flushScheduled = false
    /// When stalled answers are looked for again.
    var nextStalledSweep: UInt64 = 0
    /// Long work that waits for its turn.
    @exclusivity(unchecked) var slices = SliceQueue()
    @exclusivity(unchecked) private var dirty: [ServerConnection] = []
    @exclusivity(unchecked) private var dirtyLocals: [LocalCall] = []
    /// Where local calls read their output to. Taken when the first one does.
    private var pieces: UnsafeMutableRawBufferPointer?
    @exclusivity(unchecked) private var arenaCalls: [UInt32] = []
    @exclusivity(unchecked) private var isWritingArena = false
    private var connections: [ObjectIdentifier: ServerConnection] = [:]
    private var http1Connections: [ObjectIdentifier: HTTP1Handler] = [:]
    private var webSockets: [ObjectIdentifier: WebSocketHandler] = [:]
    private var detectors: [ObjectIdentifier: ProtocolDetector] = [:]

    init(index: Int, eventLoop: any EventLoop) {
        self.index = index
        self.eventLoop = eventLoop
        staging = OutputStaging()
        handshakes = HandshakeQueue(eventLoop: eventLoop)
        now = monotonicNanoseconds()
        _ = Unmanaged.passRetained(self)
    }

    /// Runs `body` on the loop, then sends what all connections have to send. From any thread. Hand in many
    /// answers at once: they cost one wake-up and one write per connection.
    /// After the server has been shut down it does nothing: there is nobody left to answer.
    public func execute(_ body: @escaping @Sendable () -> Void) {
        guard !isShutDown.load(ordering: .acquiring) else { return }
        eventLoop.execute { self.batch(body) }
    }

    /// Runs `body` now when called on the loop, otherwise as `execute`.
    func executeInline(_ body: @escaping @Sendable () -> Void) {
        if eventLoop.inEventLoop { batch(body) } else { execute(body) }
    }

    // MARK: Batches

    /// Monotonic nanoseconds at the start of the running batch: when what is being handled had come. On the loop only.
    @inline(__always)
    public var batchBegan: UInt64 { now }

    /// Runs `body` with output collected, and sends it afterwards. Nested batches belong to the outer one.
    @inline(__always)
    func batch(_ body: () -> Void) {
        if inBatch {
            body()
            return
        }
        beginBatch()
        body()
        endBatch()
    }

    @inline(__always)
    func beginBatch() {
        guard !inBatch else { return }
        inBatch = true
        now = monotonicNanoseconds()
    }

    /// Flushes every connection that has something to say, then empties the arena.
    func endBatch() {
        guard inBatch, !isEndingBatch else { return }
        isEndingBatch = true
        var position = 0
        var localPosition = 0
        // Flushing can make further connections dirty (a handler told of writability answers elsewhere). Local calls come first:
        // their answers go out on connections.
        repeat {
            while localPosition < dirtyLocals.count || position < dirty.count {
                if localPosition < dirtyLocals.count {
                    let local = dirtyLocals[localPosition]
                    localPosition += 1
                    local.pump()
                    continue
                }
                let connection = dirty[position]
                position += 1
                connection.isDirty = false
                connection.flush()
            }
        } while heldBytes > heldBytesMax && relieve()
        dirty.removeAll(keepingCapacity: true)
        if localPosition > 0 { dirtyLocals.removeAll(keepingCapacity: true) }
        emptyArena()
        if heldBytes > heldBytesPeak { heldBytesPeak = heldBytes } else { giveBackMemory() }
        isEndingBatch = false
        inBatch = false
    }

    /// What connections hold of requests in part and answers that wait.
    @inline(__always)
    private var heldBytes: Int { counters.queuedBytes.value &+ counters.receivedPartialBytes.value }

    /// To be called where something is held outside of a batch.
    func checkHeldBytes() { if heldBytes > heldBytesMax { batch {} } }

    /// Too much is held for peers that do not take, or do not finish what they began: whoever holds most must go.
    /// True if somebody went.
    private func relieve() -> Bool {
        var heaviest: (any MemoryHolder)?
        func weigh(_ holder: any MemoryHolder) { if holder.heldBytes > heaviest?.heldBytes ?? 0 { heaviest = holder } }
        for connection in connections.values { weigh(connection) }
        for connection in http1Connections.values { weigh(connection) }
        for socket in webSockets.values { weigh(socket) }
        guard let heaviest else { return false }
        counters.connectionsRejected.add(1)
        counters.connectionsCut.add(1)
        heaviest.cut()
        return true
    }

    /// After a flood the allocator keeps what it got from the system, unless it is asked.
    @inline(__always)
    private func giveBackMemory() {
        guard heldBytesPeak > TransportLimits.heldBytesKept, heldBytes < heldBytesPeak / 8 else { return }
        heldBytesPeak = heldBytes
        martlet_return_memory()
    }

    /// Puts a connection on the list of those to be flushed at the end of the batch.
    func markDirty(_ connection: ServerConnection) {
        guard !connection.isDirty else { return }
        connection.isDirty = true
        dirty.append(connection)
        scheduleFlush()
    }

    /// As for connections, for a call from inside the process.
    func markDirty(local: LocalCall) {
        guard !local.isDirty else { return }
        local.isDirty = true
        dirtyLocals.append(local)
        scheduleFlush()
    }

    /// In a batch to come, so that others have their turn before.
    func markDirtyLater(local: LocalCall) {
        nonisolated(unsafe) let local = local
        eventLoop.execute { self.batch { self.markDirty(local: local) } }
    }

    /// A buffer for what is used up at once.
    func pieceBuffer(_ count: Int) -> UnsafeMutableRawPointer {
        if let pieces, pieces.count >= count { return pieces.baseAddress.unsafelyUnwrapped }
        pieces?.deallocate()
        let made = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
        pieces = made
        return made.baseAddress.unsafelyUnwrapped
    }

    private func scheduleFlush() {
        guard !inBatch, !flushScheduled else { return }
        // Used outside a batch, e.g. from a task that the application scheduled on the loop.
        flushScheduled = true
        eventLoop.execute {
            self.flushScheduled = false
            self.batch {}
        }
    }

    /// Tells the observer of a call that has ended, if it was long or somebody takes notes of it.
    @inline(__always)
    func noteEnded(_ index: UInt32, _ slot: UnsafeMutablePointer<CallSlot>, _ endpoint: Endpoint) {
        let start = slot.pointee.record.span.start
        guard start != 0 else { return }
        let end = max(now, emittedAt)
        if slot.pointee.record.notes != nil || end &- start >= longCallNanoseconds.load(ordering: .relaxed) {
            tellEnded(index, slot, endpoint, end)
        }
        slot.pointee.record.span.restart(at: 0)
    }

    @inline(never)
    private func tellEnded(_ index: UInt32, _ slot: UnsafeMutablePointer<CallSlot>, _ endpoint: Endpoint, _ end: UInt64) {
        let method = Int(slot.pointee.method)
        defer { slot.pointee.record.notes = nil }
        guard let observer = endpoint.observer, method >= 0, endpoint.kinds[method] == .unary || slot.pointee.record.notes != nil else { return }
        let isFinished = slot.pointee.flags.contains(.finished)
        if let encoded = slot.pointee.record.span.elapsed(.encoded) {
            let sentFrom = slot.pointee.record.span.start + encoded
            slot.pointee.record.span.mark(.flowControlWait, at: min(end, sentFrom + slot.pointee.record.waited))
        }
        slot.pointee.record.span.mark(.flushed, at: end)
        observer.callEnded(
            method: method, Call(self, index, slot.pointee.generation),
            CallEnding(
                record: slot.pointee.record, endedAt: end, code: isFinished ? slot.pointee.status : .cancelled,
                message: isFinished ? slot.pointee.statusText : "context canceled"))
    }

    // MARK: Arena

    /// Writes one framed message into the arena; the range includes the five bytes of its frame header.
    /// `extra` is the part of the message that follows from elsewhere.
    @inline(__always)
    func writeMessage(extra: Int, _ write: (ByteSink) -> Void) -> Range<Int> {
        precondition(!isWritingArena, "a message was started while another one is being written")
        isWritingArena = true
        let start = arena.count
        arena.append(zeros: 5)
        write(arena)
        isWritingArena = false
        let length = arena.count - start - 5 + extra
        precondition(length >= extra, "a message writer removed bytes that it did not write")
        (arena.base + start).storeBytes(of: 0, as: UInt8.self)
        (arena.base + start).storeBytes(of: UInt32(clamping: length).bigEndian, toByteOffset: 1, as: UInt32.self)
        return start..<arena.count
    }

    /// Plain bytes without a frame header, for HTTP.
    func writeBytes(_ write: (ByteSink) -> Void) -> Range<Int> {
        precondition(!isWritingArena)
        let start = arena.count
        write(arena)
        return start..<arena.count
    }

    /// Forgets the bytes from `start` on: the last message written is not wanted.
    func dropArena(from start: Int) { arena.truncate(to: start) }

    @inline(__always)
    func noteArena(_ slotIndex: UInt32, _ slot: UnsafeMutablePointer<CallSlot>) {
        guard !slot.pointee.flags.contains(.inArena) else { return }
        slot.pointee.flags.insert(.inArena)
        arenaCalls.append(slotIndex)
    }

    private func emptyArena() {
        for index in arenaCalls {
            let slot = calls[index]
            guard slot.pointee.flags.contains(.inArena) else { continue }
            slot.pointee.flags.remove(.inArena)
            if !slot.pointee.output.isEmpty { slot.pointee.output.leaveArena(arena.base) }
        }
        arenaCalls.removeAll(keepingCapacity: true)
        arena.clear(keeping: TransportLimits.arenaKeptBytes)
    }

    // MARK: Deadlines

    func setDeadline(_ slotIndex: UInt32, _ slot: UnsafeMutablePointer<CallSlot>, _ deadline: UInt64) {
        slot.pointee.deadline = deadline
        deadlines.insert(.init(deadline: deadline, slot: slotIndex)) { calls[$0].pointee.heapIndex = Int32($1) }
        if deadline < armedDeadline { arm(deadline) }
    }

    @inline(__always)
    func clearDeadline(_ slot: UnsafeMutablePointer<CallSlot>) {
        let position = slot.pointee.heapIndex
        guard position >= 0 else { return }
        slot.pointee.heapIndex = -1
        deadlines.remove(at: Int(position)) { calls[$0].pointee.heapIndex = Int32($1) }
    }

    /// One scheduled task stands for the whole heap. It is not moved when the first deadline goes away: it
    /// fires, finds nothing due and arms for the next, which costs less than moving it for every call.
    private func arm(_ deadline: UInt64) {
        armedDeadline = deadline
        let wait = deadline > now ? deadline - now : 0
        eventLoop.scheduleTask(in: .nanoseconds(Int64(clamping: wait))) { self.deadlineFired(deadline) }
    }

    private func deadlineFired(_ deadline: UInt64) {
        // A task armed for a later deadline than the present one was overtaken.
        guard deadline == armedDeadline else { return }
        armedDeadline = .max
        batch {
            now = monotonicNanoseconds()
            while let first = deadlines.first, first.deadline <= now {
                let slot = calls[first.slot]
                clearDeadline(slot)
                slot.pointee.connection?._withUnsafeGuaranteedRef { $0.deadlineExceeded(first.slot) }
                slot.pointee.local?.deadlineExceeded()
            }
            if let first = deadlines.first { arm(first.deadline) }
        }
    }

    var deadlineCount: Int { deadlines.count }

    // MARK: Connections

    var openConnections: [ServerConnection] { Array(connections.values) }

    func register(_ connection: ServerConnection) {
        connections[ObjectIdentifier(connection)] = connection
    }

    func unregister(_ connection: ServerConnection) {
        connections[ObjectIdentifier(connection)] = nil
    }

    func register(http1 handler: HTTP1Handler) { http1Connections[ObjectIdentifier(handler)] = handler }

    func unregister(http1 handler: HTTP1Handler) { http1Connections[ObjectIdentifier(handler)] = nil }

    func register(webSocket handler: WebSocketHandler) { webSockets[ObjectIdentifier(handler)] = handler }

    func unregister(webSocket handler: WebSocketHandler) { webSockets[ObjectIdentifier(handler)] = nil }

    func register(detector: ProtocolDetector) { detectors[ObjectIdentifier(detector)] = detector }

    func unregister(detector: ProtocolDetector) { detectors[ObjectIdentifier(detector)] = nil }

    // Copies of the lists, because connections may go meanwhile.

    func drainConnections() {
        // Connections that have said nothing yet have nothing to finish.
        for detector in Array(detectors.values) { detector.close() }
        for connection in Array(connections.values) { connection.drain() }
        for handler in Array(http1Connections.values) { handler.drain() }
    }

    func sendFinalGoaways() {
        for connection in Array(connections.values) { connection.sendFinalGoaway() }
    }

    func terminateConnections() {
        for detector in Array(detectors.values) { detector.close() }
        for connection in Array(connections.values) { connection.terminate() }
        for handler in Array(http1Connections.values) { handler.terminate() }
        for handler in Array(webSockets.values) { handler.terminate() }
    }

    /// The event loop is about to end.
    func shutDown() { isShutDown.store(true, ordering: .releasing) }

    /// After the event loop has ended: frees what it held. Handles are stale from then on.
    func destroy() {
        arena.clear(keeping: 16)
        staging.release()
        dirty = []
        pieces?.deallocate()
        pieces = nil
        guard calls.takenCount == 0 else { return }
        calls.destroy()
    }
}
