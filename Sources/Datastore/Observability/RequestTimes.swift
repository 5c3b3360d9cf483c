// How long requests take: etcd's histograms of applies, ranges and whole requests.

import DatastoreMetrics
import KeySpace
import Wire

/// What is noted of each read that an event loop serves. Belongs to that loop; trivial and kept as long as the process, so that
/// using it counts no references.
struct LoopReadings {
    let traffic: ResourceTraffic
    private let range: LocalRecorder
    private let rangeRequest: LocalRecorder
    private let transactionRequest: LocalRecorder
    private let ranges: LocalCells
    /// When the last read was answered: the next one of the same batch began then.
    var lastEnd: UInt64 = 0

    init(_ traffic: ResourceTraffic, _ metrics: NodeMetrics) {
        self.traffic = traffic
        let server = metrics.server
        let all = [
            LocalHistogram(server.rangeDuration.lazy("true"), buckets: .tenthMilliseconds20),
            LocalHistogram(server.requestDuration.lazy("Range", "true"), buckets: .milliseconds14),
            LocalHistogram(server.requestDuration.lazy("ReadonlyTxn", "true"), buckets: .milliseconds14),
        ]
        (range, rangeRequest, transactionRequest) = (all[0].recorder, all[1].recorder, all[2].recorder)
        let counted = LocalCounters([metrics.mvcc.ranges])
        ranges = counted.cells
        metrics.registry.beforeScrape {
            for one in all { one.tell() }
            counted.tell()
        }
    }

    /// Counts ranges that were evaluated.
    @inline(__always)
    func count(ranges count: Int) { ranges.add(UInt64(count), to: 0) }

    /// A range was answered.
    @inline(__always)
    func rangeEnded(_ read: AnsweredRead) {
        range.observe(nanoseconds: read.ended &- read.began)
        rangeRequest.observe(nanoseconds: read.ended &- read.came)
    }

    /// A transaction that only reads was answered.
    @inline(__always)
    func transactionEnded(nanoseconds: UInt64) { transactionRequest.observe(nanoseconds: nanoseconds) }
}

/// Times of requests that are applied. Belongs to the consensus thread.
final class ApplyTimes {
    private let applies: [LocalRecorder]
    private let requests: [LocalRecorder]

    init(_ server: ServerMetrics, _ registry: Registry) {
        let kinds = InternalRequestKind.counted
        let applies = kinds.flatMap { kind in
            ["true", "false"].map { LocalHistogram(server.applyDuration.lazy("v3", kind.name, $0), buckets: .tenthMilliseconds20) }
        }
        let requests = kinds.flatMap { kind in
            ["true", "false"].map { LocalHistogram(server.requestDuration.lazy(kind.name, $0), buckets: .milliseconds14) }
        }
        self.applies = applies.map(\.recorder)
        self.requests = requests.map(\.recorder)
        let all = applies + requests
        registry.beforeScrape { for one in all { one.tell() } }
    }

    /// - Parameter waited: nanoseconds since the request was admitted here; nil if it came from elsewhere.
    func observe(_ kind: InternalRequestKind?, succeeded: Bool, took: UInt64, waited: UInt64?) {
        guard let position = kind?.countedPosition else { return }
        let index = 2 * position + (succeeded ? 0 : 1)
        applies[index].observe(nanoseconds: took)
        if let waited { requests[index].observe(nanoseconds: waited) }
    }
}

extension InternalRequestKind {
    /// Kinds by position; a binary search is not worth it for the first few, which are nearly all.
    fileprivate static let counted: [InternalRequestKind] = [
        .put, .txn, .deleteRange, .range, .compaction, .leaseGrant, .leaseRevoke, .leaseCheckpoint, .alarm, .authEnable,
        .authDisable, .authenticate, .authStatus, .authUserAdd, .authUserDelete, .authUserGet, .authUserChangePassword,
        .authUserGrantRole, .authUserRevokeRole, .authUserList, .authRoleList, .authRoleAdd, .authRoleDelete, .authRoleGet,
        .authRoleGrantPermission, .authRoleRevokePermission, .clusterVersionSet, .memberAttributesSet, .downgradeInfoSet,
    ]

    @inline(__always)
    fileprivate var countedPosition: Int? {
        switch self {
        case .put: 0
        case .txn: 1
        case .deleteRange: 2
        case .downgradeVersionTest: nil
        default: Self.counted.firstIndex(of: self)
        }
    }

    /// As the label `op` names it.
    fileprivate var name: String {
        if self == .memberAttributesSet { return "ClusterMemberAttrSet" }
        let text = "\(self)"
        return text.prefix(1).uppercased() + text.dropFirst()
    }
}

extension LoopContext {
    func rangeFailed(since began: UInt64) {
        let took = monotonicNow() &- began
        metrics.server.rangeDuration.series("false").observe(nanoseconds: took)
        metrics.server.requestDuration.series("Range", "false").observe(nanoseconds: took)
    }
}
