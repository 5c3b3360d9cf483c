// etcdserverpb.Cluster's changes, as far as a member without peers
// has answers.

import KeySpace
import Transport
import Wire

extension CallError {
    /// A second member would need a transport between members; accepting it would cost the first its quorum.
    static let noPeerTransport = CallError(
        .unimplemented, "etcdserver: clusters of several members are not supported by this build")
}

/// etcdserverpb.MemberAddRequest and MemberUpdateRequest: their peer URLs are field 1 and field 2.
private struct PeerURLsRequest {
    var id: UInt64 = 0
    var peerURLs: [String] = []

    init(adding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            if field == 1 { peerURLs.append(try reader.string(type)) } else { try reader.skip(type, field: field) }
        }
    }

    init(updating bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: id = try reader.uint64(type)
            case 2: peerURLs.append(try reader.string(type))
            default: try reader.skip(type, field: field)
            }
        }
    }
}

/// Cluster/MemberAdd
final class MemberAddMethod: MethodHandler {
    private let node: Node
    init(_ node: Node) { self.node = node }

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        guard node.admit(call, isStream: false) else { return }
        do {
            let urls = try PeerURLsRequest(adding: bytes).peerURLs
            guard !urls.isEmpty, urls.allSatisfy({ (try? EndpointURL($0)) != nil }) else { throw CallError.memberBadURLs }
            throw CallError.noPeerTransport
        } catch {
            call.fail(CallError(anything: error))
        }
    }
}

/// Cluster/MemberRemove and Cluster/MemberPromote
final class MemberChangeMethod: MethodHandler {
    private let node: Node
    private let promotes: Bool

    init(_ node: Node, promotes: Bool) {
        self.node = node
        self.promotes = promotes
    }

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        guard node.admit(call, isStream: false) else { return }
        do {
            let id = MemberID(try SingleNumberRequest(decoding: bytes).value)
            guard let member = node.keySpace.cluster.current.members[id] else { throw CallError.memberNotFound }
            if promotes, !member.isLearner { throw CallError.memberNotLearner }
            throw CallError.noPeerTransport
        } catch {
            call.fail(CallError(anything: error))
        }
    }
}

/// Cluster/MemberUpdate
final class MemberUpdateMethod: MethodHandler {
    private let node: Node
    init(_ node: Node) { self.node = node }

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        guard node.admit(call, isStream: false) else { return }
        do {
            let request = try PeerURLsRequest(updating: bytes)
            let description = MemberDescription(id: MemberID(request.id), peerURLs: request.peerURLs)
            let change = ConfigurationChange(
                id: node.ids.next(), kind: .update, member: description.id, context: description.json())
            let node = node
            let accepted = node.inbox.submit(
                ConfigurationProposal(change: change) { error in
                    call.loop.execute {
                        if let error { return call.fail(error) }
                        let members = node.keySpace.cluster.current.sortedMembers
                        call.reply { sink in
                            node.headers.append(to: sink, revision: 0, term: node.consensus.term)
                            for member in members { sink.message(2) { member.encode(to: $0) } }
                        }
                    }
                })
            if !accepted { call.fail(.stopped) }
        } catch {
            call.fail(CallError(anything: error))
        }
    }
}
