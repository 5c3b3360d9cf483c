// Reading: revision rules, single keys, ranges, snapshots.

import Storage
import Wire

extension MVCCStore {
    // MARK: Snapshots

    /// Pins the current revision, so that several reads see one state.
    public func snapshot() -> ReadSnapshot {
        lock.withLock {
            let revision = currentRevision
            pins.add(revision)
            return ReadSnapshot(pinnedIn: self, at: revision)
        }
    }

    // MARK: Ranges

    /// Answers a range request at the current or the asked-for revision.
    ///
    /// The answer of a single key is complete and costs no allocation. Others may need `step` until they know
    /// their length, and hold their revision until they are released.
    ///
    /// - Parameters:
    ///   - snapshot: take this revision for the current one.
    ///   - countsKeys: whether the answer's `count` is wanted. At a past revision counting walks the whole range;
    ///     without it the walk ends at the limit.
    public func range(
        _ query: RangeQuery, in snapshot: ReadSnapshot? = nil, countsKeys: Bool = true
    ) throws(CallError) -> RangeAnswer {
        lock.lock()
        let current = snapshot?.revision ?? currentRevision
        let revision: Int64
        do {
            revision = try readRevision(query.revision, current: current, compacted: compactRevision)
        } catch {
            lock.unlock()
            throw error
        }
        if query.rangeEnd.count == 0 {
            defer { lock.unlock() }
            return pointAnswer(query, current: current, revision: revision)
        }
        let countsAreExact = revision == currentRevision && !hasUnpublished
        let cursor = RangeCursor(
            store: self, query: query, current: current, revision: revision, countsAreExact: countsAreExact, inEntry: false,
            countsKeys: countsKeys)
        lock.unlock()
        cursor.step()
        return RangeAnswer(revision: current, cursor: cursor)
    }

    /// Answers a range inside the running entry: it sees the entry's own changes. Use the answer up before the
    /// entry changes anything else.
    public func rangeInEntry(_ query: RangeQuery) throws(CallError) -> RangeAnswer {
        precondition(isInEntry)
        let current = entryRevision
        let revision = try readRevision(query.revision, current: current, compacted: workingCompacted)
        if query.rangeEnd.count == 0 { return pointAnswer(query, current: current, revision: revision) }
        let cursor = RangeCursor(
            store: self, query: query, current: current, revision: revision, countsAreExact: revision == current,
            inEntry: true)
        while !cursor.isReady { cursor.step() }
        return RangeAnswer(revision: current, cursor: cursor)
    }

    /// What a transaction checks of a range before it executes anything. Unlike a plain range it takes a
    /// negative revision at its word.
    ///
    /// - Parameter snapshot: for a transaction that only reads; without one the entry's view counts.
    public func checkTransactionRevision(_ revision: Int64, in snapshot: ReadSnapshot? = nil) throws(CallError) {
        guard revision != 0 else { return }
        let (newest, compacted) =
            snapshot.map { ($0.revision, compactRevision) } ?? (workingRevision, workingCompacted)
        if revision > newest { throw .futureRevision }
        if revision < compacted { throw .compacted }
    }

    @inline(__always)
    private func readRevision(_ asked: Int64, current: Int64, compacted: Int64) throws(CallError) -> Int64 {
        if asked <= 0 { return current }
        if asked > current { throw .futureRevision }
        if asked < compacted { throw .compacted }
        return asked
    }

    /// Live keys of a range at the current revision.
    public func count(key: UnsafeRawBufferPointer, rangeEnd: UnsafeRawBufferPointer) -> Int {
        lock.withLock { table.index.countLive(KeyRange(key: key, rangeEnd: rangeEnd)) }
    }

    // MARK: Single keys

    @inline(__always)
    private func pointAnswer(_ query: RangeQuery, current: Int64, revision: Int64) -> RangeAnswer {
        guard let entry = table.index.find(query.key), let slot = table.visible(entry, at: revision) else {
            return RangeAnswer(revision: current)
        }
        if query.countOnly { return RangeAnswer(revision: current, count: 1, resource: entry.resource) }
        let plan = RangePlan(query)
        let record = table.slab[slot]
        guard plan.passes(record) else { return RangeAnswer(revision: current, count: 1, resource: entry.resource) }
        return RangeAnswer(
            revision: current, version: KeyVersion(record, slot: slot), key: query.key, content: plan.content,
            bodyLength: plan.bodyLength(record), store: self)
    }

    /// The live version of a key at the current revision, or in a snapshot.
    public func get(_ key: UnsafeRawBufferPointer, in snapshot: ReadSnapshot? = nil) -> KeyVersion? {
        lock.lock()
        defer { lock.unlock() }
        guard let entry = table.index.find(key),
            let slot = table.visible(entry, at: snapshot?.revision ?? currentRevision)
        else { return nil }
        return table.version(slot)
    }

    /// Visits the live versions of a range in key order, in a snapshot, some hundreds per hold of the lock; for
    /// the compares of a transaction that only reads. The body must not call the store.
    ///
    /// - Parameter body: says whether to go on.
    public func forEach(
        key: UnsafeRawBufferPointer, rangeEnd: UnsafeRawBufferPointer, in snapshot: ReadSnapshot,
        _ body: (KeyVersion) -> Bool
    ) {
        let range = KeyRange(key: key, rangeEnd: rangeEnd)
        if range.isSingle {
            if let version = get(key, in: snapshot) { _ = body(version) }
            return
        }
        var resume: [UInt8]?
        while true {
            let isDone: Bool = lock.withLock {
                let revision = snapshot.revision
                return forEachSlice(range, after: &resume, at: revision, body)
            }
            if isDone { return }
        }
    }

    /// Visits the live versions of a range inside the running entry.
    public func forEachInEntry(
        key: UnsafeRawBufferPointer, rangeEnd: UnsafeRawBufferPointer, _ body: (KeyVersion) -> Bool
    ) {
        precondition(isInEntry)
        let range = KeyRange(key: key, rangeEnd: rangeEnd)
        if range.isSingle {
            if let version = lookup(key) { _ = body(version) }
            return
        }
        var cursor = table.index.cursor(range)
        while let entry = cursor.nextLive() {
            if !body(table.version(entry.newest)) { return }
        }
    }

    private func forEachSlice(
        _ range: KeyRange, after resume: inout [UInt8]?, at revision: Int64, _ body: (KeyVersion) -> Bool
    ) -> Bool {
        var cursor = table.index.cursor(range, after: resume)
        var left = StoreLimits.keysPerLockHold
        while let (entry, _) = cursor.next() {
            if let slot = table.visible(entry, at: revision), !body(table.version(slot)) { return true }
            left -= 1
            if left == 0 {
                resume = Array(entry.bytes)
                return false
            }
        }
        return true
    }

    // MARK: Records

    /// Appends the encoded `KeyValue` of a version.
    ///
    /// - Throws: a stale error if the version was purged and its segment removed since it was looked up; nothing
    ///   that is pinned, or was read a moment ago, is.
    @inline(__always)
    public func appendRecord(of version: KeyVersion, to sink: ByteSink) throws(StorageError) {
        do {
            try log.append(version.location, to: sink)
        } catch {
            guard error.isStale else { throw error }
            try appendMovedRecord(of: version, to: sink)
        }
    }

    /// Garbage collection has moved the record since its location was read.
    private func appendMovedRecord(of version: KeyVersion, to sink: ByteSink) throws(StorageError) {
        let pin = log.pinReads()
        let location = lock.withLock { table.find(version.modified)?.pointee.location }
        do throws(StorageError) {
            try log.append(location ?? version.location, to: sink)
        } catch {
            log.unpinReads(pin)
            throw error
        }
        log.unpinReads(pin)
    }
}

extension KeyIndex {
    func cursor(_ range: KeyRange, after: [UInt8]?) -> IndexCursor {
        guard let after else { return cursor(range) }
        return after.withUnsafeBytes { cursor(range, after: $0) }
    }
}

extension RevisionLog {
    /// Reads a record behind what the sink holds.
    @inline(__always)
    func append(_ location: RecordLocation, to sink: ByteSink) throws(StorageError) {
        let length = Int(location.length)
        sink.reserve(length)
        try read(location, into: UnsafeMutableRawBufferPointer(start: sink.base + sink.count, count: length))
        sink.append(uninitializedCapacity: length) { _ in length }
    }
}
