// Carrying a whole store elsewhere: every record of one state out, and records of another store in. For snapshots.

import Storage
import Wire

/// Every record that a compacted store of one revision consists of, in revision order and in slices. What a purge has
/// yet to remove is left out. Belongs to one thread at a time.
public final class RecordWalk {
    private let store: MVCCStore
    /// The newest revision that the walk shows.
    public let revision: Int64
    /// The compaction that it assumes to be finished; −1: none.
    public let compactRevision: Int64
    /// The entry whose effects the walk shows, with all before it.
    public let appliedIndex: UInt64
    public let appliedTerm: UInt64
    /// What is stored beside the keys, of the same moment.
    private let meta: MetaState
    private var next: Revision? = Revision(main: 0)
    private var batch: [(revision: Revision, isTombstone: Bool)] = []
    private var locations: [RecordLocation] = []
    private let scratch = ByteSink(capacity: 4096)

    /// Called with the lock held and nothing unpublished.
    fileprivate init(store: MVCCStore) {
        self.store = store
        revision = store.currentRevision
        compactRevision = store.compactRevision
        let position = store.log.flushedPosition
        appliedIndex = position.appliedIndex
        appliedTerm = position.appliedTerm
        meta = store.meta
        store.pins.add(compactRevision)
    }

    deinit { store.exclusively { store.pins.remove(compactRevision) } }

    public func metaEntries(_ bucket: MetaBucket) -> [[UInt8]: [UInt8]] { meta[bucket] }

    /// Shows some hundreds of records; false when all were shown. After an error the walk is over.
    public func step(
        _ body: (_ revision: Revision, _ isTombstone: Bool, _ record: UnsafeRawBufferPointer) throws -> Void
    ) throws -> Bool {
        guard let from = next else { return false }
        let pin = store.log.pinReads()
        collect(from: from, bytes: StoreLimits.walkSliceBytes)
        var failure: (any Error)?
        do {
            try store.log.forEachRecord(locations, scratch: scratch) { index, record in
                guard failure == nil else { return }
                do { try body(batch[index].revision, batch[index].isTombstone, record) } catch { failure = error }
            }
        } catch {
            failure = error
        }
        store.log.unpinReads(pin)
        if let failure { throw failure }
        return next != nil
    }

    /// Shows the lengths of some hundreds of records without reading them; false when all were shown.
    public func stepLengths(_ body: (_ isTombstone: Bool, _ length: Int) -> Void) -> Bool {
        guard let from = next else { return false }
        collect(from: from, bytes: .max)
        for (index, location) in locations.enumerated() { body(batch[index].isTombstone, Int(location.length)) }
        return next != nil
    }

    /// Begins again; the walk shows the same records.
    public func rewind() { next = Revision(main: 0) }

    private func collect(from: Revision, bytes: Int) {
        batch.removeAll(keepingCapacity: true)
        locations.removeAll(keepingCapacity: true)
        next = nil
        var left = bytes
        store.lock.withLock {
            let table = store.table
            var position = table.order.lowerBound(from, in: table.slab)
            while position < table.order.end {
                let slot = table.order[position]
                let record = table.slab[slot]
                guard record.pointee.main <= revision else { return }
                guard batch.count < StoreLimits.versionsPerSlice, left > 0 else {
                    next = record.pointee.revision
                    return
                }
                position = table.order.position(after: position)
                guard !record.pointee.isDead, table.survives(slot, compaction: compactRevision) else { continue }
                batch.append((record.pointee.revision, record.pointee.isTombstone))
                locations.append(record.pointee.location)
                left -= Int(record.pointee.location.length)
            }
        }
    }
}

extension VersionTable {
    /// Whether a version is still there once a compaction's purge is complete.
    func survives(_ slot: UInt32, compaction: Int64) -> Bool {
        let record = slab[slot]
        guard record.pointee.main <= compaction else { return true }
        guard !record.pointee.isTombstone || record.pointee.main == compaction else { return false }
        return slab.newest(of: record.pointee.key, at: compaction) == slot
    }
}

extension MVCCStore {
    /// Starts to walk over all records of the current state.
    public func records() -> RecordWalk? {
        lock.withLock { hasUnpublished ? nil : RecordWalk(store: self) }
    }

    /// Takes over a record of another store, inside an entry of a new store; revisions must ascend. The entry may be
    /// split into several of the same index, so that frames stay small.
    public func adopt(_ revision: Revision, isTombstone: Bool, record bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        precondition(isInEntry && entryChanges == 0, "records are adopted by entries of their own")
        precondition(table.order.count == 0 || revision.main >= workingRevision, "revision \(revision.main) after \(workingRevision)")
        let record = try StoredKeyValue(decoding: bytes)
        guard record.key.count > 0, isTombstone || record.version > 0 else { throw .invalidTag }
        let located = table.index.locate(record.key)
        // A tombstone whose put is compacted away has nothing to delete; the key is there for it alone.
        let location = log.append(
            kind: isTombstone ? .tombstone : .put, main: revision.main, sub: revision.sub, payloadCapacity: bytes.count
        ) { $0.append(bytes) }
        table.append(
            key: record.key, located: located, modified: revision, created: isTombstone ? 0 : record.created,
            version: isTombstone ? 0 : record.version, lease: isTombstone ? 0 : record.lease, location: location)
        workingRevision = revision.main
    }

    /// Sets the revisions of a store that was adopted: its current one, which may be beyond its last record, and its
    /// last compaction, which is finished.
    public func adopt(currentRevision: Int64, compactRevision: Int64) {
        precondition(isInEntry && entryChanges == 0 && currentRevision >= workingRevision)
        workingRevision = currentRevision
        guard compactRevision > workingCompacted else { return }
        log.append(kind: .compaction, main: compactRevision, sub: 0, payloadCapacity: 0) { _ in }
        compaction.scheduled = compactRevision
        compaction.finished = compactRevision
        workingCompacted = compactRevision
    }
}
