// What each key is at a revision, in the order of keys, from a store that is in the order of revisions.

import Wire

/// What a store knows of one key at a revision.
public struct KeyState {
    /// The last change.
    public var latest: RecordPlace
    public var created: Int64
    public var version: Int64
    public var lease: Int64
    public var valueBytes = 0
    /// Revisions that are kept, deletes included.
    public var revisions = 0
    /// Bytes of the keys and values of these.
    public var keyBytesOfAll = 0
    public var valueBytesOfAll = 0

    public var isLive: Bool { !latest.isTombstone }

    init(_ revision: StoredRevision) {
        latest = revision.place
        created = revision.created
        version = revision.version
        lease = revision.lease
    }

    mutating func take(_ revision: StoredRevision, compacted: Int64) {
        if revision.main <= compacted {
            // What a compaction supersedes is not the store's any more, even if its space is not reclaimed yet.
            revisions = 0
            keyBytesOfAll = 0
            valueBytesOfAll = 0
        }
        latest = revision.place
        created = revision.created
        version = revision.version
        lease = revision.lease
        valueBytes = revision.value.count
        // A delete that is compacted is not a revision that anybody can ask for.
        guard !revision.isTombstone || revision.main > compacted else { return }
        revisions += 1
        keyBytesOfAll += revision.key.count
        valueBytesOfAll += revision.value.count
    }
}

public struct KeyStates {
    public let source: any RevisionSource
    /// Later changes are left out.
    public let revision: Int64
    public let range: KeySpan
    private let needsHistory: Bool
    private let keysMax: Int

    /// - Parameters:
    ///   - revision: 0: the last one.
    ///   - needsHistory: false: how many revisions there are of a key, and their bytes, is not asked for.
    /// - Throws: for a revision that is compacted, or not reached yet.
    public init(
        _ source: any RevisionSource, at revision: Int64 = 0, in range: KeySpan = KeySpan(), needsHistory: Bool = true, keysMax: Int = ArchiveLimits.keysPerPass
    ) throws(ArchiveError) {
        try KeyStates.check(source, revision)
        self.source = source
        self.revision = revision == 0 ? source.revision : revision
        self.range = range
        self.needsHistory = needsHistory
        self.keysMax = keysMax
    }

    /// Whether a revision can be asked for; in etcd's words.
    public static func check(_ source: any RevisionSource, _ revision: Int64) throws(ArchiveError) {
        guard revision >= 0 else { throw ArchiveError("a revision is not negative") }
        if revision > source.revision { throw ArchiveError("required revision is a future revision: the last one is \(source.revision)") }
        if revision > 0, revision < source.compacted { throw ArchiveError("required revision has been compacted: the first one is \(source.compacted)") }
    }

    /// Reads the keys from `low` on as far as memory allows.
    func window(from low: [UInt8]) throws -> KeyTable<KeyState> {
        let table = KeyTable<KeyState>(KeySpan(low: low, high: range.high), keysMax: keysMax)
        try source.forEach(ReadScope(table.range, at: revision, needsHistory: needsHistory)) { change in
            guard change.main <= revision else { return false }
            table.update(change.key, initial: KeyState(change)) { $0.take(change, compacted: source.compacted) }
            return true
        }
        return table
    }

    /// Reads what a key was.
    public func read(_ state: KeyState, of key: UnsafeRawBufferPointer, _ body: (StoredRevision) throws -> Void) throws {
        try source.read(state.latest, of: key, at: revision, body)
    }

    /// Visits keys that have revisions, deleted ones too, in byte order.
    public func forEach(_ body: (_ key: UnsafeRawBufferPointer, KeyState) throws -> Void) throws {
        var low = range.low
        while true {
            let table = try window(from: low)
            try table.forEachSorted { key, state in if state.isLive || state.revisions > 0 { try body(key, state) } }
            guard let high = table.range.high, high != range.high else { return }
            low = high
        }
    }

    /// Visits the keys of two stores together, in byte order.
    public static func forEachPair(
        _ a: KeyStates, _ b: KeyStates,
        _ body: (_ key: UnsafeRawBufferPointer, KeyState?, KeyState?) throws -> Void
    ) throws {
        precondition(a.range == b.range)
        var low = a.range.low
        while true {
            let first = try a.window(from: low)
            let second = try b.window(from: low)
            // Both as far as the shorter of the two reaches.
            if let high = first.range.high { second.cut(at: high) }
            if let high = second.range.high { first.cut(at: high) }
            try merge(first, second, body)
            guard let high = first.range.high, high != a.range.high else { return }
            low = high
        }
    }

    private static func merge(
        _ a: KeyTable<KeyState>, _ b: KeyTable<KeyState>, _ body: (UnsafeRawBufferPointer, KeyState?, KeyState?) throws -> Void
    ) throws {
        let (first, second) = (a.sorted(), b.sorted())
        var (i, j) = (0, 0)
        while i < first.count || j < second.count {
            let left = i < first.count ? a.element(first[i]) : nil
            let right = j < second.count ? b.element(second[j]) : nil
            let order = left == nil ? 1 : right == nil ? -1 : compareBytes(left!.key, right!.key)
            if order <= 0 { i += 1 }
            if order >= 0 { j += 1 }
            try body(order <= 0 ? left!.key : right!.key, order <= 0 ? left!.value : nil, order >= 0 ? right!.value : nil)
        }
    }
}
