// v3lockpb.Lock

import KeySpace
import Transport
import Wire

/// Lock/Lock
final class LockMethod: MethodHandler {
    private let node: Node
    init(_ node: Node) { self.node = node }

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) { node.startClaim(.lock, call, bytes) }

    func cancelled(_ call: Call, _ reason: CancelReason) {
        (call.userData as? Claim)?.abandon(keepsKey: reason == .shutdown)
    }
}

extension Node {
    /// Begins a Lock or a Campaign.
    func startClaim(_ purpose: Claim.Purpose, _ call: Call, _ bytes: UnsafeRawBufferPointer) {
        guard admit(call, isStream: false) else { return }
        do {
            let request = try ClaimRequest(decoding: bytes)
            guard claims.enter() else { throw CallError.tooManyRequests }
            let claim = Claim(purpose, request, call, self)
            call.userData = claim
            claim.start()
        } catch {
            call.fail(CallError(anything: error))
        }
    }
}

/// Lock/Unlock: a plain delete, whoever holds the key.
final class UnlockMethod: MethodHandler {
    private let node: Node
    init(_ node: Node) { self.node = node }

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        guard node.admit(call, isStream: false) else { return }
        do {
            let request = try UnlockRequest(decoding: bytes)
            InnerClient(node, call).delete(request.key) { call.answerHeader(of: $0) }
        } catch {
            call.fail(CallError(anything: error))
        }
    }
}

extension Call {
    /// Answers with nothing but the header of the response to a request of the server's own.
    func answerHeader(of result: Result<MessageView, CallError>) {
        switch result {
        case .failure(let error): fail(error.fromInside)
        case .success(let answer): reply { $0.always(1, answer.messages(1).first ?? .init(start: nil, count: 0)) }
        }
    }
}
