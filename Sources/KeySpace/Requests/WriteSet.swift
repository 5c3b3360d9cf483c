// What a branch of a transaction writes, for the overlap rules: keys put, intervals deleted.

import Wire

/// Keys put and intervals deleted.
struct WriteSet {
    private(set) var puts: Set<[UInt8]> = []
    private var deletes = IntervalSet()

    mutating func put(_ key: [UInt8]) { puts.insert(key) }

    /// Adds the deletes of one list of operations.
    mutating func delete(_ requests: [DeleteRangeRequest]) {
        deletes.insert(
            requests.map { delete in
                let start = [UInt8](delete.key)
                // A range end of one zero byte is taken literally here, as etcd does: the interval is then empty.
                return IntervalSet.Interval(start: start, end: delete.rangeEnd.isEmpty ? start + [0] : [UInt8](delete.rangeEnd))
            })
    }

    /// Whether a put of this key would meet another write.
    func contains(_ key: [UInt8]) -> Bool { puts.contains(key) || deletes.contains(key) }

    /// Whether a put of the other set would meet a write of this one.
    func overlapsPuts(of other: WriteSet) -> Bool {
        let (fewer, more) = puts.count < other.puts.count ? (puts, other.puts) : (other.puts, puts)
        if fewer.contains(where: more.contains) { return true }
        return !deletes.isEmpty && other.puts.contains(where: deletes.contains)
    }

    mutating func formUnion(_ other: consuming WriteSet) {
        if puts.count < other.puts.count { swap(&puts, &other.puts) }
        puts.formUnion(other.puts)
        deletes.formUnion(other.deletes)
    }
}

/// A union of half-open key intervals that grows. Kept as sorted runs, each more than twice as long as the
/// next, so that growing by n intervals and looking n keys up costs O(n log² n) however they come: a
/// transaction of a megabyte holds tens of thousands of each.
struct IntervalSet {
    struct Interval {
        var start: [UInt8]
        var end: [UInt8]
    }

    /// Within a run intervals are sorted, disjoint and not empty.
    private var runs: [[Interval]] = []

    var isEmpty: Bool { runs.isEmpty }

    mutating func insert(_ intervals: [Interval]) {
        let proper = intervals.filter { $0.start.lexicographicallyPrecedes($0.end) }
        add(Self.joined(proper.sorted { $0.start.lexicographicallyPrecedes($1.start) }))
    }

    mutating func formUnion(_ other: consuming IntervalSet) {
        if (runs.first?.count ?? 0) < (other.runs.first?.count ?? 0) { swap(&runs, &other.runs) }
        for run in other.runs.reversed() { add(run) }
    }

    func contains(_ key: [UInt8]) -> Bool {
        runs.contains { run in
            // The last interval that starts at or before the key.
            var low = 0
            var high = run.count
            while low < high {
                let middle = (low + high) / 2
                if key.lexicographicallyPrecedes(run[middle].start) { high = middle } else { low = middle + 1 }
            }
            return low > 0 && key.lexicographicallyPrecedes(run[low - 1].end)
        }
    }

    private mutating func add(_ run: [Interval]) {
        guard !run.isEmpty else { return }
        var run = run
        while let last = runs.last, last.count <= 2 * run.count {
            runs.removeLast()
            run = Self.merged(last, run)
        }
        runs.append(run)
    }

    private static func merged(_ a: [Interval], _ b: [Interval]) -> [Interval] {
        var sorted: [Interval] = []
        sorted.reserveCapacity(a.count + b.count)
        var (i, j) = (0, 0)
        while i < a.count || j < b.count {
            if j == b.count || i < a.count && a[i].start.lexicographicallyPrecedes(b[j].start) {
                sorted.append(a[i])
                i += 1
            } else {
                sorted.append(b[j])
                j += 1
            }
        }
        return joined(sorted)
    }

    /// Makes sorted intervals disjoint.
    private static func joined(_ sorted: [Interval]) -> [Interval] {
        var result: [Interval] = []
        result.reserveCapacity(sorted.count)
        for interval in sorted {
            if let last = result.indices.last, !result[last].end.lexicographicallyPrecedes(interval.start) {
                if result[last].end.lexicographicallyPrecedes(interval.end) { result[last].end = interval.end }
            } else {
                result.append(interval)
            }
        }
        return result
    }
}
