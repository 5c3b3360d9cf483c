// The clock of leases. Only the primary (the leader) counts time. Expiry is never early: a deadline is looked at
// after it has passed and judged by the lease as it is then, so a renewal has only to move the lease's deadline.

import Wire

/// What became of a keep-alive.
public enum LeaseRenewal: Sendable, Equatable {
    /// The lease lives for its whole granted time again.
    ///
    /// - Parameter hasCheckpoint: a remaining TTL is stored: propose a checkpoint of 0, or the next leader would
    ///   start from it.
    case renewed(ttl: Int64, hasCheckpoint: Bool)
    /// Unknown, expired and revoked, or revoked: the answer is a TTL of 0.
    case notFound
    /// Expired, but the revoke is not applied yet: ask again until the lease is gone (or this member is not the
    /// primary any more), then answer.
    case expiring
    /// Another member counts the time.
    case notPrimary
}

extension LeaseStore {
    public var isPrimary: Bool { state.withLock { $0.isPrimary } }

    /// Renews a lease. Touches neither the apply thread nor the heap of deadlines.
    public func renew(id: Int64, now: UInt64) -> LeaseRenewal {
        state.withLock { state in
            guard state.isPrimary else { return .notPrimary }
            guard let slot = state.find(id) else { return .notFound }
            let lease = state.leases[slot]
            guard !lease.isExpired(now: now), !lease.isRevoking else { return .expiring }
            let deadline = now &+ LeaseTable.nanoseconds(lease.ttl)
            state.leases[slot].deadline = deadline
            // After a promotion the old deadline may be later than the new one.
            if deadline < lease.deadline, let looked = state.deadlines.deadline(of: UInt32(slot)), deadline < looked {
                state.deadlines.set(UInt32(slot), deadline: deadline)
            }
            return .renewed(ttl: lease.ttl, hasCheckpoint: lease.remainingTTL > 0)
        }
    }

    // MARK: Leadership

    /// This member leads: every lease starts with what its checkpoint left, or its whole time, and `extend` more.
    /// Many leases that would end together are spread, later ones further. Apply thread.
    ///
    /// - Parameter extend: nanoseconds, one election timeout.
    public func promote(extend: UInt64) {
        let now = clock()
        // Only the apply thread adds and takes leases, so slots stay what they are while the lock is free.
        var starts = state.withLock { state in
            state.byID.values.map { slot in
                let lease = state.leases[Int(slot)]
                let seconds = lease.remainingTTL > 0 ? lease.remainingTTL : lease.ttl
                return DeadlineHeap.Entry(deadline: now &+ LeaseTable.nanoseconds(seconds) &+ extend, slot: slot)
            }
        }
        starts.sort { $0.deadline < $1.deadline }
        if starts.count >= LeaseLimits.spreadLeasesMin { LeaseStore.spread(&starts) }
        state.withLock { state in
            state.stopClock()
            state.isPrimary = true
            for start in starts { state.leases[Int(start.slot)].deadline = start.deadline }
            state.deadlines = DeadlineHeap(sorted: starts, slots: state.leases.count)
        }
    }

    /// Puts off ascending deadlines so that any second holds at most `spreadExpiriesPerSecond` of them.
    static func spread(_ starts: inout [DeadlineHeap.Entry]) {
        let width = LeaseLimits.spreadExpiriesPerSecond
        guard starts.count > width else { return }
        for index in width..<starts.count {
            starts[index].deadline = max(starts[index].deadline, starts[index - width].deadline &+ 1_000_000_000)
            // Ascending still: what was put off before is not overtaken.
            starts[index].deadline = max(starts[index].deadline, starts[index - 1].deadline)
        }
    }

    /// Another member leads: no lease expires here. Any thread.
    public func demote() { state.withLock { $0.stopClock() } }

    // MARK: Expiry

    /// Takes up leases whose time is over, some thousands at most. To be called every 500 ms while primary.
    ///
    /// - Returns: how many were taken up, for the metric of expired leases.
    @discardableResult
    public func collectExpired(now: UInt64) -> Int {
        var taken = 0
        var isFinished = false
        while !isFinished {
            // Renewed leases are put back at their new deadline: cheap one by one, but there may be very many.
            isFinished = state.withLock { state in
                var looked = 0
                while taken < LeaseLimits.expiredPerPass, looked < 256 {
                    guard state.isPrimary, let first = state.deadlines.first, first.deadline <= now else { return true }
                    looked += 1
                    let slot = Int(first.slot)
                    let deadline = state.leases[slot].deadline
                    if deadline > now {
                        state.deadlines.set(first.slot, deadline: deadline)
                        continue
                    }
                    state.deadlines.remove(first.slot)
                    state.leases[slot].isRevoking = true
                    state.expired.append(state.leases[slot].id)
                    taken += 1
                }
                return taken == LeaseLimits.expiredPerPass
            }
        }
        return taken
    }

    /// The expired leases to propose a revoke for now: as many as may be in flight. Call it after
    /// `collectExpired` and whenever a revoke was answered; those without an answer for too long come again.
    public func takeRevokes(now: UInt64) -> [Int64] {
        state.withLock { state in
            guard state.isPrimary else { return [] }
            var ids: [Int64] = []
            for index in state.inFlight.indices where Int64(bitPattern: now &- state.inFlight[index].started &- revokeTimeoutNanoseconds) >= 0 {
                state.inFlight[index].started = now
                ids.append(state.inFlight[index].id)
            }
            while state.inFlight.count < LeaseLimits.revokesInFlightMax, let id = state.expired.popFirst() {
                // It may have been revoked by a client meanwhile, and even granted again.
                guard let slot = state.find(id), state.leases[slot].isRevoking,
                    !state.inFlight.contains(where: { $0.id == id })
                else { continue }
                state.inFlight.append(LeaseTable.RevokeInFlight(id: id, started: now))
                ids.append(id)
            }
            return ids
        }
    }

    /// The proposal to revoke a lease failed: it is made again a little later and keeps its place among those in
    /// flight, so that failures slow the whole down. Success needs no word, for `revoke` has been applied.
    public func revokeFailed(id: Int64, now: UInt64) {
        state.withLock { state in
            guard let position = state.inFlight.firstIndex(where: { $0.id == id }) else { return }
            state.inFlight[position].started = now &+ LeaseLimits.failedRevokeDelayNanoseconds &- revokeTimeoutNanoseconds
        }
    }

    /// Nanoseconds since the oldest lease expired that is not revoked yet; 0 if there is none, or another member counts.
    public func expiryLag(now: UInt64) -> UInt64 {
        state.withLock { state in
            guard state.isPrimary else { return 0 }
            var oldest = now
            for id in state.inFlight.map(\.id) + [state.expired.first].compactMap({ $0 }) {
                if let slot = state.find(id) { oldest = min(oldest, state.leases[slot].deadline) }
            }
            if let first = state.deadlines.first { oldest = min(oldest, state.leases[Int(first.slot)].deadline) }
            return now - oldest
        }
    }

    /// Expired leases that are not revoked yet.
    public var expiredCount: Int { state.withLock { $0.expired.count + $0.inFlight.count } }
}
