// What the lease store keeps in memory: a slab of leases, found by ID, and the deadlines of those that run.

import Wire

struct Lease {
    let id: Int64
    /// Granted seconds.
    var ttl: Int64
    /// Seconds left at the last checkpoint; 0: none was made.
    var remainingTTL: Int64 = 0
    /// When the lease expires, monotonic nanoseconds; `.max` while this member does not count time.
    var deadline = UInt64.max
    /// Expired and taken up for revocation.
    var isRevoking = false
    var keys = LeaseKeys()

    init(id: Int64, ttl: Int64) {
        self.id = id
        self.ttl = ttl
    }

    var record: LeaseRecord { LeaseRecord(id: id, ttl: ttl, remainingTTL: remainingTTL) }

    func isExpired(now: UInt64) -> Bool { deadline <= now }

    /// Whole seconds, cut towards zero.
    func remaining(now: UInt64) -> Int64 {
        guard deadline != .max else { return ttl }
        return (Int64(clamping: deadline) - Int64(clamping: now)) / 1_000_000_000
    }
}

struct LeaseTable {
    var leases: [Lease] = []
    private var free: [UInt32] = []
    private(set) var byID: [Int64: UInt32] = [:]

    var isPrimary = false
    /// When to look at a lease. Never after its deadline; before it if the lease was renewed since.
    var deadlines = DeadlineHeap()
    /// Expired leases that wait for a place among the revokes in flight.
    var expired = ExpiredQueue()
    var inFlight: [RevokeInFlight] = []

    struct RevokeInFlight {
        var id: Int64
        var started: UInt64
    }

    var count: Int { byID.count }

    static func nanoseconds(_ seconds: Int64) -> UInt64 { UInt64(max(seconds, 0)) &* 1_000_000_000 }

    @inline(__always)
    func find(_ id: Int64) -> Int? { byID[id].map(Int.init) }

    @discardableResult
    mutating func insert(_ lease: Lease) -> Int {
        let slot: Int
        if let reused = free.popLast() {
            slot = Int(reused)
            leases[slot] = lease
        } else {
            slot = leases.count
            leases.append(lease)
        }
        byID[lease.id] = UInt32(slot)
        return slot
    }

    /// Takes a lease out; its keys are the caller's to free.
    mutating func remove(_ id: Int64) -> LeaseKeys? {
        guard let slot = byID.removeValue(forKey: id) else { return nil }
        deadlines.remove(slot)
        if leases[Int(slot)].isRevoking { inFlight.removeAll { $0.id == id } }
        let keys = leases[Int(slot)].keys
        leases[Int(slot)] = Lease(id: 0, ttl: 0)
        free.append(slot)
        return keys
    }

    /// Lets the lease's time run.
    mutating func start(_ slot: Int, at deadline: UInt64) {
        leases[slot].deadline = deadline
        deadlines.set(UInt32(slot), deadline: deadline)
    }

    mutating func removeAll() {
        for slot in byID.values { leases[Int(slot)].keys.deallocate() }
        leases = []
        free = []
        byID = [:]
        stopClock()
    }

    /// No lease expires from now on.
    mutating func stopClock() {
        isPrimary = false
        deadlines.removeAll()
        expired = ExpiredQueue()
        inFlight = []
        for slot in byID.values {
            leases[Int(slot)].deadline = .max
            leases[Int(slot)].isRevoking = false
        }
    }

    func checkInvariants() {
        deadlines.checkInvariants()
        precondition(byID.count + free.count == leases.count)
        precondition(inFlight.count <= LeaseLimits.revokesInFlightMax)
        var running = 0
        for (id, slot) in byID {
            let lease = leases[Int(slot)]
            precondition(lease.id == id)
            lease.keys.checkInvariants()
            if let looked = deadlines.deadline(of: slot) {
                running += 1
                precondition(isPrimary && !lease.isRevoking)
                precondition(looked <= lease.deadline, "lease \(id) is looked at too late")
            } else {
                precondition(!isPrimary || lease.isRevoking, "lease \(id) would never expire")
            }
            precondition(isPrimary || lease.deadline == .max)
        }
        precondition(running == deadlines.count)
        for revoke in inFlight {
            guard let slot = byID[revoke.id] else { preconditionFailure("a revoke in flight without a lease") }
            precondition(leases[Int(slot)].isRevoking)
        }
    }
}

/// IDs in the order in which they expired.
struct ExpiredQueue {
    private var ids: [Int64] = []
    private var head = 0

    var count: Int { ids.count - head }
    var first: Int64? { head < ids.count ? ids[head] : nil }

    mutating func append(_ id: Int64) { ids.append(id) }

    mutating func popFirst() -> Int64? {
        guard head < ids.count else { return nil }
        defer {
            head += 1
            if head == ids.count || head > 4096 {
                ids.removeFirst(head)
                head = 0
            }
        }
        return ids[head]
    }
}
