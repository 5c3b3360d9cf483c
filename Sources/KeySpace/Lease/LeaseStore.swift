// Leases: what is replicated of them, changed by the apply thread alone. Their clock runs only on the leader
// and stands in LeaseStore+Expiry.swift. docs/lease.md tells the rules.

import CShims
import Synchronization
import Wire

/// All leases of the cluster.
///
/// The apply thread grants, revokes, attaches; event loops renew and ask; a timer collects what has expired.
/// They meet at one mutex: a keep-alive must see a grant as soon as it is applied, every hold is some tens of
/// nanoseconds, and longer work is done outside or in pieces.
public final class LeaseStore: Sendable {
    /// The key of a lease in the store's metadata: its ID, big-endian.
    public static func key(_ id: Int64) -> [UInt8] {
        withUnsafeBytes(of: id.bigEndian) { [UInt8]($0) }
    }

    /// Shorter TTLs are raised to this, in seconds.
    public let minimumTTL: Int64
    /// A revoke that has no answer after this is proposed again.
    let revokeTimeoutNanoseconds: UInt64
    let clock: @Sendable () -> UInt64
    let state: Mutex<LeaseTable>

    /// - Parameters:
    ///   - minimumTTL: seconds; etcd: election ticks × 3 / 2 × heartbeat, rounded up.
    ///   - revokeTimeoutNanoseconds: the server's request timeout.
    ///   - clock: monotonic nanoseconds.
    public init(
        minimumTTL: Int64, revokeTimeoutNanoseconds: UInt64 = 7_000_000_000,
        clock: @escaping @Sendable () -> UInt64 = { martlet_monotonic_ns() }
    ) {
        self.minimumTTL = minimumTTL
        self.revokeTimeoutNanoseconds = revokeTimeoutNanoseconds
        self.clock = clock
        state = Mutex(LeaseTable())
    }

    deinit { state.withLock { $0.removeAll() } }

    // MARK: Apply thread

    /// Grants a lease; returns its TTL, which may be longer than asked for.
    public func grant(id: Int64, ttl: Int64) throws(CallError) -> Int64 {
        guard id != 0 else { throw .leaseNotFound }
        guard ttl <= LeaseLimits.ttlMax else { throw .leaseTTLTooLarge }
        let granted = max(ttl, minimumTTL)
        let isNew = state.withLock { state in
            guard state.find(id) == nil else { return false }
            let slot = state.insert(Lease(id: id, ttl: granted))
            if state.isPrimary { state.start(slot, at: clock() &+ LeaseTable.nanoseconds(granted)) }
            return true
        }
        guard isNew else { throw .leaseExists }
        return granted
    }

    /// Ends a lease; returns its keys in byte order, to be deleted by the caller.
    public func revoke(id: Int64) throws(CallError) -> [[UInt8]] {
        // Nobody else can reach the keys once the lease is out of the table, so they are copied outside the lock.
        guard let keys = state.withLock({ $0.remove(id) }) else { throw .leaseNotFound }
        defer { keys.deallocate() }
        return keys.sorted()
    }

    /// A put has given this lease to the key. The lease exists: puts are checked before.
    public func attach(key: UnsafeRawBufferPointer, to id: Int64) {
        // Does not leave the closure.
        nonisolated(unsafe) let key = key
        state.withLock { state in
            guard let slot = state.find(id) else { return }
            _ = state.leases[slot].keys.insert(key)
        }
    }

    /// The key has another lease now, or none, or is gone.
    public func detach(key: UnsafeRawBufferPointer, from id: Int64) {
        nonisolated(unsafe) let key = key
        state.withLock { state in
            guard let slot = state.find(id) else { return }
            _ = state.leases[slot].keys.remove(key)
        }
    }

    /// Remembers what the leader says is left of a lease, 0 for "all of it"; false if there is no such lease.
    public func checkpoint(id: Int64, remainingTTL: Int64) -> Bool {
        state.withLock { state in
            guard let slot = state.find(id) else { return false }
            state.leases[slot].remainingTTL = remainingTTL
            return true
        }
    }

    // MARK: Stored form

    /// What is stored of a lease: leasepb.Lease.
    public func record(_ id: Int64) -> [UInt8]? {
        let found = state.withLock { state in state.find(id).map { state.leases[$0].record } }
        guard let found else { return nil }
        let sink = ByteSink(capacity: 32)
        found.encode(to: sink)
        return sink.array()
    }

    /// Brings back a stored lease. Its keys are attached afterwards, from the live versions' leases.
    public func restore(_ bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        let record = try LeaseRecord(decoding: bytes)
        state.withLock { state in
            if let slot = state.find(record.id) {
                state.leases[slot].ttl = max(record.ttl, minimumTTL)
                state.leases[slot].remainingTTL = record.remainingTTL
                return
            }
            var lease = Lease(id: record.id, ttl: max(record.ttl, minimumTTL))
            lease.remainingTTL = record.remainingTTL
            state.insert(lease)
        }
    }

    /// Forgets everything: a snapshot replaces it.
    public func removeAll() { state.withLock { $0.removeAll() } }

    // MARK: Questions, any thread

    public var count: Int { state.withLock { $0.count } }

    public func contains(_ id: Int64) -> Bool { state.withLock { $0.find(id) != nil } }

    /// The keys of a lease, in no order; nil if it is unknown.
    public func keys(of id: Int64) -> [[UInt8]]? {
        state.withLock { state in
            guard let slot = state.find(id) else { return nil }
            var keys: [[UInt8]] = []
            keys.reserveCapacity(state.leases[slot].keys.count)
            state.leases[slot].keys.forEach { keys.append([UInt8]($0)) }
            return keys
        }
    }

    /// What a lease is, or nil if it is unknown.
    public func timeToLive(id: Int64, wantsKeys: Bool, now: UInt64) -> LeaseStatus? {
        state.withLock { state in
            guard let slot = state.find(id) else { return nil }
            let lease = state.leases[slot]
            var status = LeaseStatus(granted: lease.ttl, remaining: lease.remaining(now: now), keys: [])
            if wantsKeys { lease.keys.forEach { status.keys.append([UInt8]($0)) } }
            return status
        }
    }

    /// All leases; the first to expire comes first while this member is the primary.
    public func list() -> [Int64] {
        var (all, isPrimary) = state.withLock { state in
            (state.byID.map { (id: $0.key, deadline: state.leases[Int($0.value)].deadline) }, state.isPrimary)
        }
        if isPrimary { all.sort { $0.deadline < $1.deadline } }
        return all.map(\.id)
    }

    /// Walks everything and stops the program at a broken promise. For tests.
    public func checkInvariants() { state.withLock { $0.checkInvariants() } }
}

/// Answer to "how long does this lease live?".
public struct LeaseStatus: Sendable, Equatable {
    /// Seconds.
    public var granted: Int64
    /// Whole seconds left, cut off; zero or negative for a lease that has expired and is not yet revoked. On a
    /// member that is not the primary: the granted time.
    public var remaining: Int64
    public var keys: [[UInt8]]
}
