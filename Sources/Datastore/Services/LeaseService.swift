// etcdserverpb.Lease: grants and revokes through consensus, the clock of leases on this member while it
// leads.

import KeySpace
import NIOCore
import Transport
import Wire

/// Lease/LeaseGrant
final class LeaseGrantMethod: MethodHandler {
    private let node: Node
    init(_ node: Node) { self.node = node }

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        guard node.admit(call, isStream: false) else { return }
        do {
            var request = try LeaseGrantRequest(decoding: bytes)
            guard node.hasSpace(QuotaCost.leaseGrant, for: call) else { return }
            try node.authorizeUser(call)
            guard request.id == 0 else { return node.propose(.leaseGrant, bytes, for: call) }
            request.id = node.unusedLeaseID()
            let sink = ByteSink(capacity: 32)
            request.encode(to: sink)
            node.propose(.leaseGrant, sink.bytes, for: call)
        } catch {
            call.fail(CallError(anything: error))
        }
    }
}

/// Lease/LeaseRevoke
final class LeaseRevokeMethod: MethodHandler {
    private let node: Node
    init(_ node: Node) { self.node = node }

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        guard node.admit(call, isStream: false) else { return }
        do {
            _ = try LeaseRevokeRequest(decoding: bytes)
            // Whether the keys of the lease may be deleted is judged at apply; without credentials nothing is proposed.
            try node.authorizeUser(call)
            node.propose(.leaseRevoke, bytes, for: call, privileged: true)
        } catch {
            call.fail(CallError(anything: error))
        }
    }
}

/// Lease/LeaseTimeToLive
final class LeaseTimeToLiveMethod: MethodHandler, LinearizableHandler {
    private let node: Node
    init(_ node: Node) { self.node = node }

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        guard node.admit(call, isStream: false) else { return }
        do {
            _ = try LeaseTimeToLiveRequest(decoding: bytes)
            try node.authorizeUser(call)
            node.linearize(call, bytes, self)
        } catch {
            call.fail(CallError(anything: error))
        }
    }

    func serve(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        guard let request = try? LeaseTimeToLiveRequest(decoding: bytes) else { return }
        do throws(CallError) {
            try authorize(call, request)
        } catch {
            return call.fail(error)
        }
        let lease = node.keySpace.leases.timeToLive(id: request.id, wantsKeys: request.wantsKeys, now: monotonicNow())
        call.reply { sink in
            node.appendHeader(to: sink)
            sink.field(2, request.id)
            guard let lease else {
                sink.field(3, -1 as Int64)
                return
            }
            sink.field(3, lease.remaining)
            sink.field(4, lease.granted)
            for key in lease.keys { key.withUnsafeBytes { sink.leaseTimeToLiveKey($0) } }
        }
    }
}

extension LeaseTimeToLiveMethod {
    /// Only the leader has the clock, so this waits for a leader, not for a read index.
    var withoutLeader: CallError { .noLeader }

    /// The keys of a lease are told to those who may read them all.
    private func authorize(_ call: Call, _ request: LeaseTimeToLiveRequest) throws(CallError) {
        guard let who = try node.credentials(call) else { return }
        try node.keySpace.auth.checkUser(who)
        guard request.wantsKeys, let keys = node.keySpace.leases.keys(of: request.id) else { return }
        try node.keySpace.auth.checkLeaseKeys(who, .read, keys)
    }
}

/// Lease/LeaseLeases
final class LeaseLeasesMethod: MethodHandler {
    private let node: Node
    init(_ node: Node) { self.node = node }

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        guard node.admit(call, isStream: false) else { return }
        let ids = node.keySpace.leases.list()
        do throws(CallError) {
            if let who = try node.credentials(call) {
                try node.keySpace.auth.checkUser(who)
                for id in ids { try node.keySpace.auth.checkLeaseKeys(who, .read, node.keySpace.leases.keys(of: id) ?? []) }
            }
        } catch {
            return call.fail(error)
        }
        call.reply { sink in
            node.appendHeader(to: sink)
            for id in ids { sink.message(2) { $0.field(1, id) } }
        }
    }
}

/// Lease/LeaseKeepAlive
final class LeaseKeepAliveMethod: MethodHandler {
    private let node: Node
    init(_ node: Node) { self.node = node }

    func opened(_ call: Call) {
        guard node.admit(call, isStream: true) else { return }
        if call.metadata(.hasLeader, is: "true") { node.loops[call.loop.index].watches.bind(call) }
    }

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        do {
            let request = try LeaseKeepAliveRequest(decoding: bytes)
            if let who = try node.credentials(call) {
                try node.keySpace.auth.checkUser(who)
                try node.keySpace.auth.checkLeaseKeys(who, .write, node.keySpace.leases.keys(of: request.id) ?? [])
            }
            answer(call, request.id, until: monotonicNow() + node.requestTimeoutNanoseconds)
        } catch {
            call.fail(CallError(anything: error))
        }
    }

    func halfClosed(_ call: Call) {
        // A renewal that still waits for its lease's end is answered first.
        if call.userData == nil { call.finish() } else { call.userData = HalfClosed.afterAnswer }
    }

    /// - Parameter until: when waiting for a lease that is just expiring ends.
    private func answer(_ call: Call, _ id: Int64, until deadline: UInt64) {
        let now = monotonicNow()
        // The header is of the moment before the renewal.
        let revision = node.store.currentRevision
        let ttl: Int64
        switch node.keySpace.leases.renew(id: id, now: now) {
        case .renewed(let granted, let hasCheckpoint):
            ttl = granted
            node.metrics.lease.renewed.increment()
            if hasCheckpoint { node.clearCheckpoint(of: id) }
            node.requests.did("lease_renew", on: call, since: now) { [SpanAttribute("id", id)] }
        case .notFound: ttl = 0
        case .expiring:
            guard now < deadline else { return call.fail(.timeout) }
            return retry(call, id, until: deadline)
        case .notPrimary:
            guard now < deadline else { return call.fail(.noLeader) }
            return retry(call, id, until: deadline)
        }
        call.send { sink in
            node.headers.append(to: sink, revision: revision, term: node.consensus.term)
            sink.leaseKeepAliveResponse(id: id, ttl: ttl)
        }
        guard let waiting = call.userData as? HalfClosed else { return }
        call.userData = nil
        if waiting === HalfClosed.afterAnswer { call.finish() } else { call.resumeReading() }
    }

    /// Answers keep the order of the requests, so the stream is not read while one waits.
    private func retry(_ call: Call, _ id: Int64, until deadline: UInt64) {
        if call.userData == nil {
            call.userData = HalfClosed.no
            call.pauseReading()
        }
        call.loop.eventLoop.scheduleTask(in: .milliseconds(50)) { [self] in
            guard call.isAlive else { return }
            answer(call, id, until: deadline)
        }
    }

    /// Marks a stream with a waiting renewal, and whether the client has closed its side meanwhile.
    private final class HalfClosed: Sendable {
        static let no = HalfClosed()
        static let afterAnswer = HalfClosed()
    }
}

extension Node {
    /// The lease runs for its whole time again; a stored remainder would shorten it at the next leader.
    func clearCheckpoint(of lease: Int64) {
        let sink = ByteSink(capacity: 32)
        sink.message(1) { $0.field(1, lease) }
        propose(.leaseCheckpoint, sink.bytes) { [log] error in
            if let error { log.warn("failed to clear a lease checkpoint", .error(error.message)) }
        }
    }
}
