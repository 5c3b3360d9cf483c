// One Lock or Campaign call: claims a key, then waits until every older claim is gone. No thread, no timer: a
// claim that waits is this object and one watcher of its predecessor, so that a release wakes exactly one.

import KeySpace
import Transport
import Wire

/// Confined to its call's event loop.
final class Claim: @unchecked Sendable {
    // Unchecked: it crosses into closures of its own loop only.
    enum Purpose {
        case lock
        case campaign
    }

    private enum State {
        /// Proposals under way until the key is there: nothing has to be waited for yet.
        case claiming
        /// The key is there; older claims may be.
        case waiting(KeyWatch?)
        case ended
    }

    private let call: Call
    private let client: InnerClient
    private let purpose: Purpose
    private let name: [UInt8]
    private let prefix: ClaimPrefix
    private let value: [UInt8]
    private var lease: Int64
    private var key: [UInt8] = []
    /// The key's create revision.
    private var revision: Int64 = 0
    /// Header of the transaction that claimed, which a campaign is answered with.
    private var header: [UInt8] = []
    private var state = State.claiming
    private var isAbandoned = false

    init(_ purpose: Purpose, _ request: ClaimRequest, _ call: Call, _ node: Node) {
        self.purpose = purpose
        self.call = call
        client = InnerClient(node, call)
        name = [UInt8](request.name)
        prefix = ClaimPrefix(name: request.name)
        value = [UInt8](request.value)
        lease = request.lease
    }

    private var node: Node { client.node }

    func start() {
        client.lease(lease) { [self] result in
            // Nothing but a lease of its own is there, which ends by itself.
            if isAbandoned { return end() }
            switch result {
            case .failure(let error): fail(error)
            case .success(let granted):
                lease = granted
                key = prefix.key(lease: granted)
                propose()
            }
        }
    }

    /// The caller is gone.
    ///
    /// - Parameter keepsKey: the server is stopping; the caller comes back to its key, which its lease keeps.
    func abandon(keepsKey: Bool) {
        isAbandoned = true
        guard case .waiting(let watch) = state else { return }
        watch?.stop()
        if keepsKey { end() } else { release() }
    }

    // MARK: Claiming

    private func propose() {
        let request = ClaimRequests.claim(key, value: value, lease: lease, owner: purpose == .lock ? prefix : nil)
        client.txn(request) { [self] result in
            switch result {
            case .failure(let error): fail(error)
            case .success(let answer): claimed(answer)
            }
        }
    }

    private func claimed(_ answer: MessageView) {
        let isNew = answer.number(2) != 0
        header = answer.messages(1).first.map { [UInt8]($0) } ?? []
        revision = answer.headerRevision
        var owner: KeyValueView?
        var hasOtherValue = false
        if !isNew {
            guard let own = answer.firstKey(ofOperation: 0), let view = try? KeyValueView(decoding: own) else {
                preconditionFailure("a claimed key is neither new nor there")
            }
            revision = view.createRevision
            hasOtherValue = !value.elementsEqual(view.value)
        }
        if purpose == .lock { owner = answer.firstKey(ofOperation: 1).flatMap { try? KeyValueView(decoding: $0) } }
        state = .waiting(nil)
        if isAbandoned { return isNew ? release() : end() }
        switch purpose {
        case .lock:
            if let owner, owner.createRevision != revision { wait() } else { succeed(header: header) }
        case .campaign:
            if hasOtherValue { proclaim() } else { wait() }
        }
    }

    /// The same lease campaigns again with another value.
    private func proclaim() {
        client.txn(ClaimRequests.proclaim(key, created: revision, value: value, lease: lease)) { [self] result in
            if isAbandoned { return }
            switch result {
            case .success(let answer) where answer.number(2) != 0: wait()
            case .success: fail(.electionNotLeader)
            case .failure(let error):
                release()
                call.fail(error.fromInside)
            }
        }
    }

    // MARK: Waiting

    /// Looks for the newest claim that is older than this one, and waits for its end.
    private func wait() {
        client.first(ClaimRequests.predecessor(prefix, of: revision)) { [self] result in
            guard !isAbandoned, case .waiting = state else { return }
            switch result {
            case .failure(let error): giveUp(error)
            case .success(let found):
                guard let other = found.key else { return confirm() }
                state = .waiting(
                    KeyWatch(node, on: client.loop, key: other, from: found.revision + 1, onlyDeletes: true) { [self] in
                        watched($0)
                    })
            }
        }
    }

    private func watched(_ event: KeyWatchEvent) {
        guard case .waiting(let watch) = state else { return }
        switch event {
        case .put: return
        case .deleted, .compacted:
            // After a compaction the history does not say whether the key went, but the present does.
            watch?.stop()
            state = .waiting(nil)
            wait()
        case .failed(let error):
            watch?.stop()
            giveUp(error)
        }
    }

    /// Nobody is before this claim. A lock looks whether its own key has outlived the wait.
    private func confirm() {
        guard purpose == .lock else { return succeed(header: header) }
        client.first(ClaimRequests.point(key)) { [self] result in
            guard !isAbandoned, case .waiting = state else { return }
            switch result {
            case .failure(let error): giveUp(error)
            case .success(let own):
                if own.keyValue == nil { fail(.sessionExpired) } else { succeed(header: node.header(revision: own.revision)) }
            }
        }
    }

    // MARK: The end

    private func succeed(header: [UInt8]) {
        end()
        call.reply { sink in
            header.withUnsafeBytes { sink.always(1, $0) }
            switch purpose {
            case .lock: sink.field(2, key)
            case .campaign:
                name.withUnsafeBytes { name in
                    key.withUnsafeBytes { key in
                        let leader = LeaderKey(name: name, key: key, revision: revision, lease: lease)
                        sink.message(2) { leader.encode(to: $0) }
                    }
                }
            }
        }
    }

    private func fail(_ error: CallError) {
        end()
        call.fail(error.fromInside)
    }

    /// The wait has failed: a lock leaves nothing behind; a campaign's key stays its caller's business.
    private func giveUp(_ error: CallError) {
        if purpose == .lock { release() } else { end() }
        call.fail(error.fromInside)
    }

    /// Takes the key away, unless it is another one by now. The server does so by its own right: who sent the call
    /// may be gone.
    private func release() {
        end()
        let log = node.log
        let request = ClaimRequests.resign(key, created: revision)
        withExtendedLifetime(request) {
            node.propose(.txn, request.bytes) { error in
                guard let error else { return }
                log.warn("failed to release the key of an abandoned claim; its lease ends it", .error(error.message))
            }
        }
    }

    private func end() {
        if case .ended = state { return }
        state = .ended
        node.claims.leave()
    }
}
