// What apply counts. Handles are resolved once; counting is an atomic add each.

import DatastoreMetrics
import Wire

/// Operations of one applied request.
struct AppliedWork {
    var puts = 0
    var deletes = 0
    var ranges = 0
    var putBytes = 0
}

/// The families that the apply function moves.
public struct ApplyMetrics: Sendable {
    let mvcc: MVCCMetrics
    let lease: LeaseMetrics
    let server: ServerMetrics

    public init(mvcc: MVCCMetrics, lease: LeaseMetrics, server: ServerMetrics) {
        self.mvcc = mvcc
        self.lease = lease
        self.server = server
    }

    func count(_ work: AppliedWork) {
        if work.puts > 0 {
            mvcc.puts.add(work.puts)
            mvcc.putBytes.add(work.putBytes)
        }
        if work.deletes > 0 { mvcc.deletes.add(work.deletes) }
        if work.ranges > 0 { mvcc.ranges.add(work.ranges) }
        if work.puts + work.deletes + work.ranges > 1 { mvcc.transactions.increment() }
    }

    func granted(ttl: Int64) {
        lease.granted.increment()
        lease.timeToLive.observe(UInt64(max(0, ttl)))
    }

    func alarm(_ alarm: AlarmMember, isOn: Bool) {
        server.alarms.series(alarm.member.description, alarm.alarm.name).add(isOn ? 1 : -1 as Int64)
    }
}
