// The store in memory: index, versions and their order, kept consistent with each other. No I/O and no lock: the
// store's lock guards it.

import Storage

/// All keys and all their versions that are not purged.
final class VersionTable {
    let index: KeyIndex
    let slab = VersionSlab()
    let order = RevisionOrder()
    /// Dead versions that may wait, beside a quarter of all; smaller in tests.
    var deadVersionsKept = StoreLimits.deadVersionsKept

    let accounts: ResourceAccounts

    init(index: KeyIndex = KeyIndex(), resources: ResourceNames = ResourceNames()) {
        self.index = index
        accounts = ResourceAccounts(resources)
    }

    // MARK: Reading

    @inline(__always)
    func version(_ slot: UInt32) -> KeyVersion { KeyVersion(slab[slot], slot: slot) }

    /// The version of `key` that a reader at `main` sees; nil if there is none or it is a tombstone.
    @inline(__always)
    func visible(_ key: KeyEntry, at main: Int64) -> UInt32? {
        guard let slot = slab.newest(of: key, at: main), !slab[slot].pointee.isTombstone else { return nil }
        return slot
    }

    /// The version of exactly this revision, if it is not purged.
    func find(_ revision: Revision) -> UnsafeMutablePointer<VersionRecord>? {
        let position = order.lowerBound(revision, in: slab)
        guard position < order.end else { return nil }
        let record = slab[order[position]]
        return record.pointee.revision == revision && !record.pointee.isDead ? record : nil
    }

    /// What a watcher calls the previous value: the newest version of the key before the version's main revision.
    func previousValue(of slot: UInt32) -> UInt32? {
        var record = slab[slot]
        let main = record.pointee.main
        while let older = slab.previous(of: record) {
            record = slab[older]
            if record.pointee.main < main { return record.pointee.isTombstone ? nil : older }
        }
        return nil
    }

    // MARK: Writing

    /// Adds the newest version of `key`, which `index.locate` has just looked for and found as `located`.
    @discardableResult
    func append(
        key: UnsafeRawBufferPointer, located: KeyEntry?, modified: Revision, created: Int64, version: Int64,
        lease: Int64, location: RecordLocation
    ) -> KeyEntry {
        let isLive = version != 0
        let entry: KeyEntry
        var replaced: Int64 = 0
        if let located {
            entry = located
            index.setLocatedLive(isLive)
            let newest = slab[located.newest]
            if !newest.pointee.isTombstone { replaced = Int64(newest.pointee.location.length) }
        } else {
            entry = index.insertLocated(key, live: isLive)
            entry.resource = accounts.names.resource(of: key)
        }
        accounts.added(entry, bytes: Int64(location.length), isLive: isLive, replacing: replaced)
        let slot = slab.allocate()
        slab[slot].initialize(
            to: VersionRecord(
                main: modified.main, created: created, version: version, lease: lease, location: location, key: entry,
                sub: modified.sub, previous: entry.newest))
        entry.newest = slot
        order.append(slot)
        return entry
    }

    // MARK: Purging

    /// A purge on its way: everything that a reader at `target` or later cannot see is dropped.
    struct Purge {
        /// Where the walk goes on.
        var next: Revision
        let target: Int64

        /// - Parameter previous: what the last finished compaction had as its target. The walk starts at that
        ///   revision, not behind it, for a tombstone there was kept.
        init(after previous: Int64, target: Int64) {
            next = Revision(main: previous)
            self.target = target
        }
    }

    /// Visits up to `budget` versions.
    ///
    /// - Parameter limit: no further than this revision for now, because readers are pinned there.
    /// - Returns: whether the walk has reached `min(purge.target, limit)`.
    func step(_ purge: inout Purge, limit: Int64, budget: Int, released: (RecordLocation) -> Void) -> Bool {
        let end = min(purge.target, limit)
        var position = order.lowerBound(purge.next, in: slab)
        var left = budget
        while position < order.end {
            let slot = order[position]
            let record = slab[slot]
            let revision = record.pointee.revision
            guard revision.main <= end else { break }
            guard left > 0 else {
                purge.next = revision
                return false
            }
            left -= 1
            position = order.position(after: position)
            if record.pointee.isDead { continue }
            // Whatever this version replaced is out of everybody's sight.
            var newer = record
            while let older = slab.previous(of: newer) {
                newer = slab[older]
                kill(older, released)
                left -= 1
            }
            record.pointee.previous = KeyEntry.noVersion
            if record.pointee.isTombstone, revision.main < purge.target {
                let key = record.pointee.key
                let isNewest = key.newest == slot
                kill(slot, released)
                if isNewest {
                    guard index.locate(key.bytes) == key else { preconditionFailure("a version's key is not in the index") }
                    index.removeLocated()
                }
            }
        }
        purge.next = Revision(main: max(end, purge.next.main), sub: end >= purge.next.main ? .max : purge.next.sub)
        return true
    }

    private func kill(_ slot: UInt32, _ released: (RecordLocation) -> Void) {
        let record = slab[slot]
        released(record.pointee.location)
        accounts.purged(record.pointee.key, bytes: Int64(record.pointee.location.length))
        record.pointee.version = VersionRecord.dead
        order.deadCount += 1
    }

    /// Whether enough dead versions lie in the order to be worth squeezing out.
    var wantsSqueeze: Bool { order.deadCount > max(deadVersionsKept, min(order.count / 4, 1024 * deadVersionsKept)) }
}
