// Requests that the server makes to itself while it works on a call: proposed like a client's, the answer
// comes back to the event loop.

import KeySpace
import Transport
import Wire

/// Where the answer of a proposal goes that no client has sent.
final class LoopReply: Sendable {
    /// Index of the event loop.
    let loop: Int
    /// Runs on the event loop; the bytes are valid while it does.
    let completion: @Sendable (Result<UnsafeRawBufferPointer, CallError>) -> Void

    init(loop: Int, completion: @escaping @Sendable (Result<UnsafeRawBufferPointer, CallError>) -> Void) {
        self.loop = loop
        self.completion = completion
    }
}

extension Node {
    /// Proposes a request in the name of a call's sender; `completion` gets the response's bytes on the call's
    /// loop, never before this returns.
    func propose(
        _ kind: InternalRequestKind, _ body: UnsafeRawBufferPointer, onBehalfOf call: Call,
        completion: @escaping @Sendable (Result<UnsafeRawBufferPointer, CallError>) -> Void
    ) {
        let id = ids.next()
        let loop = call.loop
        let data: [UInt8]
        do throws(CallError) {
            data = try encode(kind, body, id: id, for: call)
            guard data.count <= configuration.limits.requestBytesMaximum else { throw .requestTooLarge }
        } catch {
            return loop.execute { completion(.failure(error)) }
        }
        let reply = LoopReply(loop: loop.index, completion: completion)
        loops[loop.index].add(
            Proposal(id: id, data: data, target: .loop(reply), start: monotonicNow(), isPrivileged: false), node: self)
    }

    /// Calls back on the loop when what was acknowledged before may be read here; at once if it may be already.
    func confirmRead(on loop: ServerLoop, _ completion: @escaping @Sendable (CallError?) -> Void) {
        if consensus.servesLocally { return completion(nil) }
        if consensus.isStopping { return completion(.stopped) }
        let accepted = inbox.run { $0.confirmRead { error in loop.execute { completion(error) } } }
        if !accepted { completion(.tooManyRequests) }
    }
}
