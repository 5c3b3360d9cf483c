// A range request that owns its bytes, and the model's answer to it.

import Wire

@testable import KeySpace

struct RangeShape {
    var key: [UInt8] = []
    var end: [UInt8] = []
    var limit: Int64 = 0
    var revision: Int64 = 0
    var sortOrder: Int32 = 0
    var sortTarget: Int32 = 0
    var keysOnly = false
    var countOnly = false
    var minimumModified: Int64 = 0
    var maximumModified: Int64 = 0
    var minimumCreated: Int64 = 0
    var maximumCreated: Int64 = 0

    func withQuery(_ body: (RangeQuery, RangeShape) -> Void) {
        key.withUnsafeBytes { key in
            end.withUnsafeBytes { end in
                var query = RangeQuery()
                query.key = key
                query.rangeEnd = end
                query.limit = limit
                query.revision = revision
                query.sortOrder = sortOrder
                query.sortTarget = sortTarget
                query.keysOnly = keysOnly
                query.countOnly = countOnly
                query.minModRevision = minimumModified
                query.maxModRevision = maximumModified
                query.minCreateRevision = minimumCreated
                query.maxCreateRevision = maximumCreated
                body(query, self)
            }
        }
    }
}

extension StoreModel {
    struct Answer {
        var revision: Int64
        var count: Int64
        var more: Bool
        var bytes: [UInt8]
    }

    /// The rules of a range as the API documents them, on lists.
    func answer(_ shape: RangeShape, inEntry: Bool) throws(CallError) -> Answer {
        let current = inEntry ? entryRevision : revision
        let main = shape.revision <= 0 ? current : shape.revision
        if main > current { throw .futureRevision }
        if main < compacted { throw .compacted }
        var versions = range(shape.key, shape.end, at: main)
        let count = Int64(versions.count)
        if shape.countOnly {
            return Answer(revision: current, count: count, more: false, bytes: Version.trailer(more: false, count: versions.count))
        }
        let filtered =
            shape.maximumModified != 0 || shape.minimumModified != 0 || shape.maximumCreated != 0 || shape.minimumCreated != 0
        if shape.sortOrder == 0, !filtered, shape.limit > 0 { versions = Array(versions.prefix(Int(shape.limit) + 1)) }
        if shape.maximumModified != 0 { versions.removeAll { $0.main > shape.maximumModified } }
        if shape.minimumModified != 0 { versions.removeAll { $0.main < shape.minimumModified } }
        if shape.maximumCreated != 0 { versions.removeAll { $0.created > shape.maximumCreated } }
        if shape.minimumCreated != 0 { versions.removeAll { $0.created < shape.minimumCreated } }
        let descending = shape.sortOrder == 2
        /// Equals stay in the order of their keys, ascending or not.
        func sort(_ precedes: (Version, Version) -> Bool) {
            versions = versions.enumerated().sorted { one, two in
                let (first, second) = descending ? (two.element, one.element) : (one.element, two.element)
                if precedes(first, second) { return true }
                return !precedes(second, first) && one.offset < two.offset
            }.map(\.element)
        }
        switch shape.sortTarget {
        case 1: sort { $0.version < $1.version }
        case 2: sort { $0.created < $1.created }
        case 3: sort { $0.main < $1.main }
        case 4: sort { $0.value.lexicographicallyPrecedes($1.value) }
        default: if descending { versions.reverse() }
        }
        var more = false
        if shape.limit > 0, versions.count > Int(shape.limit) {
            versions.removeLast(versions.count - Int(shape.limit))
            more = true
        }
        var bytes: [UInt8] = []
        for version in versions {
            if shape.keysOnly {
                bytes += version.asElement(value: [], lease: shape.sortTarget == 4 ? version.lease : 0)
            } else {
                bytes += version.asElement
            }
        }
        return Answer(revision: current, count: count, more: more, bytes: bytes + Version.trailer(more: more, count: Int(count)))
    }
}
