// --quota-backend-bytes: writes that the store has no room for are refused and raise the NOSPACE alarm, as in etcd.
// When space has come back this member takes its alarm back by itself, unless --quota-auto-disarm=false.

import DatastoreTracing
import KeySpace
import Synchronization
import Transport
import Wire

extension Node {
    /// Whether the space quota has room for a request of this cost. If not, the alarm is raised and then the call is
    /// answered: whoever reads the answer finds the alarm.
    @inline(__always)
    func hasSpace(_ cost: Int, for call: Call) -> Bool {
        guard let quota = keySpace.quota, cost > 0, store.size + cost >= quota else { return true }
        refuse(call)
        return false
    }

    /// As `hasSpace` for a transaction, which is weighed only when it may matter.
    @inline(__always)
    func hasSpace(forTransaction bytes: UnsafeRawBufferPointer, _ call: Call) throws(ProtobufError) -> Bool {
        guard let quota = keySpace.quota, store.size + QuotaCost.transactionAtMost(bytes: bytes.count) >= quota else { return true }
        return hasSpace(QuotaCost.transaction(try TxnRequest(decoding: bytes)), for: call)
    }

    private func refuse(_ call: Call) {
        space.raise(self) {
            call.loop.execute { call.fail(.noSpace) }
        }
    }

    /// Refuses a write of the server's own on behalf of a call.
    func checkQuota(cost: Int) throws(CallError) {
        guard let quota = keySpace.quota, cost > 0, store.size + cost >= quota else { return }
        space.raise(self) {}
        throw .noSpace
    }
}

/// This member's NOSPACE alarm: raised once however many writes are refused, taken back when there is room again.
final class SpaceQuota: Sendable {
    /// Size below which the alarm is taken back, in percent of the quota: the distance keeps a store that is just
    /// full from going to and fro.
    static let disarmBelowPercent = 90
    /// Pause between two thorough collections that are asked for while the alarm stands.
    static let collectionPauseNanoseconds: UInt64 = 10_000_000_000

    private struct State {
        /// A proposal is under way; who waits for it.
        var raising: [@Sendable () -> Void]?
        /// The alarm comes from the quota and not from somebody's request, so it may be taken back.
        var isOurs: Bool
        var isDisarming = false
        var isCollecting = false
        var nextCollection: UInt64 = 0
        /// Bytes in use when the last collection was asked for: without a change another one is for nothing.
        var collectedAt = -1
    }

    private let state: Mutex<State>

    /// - Parameter isRaised: the alarm stands since before this start, so most likely for the quota.
    init(isRaised: Bool) { state = Mutex(State(isOurs: isRaised)) }

    private func alarm(_ node: Node) -> AlarmMember { AlarmMember(member: node.memberID, alarm: .noSpace) }

    /// Makes sure that the alarm stands, then calls back, on any thread. On failure too: the write is refused anyway.
    func raise(_ node: Node, then completion: @escaping @Sendable () -> Void) {
        if node.keySpace.cluster.hasAlarm(.noSpace), node.keySpace.cluster.current.alarms.contains(alarm(node)) { return completion() }
        let isFirst = state.withLock { state in
            if state.raising != nil {
                state.raising!.append(completion)
                return false
            }
            state.raising = [completion]
            return true
        }
        guard isFirst else { return }
        propose(.activate, node) { [self] error in
            if let error { node.log.warn("failed to raise alarm", .error(error.message)) }
            let waiting = state.withLock { state in
                let waiting = state.raising ?? []
                state.raising = nil
                if error == nil { state.isOurs = true }
                return waiting
            }
            for completion in waiting { completion() }
        }
    }

    private func propose(_ action: AlarmRequest.Action, _ node: Node, _ completion: @escaping @Sendable (CallError?) -> Void) {
        let sink = ByteSink(capacity: 32)
        AlarmRequest(action: action, member: node.memberID, alarm: .noSpace).encode(to: sink)
        withExtendedLifetime(sink) { node.propose(.alarm, sink.bytes, completion: completion) }
    }

    // MARK: Taking back

    enum Action: Equatable { case none, disarm, collect }

    /// What to do about an alarm that stands. A pure function of the levels.
    static func action(size: Int, sizeInUse: Int, quota: Int, lastCollectedAt: Int) -> Action {
        let limit = quota / 100 * disarmBelowPercent + quota % 100 * disarmBelowPercent / 100
        if size <= limit { return .disarm }
        // Collecting gives back what is no longer used, so it is worth its reads only if that suffices.
        return sizeInUse <= limit && sizeInUse != lastCollectedAt ? .collect : .none
    }

    /// About once a second.
    func tick(_ node: Node, _ maintenance: StoreMaintenance, now: UInt64) {
        guard node.configuration.backend.quotaDisarmsItself, let quota = node.keySpace.quota,
            node.keySpace.cluster.hasAlarm(.noSpace), node.keySpace.cluster.current.alarms.contains(alarm(node))
        else { return }
        let (size, inUse) = (node.store.size, node.store.sizeInUse)
        let action = state.withLock { state -> Action in
            guard state.isOurs, state.raising == nil, !state.isDisarming else { return .none }
            let action = Self.action(size: size, sizeInUse: inUse, quota: quota, lastCollectedAt: state.collectedAt)
            switch action {
            case .none: break
            case .disarm: state.isDisarming = true
            case .collect:
                guard !state.isCollecting, now >= state.nextCollection else { return .none }
                state.isCollecting = true
                state.nextCollection = now + Self.collectionPauseNanoseconds
                state.collectedAt = inUse
            }
            return action
        }
        switch action {
        case .none: break
        case .collect:
            node.log.info(
                "space quota is exceeded but compaction has freed space; collecting it", .int("current-db-size-bytes", size),
                .int("current-db-size-in-use-bytes", inUse), .int("quota-size-bytes", quota))
            maintenance.defragment { [self] error in
                if let error { node.log.warn("failed to collect garbage", .error(error.description)) }
                state.withLock {
                    $0.isCollecting = false
                    if error != nil { $0.collectedAt = -1 }
                }
            }
        case .disarm:
            propose(.deactivate, node) { [self] error in
                state.withLock {
                    $0.isDisarming = false
                    if error == nil { $0.collectedAt = -1 }
                }
                if let error {
                    node.log.warn("failed to disarm the NOSPACE alarm", .error(error.message))
                } else {
                    node.metrics.quotaDisarms.increment()
                    node.log.info(
                        "space has come back; disarmed the NOSPACE alarm", .int("current-db-size-bytes", size),
                        .int("quota-size-bytes", quota))
                }
            }
        }
    }
}
