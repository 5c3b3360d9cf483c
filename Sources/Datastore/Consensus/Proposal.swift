// What waits for consensus: a proposal or a linearizable read, and where its result goes.

import Transport
import Wire

/// Where the result of a proposal goes.
enum ReplyTarget: Sendable {
    /// A client's call: its answer is encoded by apply and sent on the call's event loop.
    case call(Call)
    /// The server itself; called on the consensus thread.
    case server(@Sendable (CallError?) -> Void)
    /// The server as its own client, on an event loop.
    case loop(LoopReply)
}

struct Proposal: Sendable {
    let id: UInt64
    /// The encoded InternalRaftRequest.
    let data: [UInt8]
    let target: ReplyTarget
    /// Monotonic nanoseconds when it was handed in.
    let start: UInt64
    /// Frees space or ends work: may use the reserve of the admission limits.
    let isPrivileged: Bool

    /// How many may be in flight for this one to be taken: clients' requests leave room for those that free space or end
    /// work, and all clients' leave room for the server's own, so that no load keeps leases from ending.
    var proposalsInFlightMax: Int {
        let most = ServerLimits.proposalsInFlightMax
        guard isPrivileged else { return most }
        if case .server = target { return most + 2 * ServerLimits.proposalsReserved }
        return most + ServerLimits.proposalsReserved
    }
}

/// A read that must see everything acknowledged before it began.
struct PendingRead: Sendable {
    let call: Call
    let request: [UInt8]
    let handler: any LinearizableHandler
    let start: UInt64
}

/// A handler whose requests are served from local state once the read index is applied.
protocol LinearizableHandler: AnyObject, Sendable {
    /// Serves the request on the call's event loop.
    func serve(_ call: Call, _ request: UnsafeRawBufferPointer)

    /// What the caller is told when there was no leader for as long as a request may take.
    var withoutLeader: CallError { get }
}

extension LinearizableHandler {
    var withoutLeader: CallError { .timeout }
}

/// A change of the members on its way through the log.
struct ConfigurationProposal: Sendable {
    let change: ConfigurationChange
    let completion: @Sendable (CallError?) -> Void
}
