// What the metrics of a server are fed from.

import Synchronization
import Wire

/// Where a message belongs.
public struct CallOrigin: Sendable {
    /// The event loop, by number.
    public let loop: Int
    /// What the observer called the client when the call started; see `Call.client`.
    public let client: UInt32

    @inline(__always)
    init(loop: Int, client: UInt32) {
        self.loop = loop
        self.client = client
    }
}

/// Told of every call as it happens, on the call's event loop. A server without an observer pays nothing.
public protocol TransportObserver: AnyObject, Sendable {
    /// `method` is the position of the method in its `MethodTable`.
    func callStarted(method: Int, _ call: Call)
    func callFinished(method: Int, _ call: Call, code: StatusCode)
    func messageReceived(method: Int, bytes: Int, _ origin: CallOrigin)
    func messageSent(method: Int, bytes: Int, _ origin: CallOrigin)
    /// A call is over and its answer sent, or given up. Told only of calls with notes and of unary ones that took
    /// `ServerLoop.longCallNanoseconds`. Nothing may be sent from here.
    func callEnded(method: Int, _ call: Call, _ ending: CallEnding)
}

extension TransportObserver {
    public func callStarted(method: Int, _ call: Call) {}
    public func callFinished(method: Int, _ call: Call, code: StatusCode) {}
    public func messageReceived(method: Int, bytes: Int, _ origin: CallOrigin) {}
    public func messageSent(method: Int, bytes: Int, _ origin: CallOrigin) {}
    public func callEnded(method: Int, _ call: Call, _ ending: CallEnding) {}
}

/// A number that one thread changes and any thread reads: a plain load and store, no locked instruction.
public struct LoopCounter: ~Copyable, Sendable {
    private let storage = Atomic<Int>(0)

    /// Only on the owning event loop.
    @inline(__always)
    func add(_ amount: Int) { storage.store(storage.load(ordering: .relaxed) &+ amount, ordering: .relaxed) }

    public var value: Int { storage.load(ordering: .relaxed) }
}

/// Totals of one event loop. Gauges are differences, so each is a pair of counters or a running level.
public final class LoopCounters: Sendable {
    public let connectionsAccepted = LoopCounter()
    public let connectionsOpen = LoopCounter()
    public let callsStarted = LoopCounter()
    public let callsOpen = LoopCounter()
    public let messagesReceived = LoopCounter()
    public let messagesSent = LoopCounter()
    public let bytesReceived = LoopCounter()
    public let bytesSent = LoopCounter()
    /// Half-received messages in memory, in bytes.
    public let receivedPartialBytes = LoopCounter()
    /// Answers queued behind flow control or a full socket, in bytes.
    public let queuedBytes = LoopCounter()
    /// Connections closed because the peer broke a limit or the protocol.
    public let connectionsRejected = LoopCounter()
    /// Of these, connections that held most when all together held too much (`TransportLimits.loopHeldBytesMax`).
    public let connectionsCut = LoopCounter()
    /// Answers that were ended because their peer took nothing of them (`TransportLimits.stalledAnswerSeconds`).
    public let answersStalled = LoopCounter()
    /// Slices of long work that wait for their turn.
    public let slicesWaiting = LoopCounter()
}
