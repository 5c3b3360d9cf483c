// etcdserverpb.Maintenance and Cluster, as far as they are local state or one proposal.

import KeySpace
import Transport
import Wire

/// Maintenance/Status
final class StatusMethod: MethodHandler {
    private let node: Node
    init(_ node: Node) { self.node = node }

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        guard node.admit(call, isStream: false, allowsLearner: true) else { return }
        do throws(CallError) { try node.authorizeUser(call) } catch { return call.fail(error) }
        let status = node.status()
        call.reply { sink in
            node.appendHeader(to: sink)
            status.encode(to: sink)
        }
    }
}

extension Node {
    func status() -> StatusResponse {
        let view = keySpace.cluster.current
        var status = StatusResponse()
        status.version = Version.server
        status.dbSize = Int64(store.size)
        status.dbSizeInUse = Int64(store.sizeInUse)
        status.leader = consensus.leader
        status.raftIndex = consensus.committed
        status.raftTerm = consensus.term
        status.raftAppliedIndex = consensus.applied
        if status.leader == .none { status.errors.append(CallError.noLeader.message) }
        for alarm in view.alarms.sorted() {
            // The text form of a message leaves zeros out.
            let member = alarm.member == .none ? "" : "memberID:\(alarm.member.rawValue) "
            status.errors.append("\(member)alarm:\(alarm.alarm.name)")
        }
        status.isLearner = consensus.isLearner
        status.storageVersion = storageVersion.current ?? ""
        status.dbSizeQuota = configuration.backend.quotaBytes ?? configuration.backend.quotaFlagBytes
        status.downgradeEnabled = view.downgradeEnabled
        status.downgradeTarget = view.downgradeTarget
        return status
    }
}

/// Maintenance/Alarm
final class AlarmMethod: MethodHandler {
    private let node: Node
    init(_ node: Node) { self.node = node }

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        guard node.admit(call, isStream: false) else { return }
        do {
            let request = try AlarmRequest(decoding: bytes)
            // An unknown action has no defined effect, so it must not reach the log.
            guard request.action != nil else { throw CallError.unknownAction }
            node.propose(.alarm, bytes, for: call, privileged: true)
        } catch {
            call.fail(CallError(anything: error))
        }
    }
}

/// Maintenance/HashKV
final class HashKVMethod: MethodHandler {
    private let node: Node
    init(_ node: Node) { self.node = node }

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        guard node.admit(call, isStream: false) else { return }
        do {
            let revision = Int64(bitPattern: try SingleNumberRequest(decoding: bytes).value)
            try node.authorizeAdmin(call)
            let job = HashJobBox(try node.store.hashKV(revision: revision))
            advance(call, job, began: monotonicNow())
        } catch {
            call.fail(CallError(anything: error))
        }
    }

    /// A slice in each turn of the event loop.
    private func advance(_ call: Call, _ box: HashJobBox, began: UInt64) {
        guard call.isAlive else { return }
        let job = box.job
        do {
            guard try job.isDone || job.step() else {
                return call.loop.later { self.advance(call, box, began: began) }
            }
        } catch {
            return call.fail(node.readFailed(error))
        }
        node.metrics.mvcc.hashByRevisionDuration.observe(nanoseconds: monotonicNow() - began)
        call.reply { sink in
            node.headers.append(to: sink, revision: job.storeRevision, term: node.consensus.term)
            sink.field(2, UInt64(job.hash))
            sink.field(3, job.compactRevision)
            sink.field(4, job.revision)
        }
    }

    /// Carries a job through the loop's queue; it never leaves the loop.
    private final class HashJobBox: @unchecked Sendable {
        let job: HashJob
        init(_ job: HashJob) { self.job = job }
    }
}

/// Maintenance/Defragment: asks garbage collection for all it can get; reads and writes go on.
final class DefragmentMethod: MethodHandler {
    private let node: Node
    private let maintenance: StoreMaintenance

    init(_ node: Node, _ maintenance: StoreMaintenance) {
        self.node = node
        self.maintenance = maintenance
    }

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        guard node.admit(call, isStream: false) else { return }
        do throws(CallError) { try node.authorizeAdmin(call) } catch { return call.fail(error) }
        let metrics = node.metrics.backend
        let began = monotonicNow()
        metrics.defragmentsInFlight.increment()
        maintenance.defragment { error in
            metrics.defragmentsInFlight.decrement()
            metrics.defragmentDuration.observe(nanoseconds: monotonicNow() - began)
            call.loop.execute {
                if let error { call.fail(.internal, "etcdserver: \(error)") } else { call.reply { _ in } }
            }
        }
    }
}

/// Cluster/MemberList
final class MemberListMethod: MethodHandler, LinearizableHandler {
    private let node: Node
    init(_ node: Node) { self.node = node }

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        guard node.admit(call, isStream: false) else { return }
        do {
            let linearizable = try SingleNumberRequest(decoding: bytes).value != 0
            try node.authorizeUser(call)
            if linearizable { node.linearize(call, bytes, self) } else { serve(call, bytes) }
        } catch {
            call.fail(CallError(anything: error))
        }
    }

    func serve(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        let members = node.keySpace.cluster.current.sortedMembers
        call.reply { sink in
            node.headers.append(to: sink, revision: 0, term: node.consensus.term)
            for member in members { sink.message(2) { member.encode(to: $0) } }
        }
    }
}
