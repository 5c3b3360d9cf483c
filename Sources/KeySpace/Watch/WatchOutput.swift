// Where a watch stream's responses go. The hub knows neither gRPC nor sockets.

import Wire

/// The sending half of one Watch call, used on the hub's event loop only.
///
/// Responses leave in the order of the calls. None of the methods may call back into the hub, except that
/// `WatchHub.closeStream` is allowed at any time. When `queuedBytes` was at or above
/// `WatchLimits.streamQueueBytesMin` and falls below it, the owner calls `WatchHub.writable`.
public protocol WatchOutput: AnyObject {
    /// Bytes accepted by `send` that the client has not taken yet.
    var queuedBytes: Int { get }
    /// Queues one message.
    func send(_ write: (ByteSink) -> Void)
    /// Queues one message made of `head` and then `shared`, which is held by reference.
    func send(head: UnsafeRawBufferPointer, shared: SharedBytes)
    /// Ends the call with an error, after what is queued.
    func fail(_ error: CallError)
}
