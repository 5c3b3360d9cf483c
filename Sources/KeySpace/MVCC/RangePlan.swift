// What a range request asks for, worked out once: the rules of limit, order and filters.

import Wire

/// A range request as the store takes it: the message itself, whose views the store copies where it must.
public typealias RangeQuery = RangeRequest

/// The request's rules in the form in which a walk over the keys applies them.
struct RangePlan {
    enum Order {
        /// As the index has it.
        case natural
        case byKeyDescending
        case by(SortTarget, descending: Bool)
    }

    enum SortTarget {
        case version, created, modified, value
    }

    enum Content {
        /// The stored record, byte for byte.
        case stored
        /// Made from the index: no value and no lease.
        case keysOnly
        /// `keys_only` of an order by value, which etcd answers from the records: no value, but the lease.
        case keysAndLease
    }

    /// Keys in the answer at most; nil: all.
    let limit: Int?
    /// Keys that take part before sorting, in key order; nil: all.
    let candidates: Int?
    let order: Order
    let content: Content
    let countOnly: Bool
    let hasFilters: Bool
    private let maximumModified: Int64
    private let minimumModified: Int64
    private let maximumCreated: Int64
    private let minimumCreated: Int64

    init(_ query: RangeQuery) {
        limit = query.limit > 0 ? Int(query.limit) : nil
        countOnly = query.countOnly
        maximumModified = query.maxModRevision
        minimumModified = query.minModRevision
        maximumCreated = query.maxCreateRevision
        minimumCreated = query.minCreateRevision
        hasFilters =
            query.maxModRevision != 0 || query.minModRevision != 0 || query.maxCreateRevision != 0
            || query.minCreateRevision != 0
        let descending = query.sortOrder == 2
        switch query.sortTarget {
        case 1: order = .by(.version, descending: descending)
        case 2: order = .by(.created, descending: descending)
        case 3: order = .by(.modified, descending: descending)
        case 4: order = .by(.value, descending: descending)
        default: order = descending ? .byKeyDescending : .natural
        }
        content = !query.keysOnly ? .stored : query.sortTarget == 4 ? .keysAndLease : .keysOnly
        // Without an explicit order the first limit + 1 keys are all that a sort by another target ever sees;
        // one more than the limit tells whether there is more.
        let readsAll: Bool
        if case .natural = order { readsAll = hasFilters } else { readsAll = hasFilters || query.sortOrder != 0 }
        candidates = readsAll ? nil : limit.map { $0 == .max ? $0 : $0 + 1 }
    }

    @inline(__always)
    func passes(_ record: UnsafeMutablePointer<VersionRecord>) -> Bool {
        guard hasFilters else { return true }
        let modified = record.pointee.main
        let created = record.pointee.created
        return !(maximumModified != 0 && modified > maximumModified)
            && !(minimumModified != 0 && modified < minimumModified)
            && !(maximumCreated != 0 && created > maximumCreated)
            && !(minimumCreated != 0 && created < minimumCreated)
    }

    /// Encoded length of a version as one element of the answer's `kvs`.
    @inline(__always)
    func elementLength(_ record: UnsafeMutablePointer<VersionRecord>) -> Int {
        lengthDelimitedSize(bodyLength(record))
    }

    @inline(__always)
    func bodyLength(_ record: UnsafeMutablePointer<VersionRecord>) -> Int {
        switch content {
        case .stored: Int(record.pointee.location.length)
        case .keysOnly: KeyHeader.length(record, lease: 0)
        case .keysAndLease: KeyHeader.length(record, lease: record.pointee.lease)
        }
    }
}

/// A `KeyValue` without its value, made from what the index knows.
enum KeyHeader {
    static func length(_ record: UnsafeMutablePointer<VersionRecord>, lease: Int64) -> Int {
        lengthDelimitedSize(record.pointee.key.length) + varintFieldSize(UInt64(bitPattern: record.pointee.created))
            + varintFieldSize(UInt64(bitPattern: record.pointee.main))
            + varintFieldSize(UInt64(bitPattern: record.pointee.version)) + varintFieldSize(UInt64(bitPattern: lease))
    }

    static func encode(_ record: UnsafeMutablePointer<VersionRecord>, lease: Int64, into sink: ByteSink) {
        sink.field(1, record.pointee.key.bytes)
        sink.field(2, record.pointee.created)
        sink.field(3, record.pointee.main)
        sink.field(4, record.pointee.version)
        sink.field(6, lease)
    }
}
