// v3electionpb.Election, but for Observe.

import KeySpace
import Transport
import Wire

/// Election/Campaign
final class CampaignMethod: MethodHandler {
    private let node: Node
    init(_ node: Node) { self.node = node }

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) { node.startClaim(.campaign, call, bytes) }

    func cancelled(_ call: Call, _ reason: CancelReason) {
        (call.userData as? Claim)?.abandon(keepsKey: reason == .shutdown)
    }
}

/// Election/Proclaim: gives the leader's key a new value.
final class ProclaimMethod: MethodHandler {
    private let node: Node
    init(_ node: Node) { self.node = node }

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        guard node.admit(call, isStream: false) else { return }
        do {
            let request = try LeaderKeyRequest(decoding: bytes)
            guard let leader = request.leader else { throw CallError.leaderMissing }
            let (key, revision, value) = ([UInt8](leader.key), leader.revision, [UInt8](request.value))
            let client = InnerClient(node, call)
            client.lease(leader.lease) { lease in
                switch lease {
                case .failure(let error): call.fail(error.fromInside)
                case .success(let lease):
                    client.txn(ClaimRequests.proclaim(key, created: revision, value: value, lease: lease)) { result in
                        if case .success(let answer) = result, answer.number(2) == 0 { return call.fail(.electionNotLeader) }
                        call.answerHeader(of: result)
                    }
                }
            }
        } catch {
            call.fail(CallError(anything: error))
        }
    }
}

/// Election/Resign: OK whether or not the key was still held.
final class ResignMethod: MethodHandler {
    private let node: Node
    init(_ node: Node) { self.node = node }

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        guard node.admit(call, isStream: false) else { return }
        do {
            guard let leader = try LeaderKeyRequest(decoding: bytes).leader else { throw CallError.leaderMissing }
            let (key, revision) = ([UInt8](leader.key), leader.revision)
            let client = InnerClient(node, call)
            // etcd makes a session first, as for every call of an election: without a lease it grants one.
            client.lease(leader.lease) { lease in
                if case .failure(let error) = lease { return call.fail(error.fromInside) }
                client.txn(ClaimRequests.resign(key, created: revision)) { call.answerHeader(of: $0) }
            }
        } catch {
            call.fail(CallError(anything: error))
        }
    }
}

/// Election/Leader: the oldest claim.
final class LeaderMethod: MethodHandler {
    private let node: Node
    init(_ node: Node) { self.node = node }

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        guard node.admit(call, isStream: false) else { return }
        do {
            let prefix = ClaimPrefix(name: try ClaimRequest(decoding: bytes).name)
            let node = node
            InnerClient(node, call).first(ClaimRequests.oldest(prefix)) { result in
                switch result {
                case .failure(let error): call.fail(error.fromInside)
                case .success(let found):
                    guard let keyValue = found.keyValue else { return call.fail(.electionNoLeader) }
                    call.reply { sink in
                        node.headers.append(to: sink, revision: found.revision, term: node.consensus.term)
                        keyValue.withUnsafeBytes { sink.always(2, $0) }
                    }
                }
            }
        } catch {
            call.fail(CallError(anything: error))
        }
    }
}
