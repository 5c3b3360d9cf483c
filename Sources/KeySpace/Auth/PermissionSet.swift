// What a user may read and write: the intervals of all roles, merged, so that a check is one binary search.

import Wire

/// Half-open intervals of keys, disjoint, not touching, in ascending order.
struct PermittedKeys: Sendable, Equatable {
    struct Interval: Sendable, Equatable {
        var begin: [UInt8]
        /// Nil: no end.
        var end: [UInt8]?
    }

    private(set) var intervals: [Interval] = []

    /// Merges intervals that overlap or touch.
    init(_ unsorted: [Interval]) {
        for interval in unsorted.sorted(by: { $0.begin.lexicographicallyPrecedes($1.begin) }) {
            if let end = interval.end, !interval.begin.lexicographicallyPrecedes(end) { continue }
            guard let last = intervals.last else {
                intervals.append(interval)
                continue
            }
            guard let lastEnd = last.end else { break }
            if lastEnd.lexicographicallyPrecedes(interval.begin) {
                intervals.append(interval)
            } else if let end = interval.end {
                if lastEnd.lexicographicallyPrecedes(end) { intervals[intervals.count - 1].end = end }
            } else {
                intervals[intervals.count - 1].end = nil
            }
        }
    }

    /// Whether one interval covers `[key, end)`; `end` nil: everything from `key` on.
    private func covers(_ key: UnsafeRawBufferPointer, endsBefore isCovered: (Interval) -> Bool) -> Bool {
        var low = 0
        var high = intervals.count
        // The last interval that begins at the key or before.
        while low < high {
            let middle = (low + high) / 2
            let isAfter = intervals[middle].begin.withUnsafeBytes { compareKeys($0, key) > 0 }
            if isAfter { high = middle } else { low = middle + 1 }
        }
        guard low > 0 else { return false }
        let interval = intervals[low - 1]
        guard let end = interval.end else { return true }
        return end.withUnsafeBytes { compareKeys(key, $0) < 0 } && isCovered(interval)
    }

    /// - Parameter rangeEnd: as in a request: empty is one key, one zero byte is no end.
    func covers(key: UnsafeRawBufferPointer, rangeEnd: UnsafeRawBufferPointer) -> Bool {
        if rangeEnd.isEmpty { return covers(key) { _ in true } }
        if rangeEnd.count == 1, rangeEnd[0] == 0 { return covers(key) { $0.end == nil } }
        return covers(key) { interval in
            guard let end = interval.end else { return true }
            return end.withUnsafeBytes { compareKeys(rangeEnd, $0) <= 0 }
        }
    }
}

/// What one user may do with keys.
struct PermissionSet: Sendable, Equatable {
    let read: PermittedKeys
    let write: PermittedKeys

    init(_ permissions: some Sequence<Permission>) {
        var read: [PermittedKeys.Interval] = []
        var write: [PermittedKeys.Interval] = []
        for permission in permissions {
            let interval = PermittedKeys.Interval(permission)
            if permission.kind != .write { read.append(interval) }
            if permission.kind != .read { write.append(interval) }
        }
        self.read = PermittedKeys(read)
        self.write = PermittedKeys(write)
    }
}

extension PermittedKeys.Interval {
    /// One key is the interval up to the key's successor.
    init(_ permission: Permission) {
        begin = permission.key
        if permission.rangeEnd.isEmpty {
            end = permission.key + [0]
        } else if permission.rangeEnd == [0] {
            end = nil
        } else {
            end = permission.rangeEnd
        }
    }
}
