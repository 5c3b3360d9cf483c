// Election/Observe: the leader and what it proclaims, then the next leader, and so on until the caller goes.

import KeySpace
import Transport
import Wire

/// Election/Observe
final class ObserveMethod: MethodHandler {
    private let node: Node
    init(_ node: Node) { self.node = node }

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        guard node.admit(call, isStream: true) else { return }
        do {
            let prefix = ClaimPrefix(name: try ClaimRequest(decoding: bytes).name)
            guard node.claims.enter() else { throw CallError.tooManyRequests }
            let observer = ElectionObserver(prefix, call, node)
            call.userData = observer
            if call.metadata(.hasLeader, is: "true") { node.loops[call.loop.index].watches.bind(observer) }
            observer.look()
        } catch {
            call.fail(CallError(anything: error))
        }
    }

    func writable(_ call: Call) { (call.userData as? ElectionObserver)?.writable() }
    func cancelled(_ call: Call, _ reason: CancelReason) { (call.userData as? ElectionObserver)?.stop() }
}

/// Confined to its call's event loop.
final class ElectionObserver: LeaderBoundCall, @unchecked Sendable {
    // Unchecked: it crosses into closures of its own loop only.
    private let call: Call
    private let client: InnerClient
    private let prefix: ClaimPrefix
    private var watch: KeyWatch?
    private var hasEnded = false

    init(_ prefix: ClaimPrefix, _ call: Call, _ node: Node) {
        self.prefix = prefix
        self.call = call
        client = InnerClient(node, call)
    }

    /// Reads who leads; without anybody waits for the first key.
    func look() {
        client.first(ClaimRequests.oldest(prefix)) { [self] result in
            guard !hasEnded else { return }
            switch result {
            case .failure: fail(.electionObserveClosed)
            case .success(let found):
                guard let keyValue = found.keyValue else { return awaitLeader(from: found.revision + 1) }
                send(header: client.node.header(revision: found.revision), keyValue)
                follow(keyValue, from: found.revision + 1)
            }
        }
    }

    private func awaitLeader(from revision: Int64) {
        watch(key: prefix.bytes, rangeEnd: prefix.end, from: revision) { [self] event in
            switch event {
            case .put(let keyValue, _):
                let created = keyValue.withUnsafeBytes { try? KeyValueView(decoding: $0) }?.modRevision ?? 0
                send(header: client.node.header(revision: created), keyValue)
                follow(keyValue, from: created + 1)
            case .deleted: break
            case .compacted, .failed: fail(.electionObserveClosed)
            }
        }
    }

    /// Passes on what the leader proclaims, until its key goes.
    private func follow(_ keyValue: [UInt8], from revision: Int64) {
        let key = keyValue.withUnsafeBytes { (try? KeyValueView(decoding: $0)).map { [UInt8]($0.key) } } ?? []
        watch(key: key, rangeEnd: [], from: revision) { [self] event in
            switch event {
            case .put(let keyValue, let header): send(header: header, keyValue)
            case .deleted:
                watch?.stop()
                watch = nil
                look()
            case .compacted, .failed: fail(.electionObserveClosed)
            }
        }
    }

    private func watch(key: [UInt8], rangeEnd: [UInt8], from revision: Int64, _ handler: @escaping (KeyWatchEvent) -> Void) {
        watch?.stop()
        watch = KeyWatch(
            client.node, on: client.loop, key: key, rangeEnd: rangeEnd, from: revision, passingOnTo: call, handler: handler)
    }

    private func send(header: [UInt8], _ keyValue: [UInt8]) {
        call.send { sink in
            header.withUnsafeBytes { sink.always(1, $0) }
            keyValue.withUnsafeBytes { sink.always(2, $0) }
        }
    }

    func writable() { watch?.writable() }

    func fail(_ error: CallError) {
        stop()
        call.fail(error)
    }

    func stop() {
        guard !hasEnded else { return }
        hasEnded = true
        watch?.stop()
        watch = nil
        client.node.loops[client.loop.index].watches.unbind(self)
        client.node.claims.leave()
    }
}
