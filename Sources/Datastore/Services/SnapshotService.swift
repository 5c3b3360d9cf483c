// Maintenance/Snapshot and Maintenance/Hash: etcd's whole database, as bytes or as a checksum of them.

import KeySpace
import Transport
import Wire

/// Maintenance/Snapshot
final class SnapshotMethod: MethodHandler {
    private let node: Node
    init(_ node: Node) { self.node = node }

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        guard node.admit(call, isStream: true, allowsLearner: true) else { return }
        do throws(CallError) {
            try node.authorizeAdmin(call)
            guard let walk = node.store.records() else { throw .snapshotUnavailable }
            let job = SnapshotJob(call, walk, node: node)
            guard node.snapshots.start({ job.run() }) else { throw .tooManyRequests }
            call.userData = job
            // Rare and long: always among the requests that are shown.
            let now = monotonicNow()
            call.withRecord { $0.span.mark(.queued, at: now) }
            RequestNotes.make(call)?.isKept = true
        } catch {
            call.fail(error)
        }
    }

    func writable(_ call: Call) { (call.userData as? SnapshotJob)?.deliver() }

    func cancelled(_ call: Call, _ reason: CancelReason) { (call.userData as? SnapshotJob)?.cancel() }
}

/// Maintenance/Hash
final class HashMethod: MethodHandler {
    private let node: Node
    init(_ node: Node) { self.node = node }

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        guard node.admit(call, isStream: false) else { return }
        do throws(CallError) {
            try node.authorizeAdmin(call)
            guard let content = node.store.backendContent(storageVersion: node.storageVersion.current) else { throw .snapshotUnavailable }
            advance(call, Pass(content), began: monotonicNow())
        } catch {
            call.fail(error)
        }
    }

    /// A slice in each turn of the event loop.
    private func advance(_ call: Call, _ pass: Pass, began: UInt64) {
        guard call.isAlive else { return }
        do {
            if try pass.content.step(into: pass.hash) {
                return call.loop.later { self.advance(call, pass, began: began) }
            }
        } catch {
            return call.fail(node.readFailed(error))
        }
        node.metrics.mvcc.hashDuration.observe(nanoseconds: monotonicNow() - began)
        call.reply { sink in
            node.headers.append(to: sink, revision: pass.content.revision, term: node.consensus.term)
            sink.field(2, UInt64(pass.hash.value))
        }
    }

    /// Carries the work through the loop's queue; it never leaves the loop.
    private final class Pass: @unchecked Sendable {
        let content: BackendContent
        let hash = BackendHash()
        init(_ content: BackendContent) { self.content = content }
    }
}

extension CallError {
    /// While the disk is full the state in memory is ahead of what is shown.
    static let snapshotUnavailable = CallError(.unavailable, "etcdserver: no snapshot can be made while the disk is full")
}
