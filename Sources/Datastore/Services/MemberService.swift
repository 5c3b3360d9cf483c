// etcdserverpb.Cluster's changes of the members: checked here, then through the log.

import DatastoreTracing
import KeySpace
import NIOCore
import Transport
import Wire

/// etcdserverpb.MemberAddRequest and MemberUpdateRequest: their peer URLs are field 1 and field 2.
private struct PeerURLsRequest {
    var id: UInt64 = 0
    var peerURLs: [String] = []
    var isLearner = false

    init(adding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: peerURLs.append(try reader.string(type))
            case 2: isLearner = try reader.bool(type)
            default: try reader.skip(type, field: field)
            }
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

/// What the methods share: a change goes through the log without a time-out, and is forgotten when its caller goes.
class MembershipMethod: @unchecked Sendable {
    // Unchecked: nothing here ever changes.
    let node: Node
    init(_ node: Node) { self.node = node }

    final var check: ReconfigurationCheck {
        // Nobody but this member is reachable: traffic between members is not carried.
        ReconfigurationCheck(view: node.keySpace.cluster.current, local: node.memberID) { _ in false }
    }

    /// The strict check, if it is on; a refusal is logged in etcd's words.
    final func strictly(
        _ message: String, _ field: LogField, _ body: (ReconfigurationCheck) throws(CallError) -> Void
    ) throws(CallError) {
        guard node.configuration.strictReconfigurationCheck else { return }
        do throws(CallError) { try body(check) } catch {
            let reason =
                error == .unhealthyCluster
                ? "local member has not been connected to all peers, reconfigure breaks active quorum"
                : "not enough healthy members"
            node.log.warn(
                "rejecting member \(message) request; \(reason)", .string("local-member-id", node.memberID.description),
                field, .error(error.message))
            throw error
        }
    }

    /// Proposes a change; the answer is the list of members after it.
    ///
    /// - Parameter member: is told in the answer, as it was added.
    final func propose(_ change: ConfigurationChange, _ call: Call, telling member: MemberDescription? = nil) {
        let node = node
        call.userData = PendingChange(id: change.id)
        let refusal = node.inbox.submit(
            ConfigurationProposal(change: change) { error in
                call.loop.execute {
                    if let error { return call.fail(error) }
                    let members = node.keySpace.cluster.current.sortedMembers
                    call.reply { sink in
                        node.headers.append(to: sink, revision: 0, term: node.consensus.term)
                        if let member { sink.message(2) { member.encode(to: $0) } }
                        for one in members { sink.message(member == nil ? 2 : 3) { one.encode(to: $0) } }
                    }
                }
            })
        if let refusal { call.fail(refusal) }
    }

    final func abandon(_ call: Call) {
        guard let pending = call.userData as? PendingChange else { return }
        node.inbox.run { $0.abandonChange(pending.id) }
    }

    private final class PendingChange: Sendable {
        let id: UInt64
        init(id: UInt64) { self.id = id }
    }
}

/// Cluster/MemberAdd
final class MemberAddMethod: MembershipMethod, MethodHandler, @unchecked Sendable {
    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        guard node.admit(call, isStream: false) else { return }
        do {
            let request = try PeerURLsRequest(adding: bytes)
            let urls = request.peerURLs
            guard !urls.isEmpty, urls.allSatisfy({ (try? EndpointURL($0)) != nil }) else { throw CallError.memberBadURLs }
            try node.authorizeAdmin(call)
            let id = MemberID(
                Identity.memberID(peerURLs: urls, clusterToken: "", unixSeconds: Int64(WallClock.milliseconds() / 1000)))
            let member = MemberDescription(id: id, peerURLs: urls.sorted(), isLearner: request.isLearner)
            try strictly("add", .string("requested-member-add", id.description)) { check throws(CallError) in
                try check.add(isLearner: request.isLearner)
            }
            propose(
                ConfigurationChange(
                    id: node.ids.next(), kind: request.isLearner ? .addLearner : .addVoter, member: id, context: member.json()),
                call, telling: member)
        } catch {
            call.fail(CallError(anything: error))
        }
    }

    func cancelled(_ call: Call, _ reason: CancelReason) { abandon(call) }
}

/// Cluster/MemberRemove
final class MemberRemoveMethod: MembershipMethod, MethodHandler, @unchecked Sendable {
    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        guard node.admit(call, isStream: false) else { return }
        do {
            let id = MemberID(try SingleNumberRequest(decoding: bytes).value)
            try node.authorizeAdmin(call)
            try strictly("remove", .string("requested-member-remove", id.description)) { check throws(CallError) in
                try check.remove(id)
            }
            propose(ConfigurationChange(id: node.ids.next(), kind: .remove, member: id, context: []), call)
        } catch {
            call.fail(CallError(anything: error))
        }
    }

    func cancelled(_ call: Call, _ reason: CancelReason) { abandon(call) }
}

/// Cluster/MemberPromote: only the leader knows how far a learner is.
final class MemberPromoteMethod: MembershipMethod, MethodHandler, @unchecked Sendable {
    /// A learner has caught up with nine tenths of the leader's log.
    private static let readyPercent: UInt64 = 90

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        guard node.admit(call, isStream: false) else { return }
        do {
            let id = MemberID(try SingleNumberRequest(decoding: bytes).value)
            try node.authorizeAdmin(call)
            findLeader(call, id, until: monotonicNow() + node.requestTimeoutNanoseconds)
        } catch {
            call.fail(CallError(anything: error))
        }
    }

    private func findLeader(_ call: Call, _ id: MemberID, until deadline: UInt64) {
        guard call.isAlive else { return }
        if node.consensus.leader == node.memberID { return judge(call, id) }
        guard monotonicNow() < deadline else { return call.fail(.noLeader) }
        call.loop.eventLoop.scheduleTask(in: .milliseconds(Int64(node.configuration.raft.electionMilliseconds))) { [self] in
            findLeader(call, id, until: deadline)
        }
    }

    private func judge(_ call: Call, _ id: MemberID) {
        let accepted = node.inbox.run { [self] consensus in
            let (learner, leader) = consensus.progress(of: id)
            call.loop.execute { [self] in
                do throws(CallError) {
                    guard let leader else { throw .notLeader }
                    guard let learner else { throw .memberNotFound }
                    guard learner * 100 >= leader * Self.readyPercent else { throw .learnerNotReady }
                    try strictly("promote", .string("requested-member-promote-id", id.description)) { check throws(CallError) in
                        try check.promote(id)
                    }
                    let context = "{\"id\":\(id.rawValue),\"peerURLs\":null,\"isPromote\":true}"
                    propose(
                        ConfigurationChange(id: node.ids.next(), kind: .addVoter, member: id, context: Array(context.utf8)), call)
                } catch {
                    if leader != nil { node.metrics.learners.promotionFailures.series(error.message).increment() }
                    call.fail(error)
                }
            }
        }
        if !accepted { call.fail(node.consensus.isStopping ? .stopped : .tooManyRequests) }
    }

    func cancelled(_ call: Call, _ reason: CancelReason) { abandon(call) }
}

/// Cluster/MemberUpdate: other peer URLs, taken as they are.
final class MemberUpdateMethod: MembershipMethod, MethodHandler, @unchecked Sendable {
    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        guard node.admit(call, isStream: false) else { return }
        do {
            let request = try PeerURLsRequest(updating: bytes)
            try node.authorizeAdmin(call)
            let description = MemberDescription(id: MemberID(request.id), peerURLs: request.peerURLs)
            propose(
                ConfigurationChange(
                    id: node.ids.next(), kind: .update, member: description.id, context: description.json()), call)
        } catch {
            call.fail(CallError(anything: error))
        }
    }

    func cancelled(_ call: Call, _ reason: CancelReason) { abandon(call) }
}

/// Maintenance/MoveLeader
final class MoveLeaderMethod: MethodHandler {
    private let node: Node
    init(_ node: Node) { self.node = node }

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        guard node.admit(call, isStream: false) else { return }
        do {
            try node.authorizeAdmin(call)
            let target = MemberID(try SingleNumberRequest(decoding: bytes).value)
            guard node.consensus.leader == node.memberID else { throw CallError.notLeader }
            guard let member = node.keySpace.cluster.current.members[target], !member.isLearner else {
                throw CallError.badLeaderTransferee
            }
            guard node.inbox.run({ $0.transferLeadership(to: target) }) else {
                throw node.consensus.isStopping ? CallError.stopped : .tooManyRequests
            }
            awaitLeader(call, target)
        } catch {
            call.fail(CallError(anything: error))
        }
    }

    /// Looks each heartbeat whether the other one leads; the caller's deadline ends the wait.
    private func awaitLeader(_ call: Call, _ target: MemberID) {
        guard call.isAlive else { return }
        if node.consensus.leader == target { return call.reply { _ in } }
        call.loop.eventLoop.scheduleTask(in: .milliseconds(Int64(node.configuration.raft.heartbeatMilliseconds))) { [self] in
            awaitLeader(call, target)
        }
    }
}
