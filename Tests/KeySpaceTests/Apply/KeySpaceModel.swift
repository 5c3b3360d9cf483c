// The naive model of the whole key space: a dictionary of histories, leases and alarms, and the rules of the
// API executed word by word on them.

import Wire

struct KeySpaceModel {
    /// A version; a tombstone has version 0.
    struct Version: Equatable {
        var pair: Pair
        var sub: Int64
        var isTombstone: Bool { pair.version == 0 }
    }

    struct GrantedLease: Equatable {
        var ttl: Int64
        var remaining: Int64 = 0
    }

    static let minimumTTL: Int64 = 2
    static let cluster: UInt64 = 0xc1
    static let member: UInt64 = 0x3e
    /// The term of answers.
    static let term: UInt64 = 7

    /// Versions of each key, oldest first; nothing is ever removed.
    var history: [[UInt8]: [Version]] = [:]
    /// All of them in order of their revisions.
    var changes: [Version] = []
    var revision: Int64 = 1
    var compacted: Int64 = -1
    var leases: [Int64: GrantedLease] = [:]
    /// Member and kind.
    var alarms: [[Int64]] = []
    private var sub: Int64 = 0

    var entryRevision: Int64 { sub > 0 ? revision + 1 : revision }

    // MARK: Looking

    func live(_ key: [UInt8], at revision: Int64 = .max) -> Pair? {
        guard let newest = history[key]?.last(where: { $0.pair.modified <= revision }), !newest.isTombstone else { return nil }
        return newest.pair
    }

    static func selects(_ start: [UInt8], _ end: [UInt8], _ key: [UInt8]) -> Bool {
        if end.isEmpty { return key == start }
        if key.lexicographicallyPrecedes(start) { return false }
        return end == [0] || key.lexicographicallyPrecedes(end)
    }

    func live(from start: [UInt8], to end: [UInt8], at revision: Int64 = .max) -> [Pair] {
        history.keys.filter { KeySpaceModel.selects(start, end, $0) }.sorted { $0.lexicographicallyPrecedes($1) }
            .compactMap { live($0, at: revision) }
    }

    func keys(of lease: Int64) -> [[UInt8]] { live(from: [0], to: [0]).filter { $0.lease == lease }.map(\.key) }

    // MARK: Entries

    func header(_ revision: Int64) -> Header {
        Header(cluster: KeySpaceModel.cluster, member: KeySpaceModel.member, revision: revision, term: KeySpaceModel.term)
    }

    /// Applies a request; an error leaves everything as it was.
    mutating func apply(_ request: RequestCase) throws(CallError) -> Answer {
        let before = self
        sub = 0
        do throws(CallError) {
            let answer = try execute(request)
            revision = entryRevision
            sub = 0
            return answer
        } catch {
            self = before
            throw error
        }
    }

    private func refuseUnderAlarms(growing: Bool) throws(CallError) {
        if alarms.contains(where: { $0[1] == 2 }) { throw .corrupt }
        if growing, alarms.contains(where: { $0[1] == 1 }) { throw .noSpace }
    }

    private mutating func execute(_ request: RequestCase) throws(CallError) -> Answer {
        switch request {
        case .range(let range):
            return try answer(range, header: header(entryRevision))
        case .put(let put):
            try refuseUnderAlarms(growing: true)
            try check(put)
            let previous = self.put(put)
            return .put(header(entryRevision), previous: put.wantsPrevious ? previous : nil)
        case .delete(let delete):
            try refuseUnderAlarms(growing: false)
            let removed = self.delete(delete)
            return .delete(header(entryRevision), deleted: Int64(removed.count), previous: delete.wantsPrevious ? removed : [])
        case .txn(let txn):
            try refuseUnderAlarms(growing: txn.cost > 0)
            let (succeeded, answers) = try run(txn)
            return .txn(header(entryRevision), succeeded: succeeded, answers)
        case .compact(let target, _):
            try refuseUnderAlarms(growing: false)
            if target <= compacted { throw .compacted }
            if target > revision { throw .futureRevision }
            compacted = target
            return .bare(header(revision))
        case .grant(let id, let ttl):
            try refuseUnderAlarms(growing: true)
            if id == 0 { throw .leaseNotFound }
            if ttl > 9_000_000_000 { throw .leaseTTLTooLarge }
            if leases[id] != nil { throw .leaseExists }
            let granted = max(ttl, KeySpaceModel.minimumTTL)
            leases[id] = GrantedLease(ttl: granted)
            return .grant(header(revision), id: id, ttl: granted)
        case .revoke(let id):
            try refuseUnderAlarms(growing: false)
            guard leases[id] != nil else { throw .leaseNotFound }
            for key in keys(of: id) { _ = delete(DeleteCase(key: key)) }
            leases[id] = nil
            return .bare(header(entryRevision))
        case .checkpoint(let checkpoints):
            for checkpoint in checkpoints { leases[checkpoint.id]?.remaining = checkpoint.remaining }
            return .bare(header(revision))
        case .alarm(let action, let member, let kind):
            return .alarms(header(revision), alarm(action, member, kind))
        }
    }

    private mutating func alarm(_ action: Int64, _ member: Int64, _ kind: Int64) -> [[Int64]] {
        switch action {
        case 0:
            return sortedAlarms.filter { kind == 0 || $0[1] == kind }
        case 1:
            if kind == 0 { return [] }
            if !alarms.contains([member, kind]) { alarms.append([member, kind]) }
            return [[member, kind]]
        default:
            guard alarms.contains([member, kind]) else { return [] }
            alarms.removeAll { $0 == [member, kind] }
            return [[member, kind]]
        }
    }

    /// By kind, then by member.
    var sortedAlarms: [[Int64]] {
        alarms.sorted { ($0[1], UInt64(bitPattern: $0[0])) < ($1[1], UInt64(bitPattern: $1[0])) }
    }

    // MARK: Writes

    func check(_ put: PutCase) throws(CallError) {
        if put.lease != 0, leases[put.lease] == nil { throw .leaseNotFound }
        if put.ignoreValue || put.ignoreLease, live(put.key) == nil { throw .keyNotFound }
    }

    mutating func put(_ put: PutCase) -> Pair? {
        let old = live(put.key)
        let pair = Pair(
            key: put.key, created: old?.created ?? revision + 1, modified: revision + 1, version: (old?.version ?? 0) + 1,
            value: put.ignoreValue ? old?.value ?? [] : put.value, lease: put.ignoreLease ? old?.lease ?? 0 : put.lease)
        append(Version(pair: pair, sub: sub))
        return old
    }

    mutating func delete(_ delete: DeleteCase) -> [Pair] {
        let doomed = live(from: delete.key, to: delete.end)
        for pair in doomed { append(Version(pair: Pair(key: pair.key, modified: revision + 1), sub: sub)) }
        return doomed
    }

    private mutating func append(_ version: Version) {
        history[version.pair.key, default: []].append(version)
        changes.append(version)
        sub += 1
    }

    // MARK: Ranges

    func answer(_ range: RangeCase, header: Header) throws(CallError) -> Answer {
        let current = entryRevision
        let at = range.revision <= 0 ? current : range.revision
        if at > current { throw .futureRevision }
        if at < compacted { throw .compacted }
        var pairs = live(from: range.key, to: range.end, at: at)
        let count = Int64(pairs.count)
        if range.countOnly { return .range(header, pairs: [], more: false, count: count) }
        let isFiltered =
            range.maximumModified != 0 || range.minimumModified != 0 || range.maximumCreated != 0 || range.minimumCreated != 0
        if range.order == 0, range.limit > 0, !isFiltered { pairs = Array(pairs.prefix(Int(range.limit.advanced(by: range.limit == .max ? 0 : 1)))) }
        if range.maximumModified != 0 { pairs.removeAll { $0.modified > range.maximumModified } }
        if range.minimumModified != 0 { pairs.removeAll { $0.modified < range.minimumModified } }
        if range.maximumCreated != 0 { pairs.removeAll { $0.created > range.maximumCreated } }
        if range.minimumCreated != 0 { pairs.removeAll { $0.created < range.minimumCreated } }
        if range.order != 0 || range.target != 0 {
            pairs.sort { KeySpaceModel.precedes($0, $1, range.target) }
            if range.order == 2 { pairs.reverse() }
        }
        let more = range.limit > 0 && pairs.count > Int(range.limit)
        if more { pairs = Array(pairs.prefix(Int(range.limit))) }
        if range.keysOnly {
            for index in pairs.indices {
                pairs[index].value = []
                if range.target != 4 { pairs[index].lease = 0 }
            }
        }
        return .range(header, pairs: pairs, more: more, count: count)
    }

    static func precedes(_ a: Pair, _ b: Pair, _ target: Int64) -> Bool {
        switch target {
        case 1: a.version < b.version
        case 2: a.created < b.created
        case 3: a.modified < b.modified
        case 4: a.value.lexicographicallyPrecedes(b.value)
        default: a.key.lexicographicallyPrecedes(b.key)
        }
    }
}
