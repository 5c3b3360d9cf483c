// Checkpoints: what is left of long leases, told to the others now and then, so that a lease does not begin anew with
// every new leader.

import Wire

extension LeaseStore {
    /// What is to be remembered of every lease that runs longer than `interval` seconds and has not begun anew within it:
    /// IDs and remaining seconds, in the order of the IDs, at most `LeaseLimits.checkpointsPerProposal` a list.
    ///
    /// - Parameter now: monotonic nanoseconds.
    public func checkpoints(now: UInt64, interval: Int64) -> [[(id: Int64, remaining: Int64)]] {
        var found = state.withLock { state -> [(id: Int64, remaining: Int64)] in
            guard state.isPrimary else { return [] }
            return state.byID.values.compactMap { slot in
                let lease = state.leases[Int(slot)]
                guard lease.ttl > interval, !lease.isRevoking, !lease.isExpired(now: now) else { return nil }
                let remaining = lease.remaining(now: now)
                // A lease that was just renewed needs no checkpoint: the next leader begins it anew anyway.
                guard remaining > 0, remaining <= lease.ttl - interval else { return nil }
                return (lease.id, remaining)
            }
        }
        found.sort { $0.id < $1.id }
        let step = LeaseLimits.checkpointsPerProposal
        return stride(from: 0, to: found.count, by: step).map { Array(found[$0..<min($0 + step, found.count)]) }
    }
}
