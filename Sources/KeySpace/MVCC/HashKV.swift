// HashKV: a checksum of the history that members of a cluster compare.

import Storage
import Wire

/// The hash of the store at a revision, computed in slices. Belongs to one thread at a time.
public final class HashJob {
    private enum Phase {
        /// Looking for any key that is alive at the revision: with none, compacted versions count as they lie.
        case probing(after: [UInt8]?)
        case hashing(next: Revision)
        case done
    }

    private let store: MVCCStore
    /// The revision that the hash covers.
    public let revision: Int64
    /// The compaction that the hash assumes.
    public let compactRevision: Int64
    /// For the response's header.
    public let storeRevision: Int64
    private var phase: Phase
    private var keepsAnything = false
    private var crc: UInt32
    private let isPinned: Bool
    private var batch: [(revision: Revision, isTombstone: Bool)] = []
    private var locations: [RecordLocation] = []
    private let scratch = ByteSink(capacity: 4096)

    /// Called with the lock held.
    fileprivate init(
        store: MVCCStore, revision: Int64, compactRevision: Int64, storeRevision: Int64, isPinned: Bool, keepsAnything: Bool = false
    ) {
        self.store = store
        self.revision = revision
        self.compactRevision = compactRevision
        self.storeRevision = storeRevision
        // A purge beyond the assumed compaction would take versions that count.
        self.isPinned = isPinned
        if isPinned { store.pins.add(compactRevision) }
        crc = HashJob.hashOfName
        self.keepsAnything = keepsAnything
        // A negative revision selects nothing.
        phase = revision < 0 ? .done : keepsAnything ? .hashing(next: Revision(main: 0)) : .probing(after: nil)
    }

    /// A hash that is known already.
    fileprivate init(store: MVCCStore, remembered: RememberedHash, storeRevision: Int64) {
        self.store = store
        revision = remembered.revision
        compactRevision = remembered.compactRevision
        self.storeRevision = storeRevision
        crc = remembered.hash
        phase = .done
        isPinned = false
    }

    deinit {
        if isPinned { store.exclusively { store.pins.remove(compactRevision) } }
    }

    private static let hashOfName: UInt32 = {
        let name: StaticString = "key"
        return CRC32C.update(0, UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
    }()

    public var isDone: Bool {
        if case .done = phase { return true }
        return false
    }

    /// The hash, once the job is done.
    public var hash: UInt32 {
        precondition(isDone)
        return crc
    }

    /// Does one slice; true when the job is done.
    public func step() throws(StorageError) -> Bool {
        switch phase {
        case .probing(let after): probe(after)
        case .hashing(let next): try hashSlice(from: next)
        case .done: break
        }
        return isDone
    }

    private func probe(_ after: [UInt8]?) {
        store.lock.withLock {
            var cursor = store.table.index.cursor(KeyRange(key: .zeroByte, rangeEnd: .zeroByte), after: after)
            for _ in 0..<StoreLimits.keysPerLockHold {
                guard let (entry, _) = cursor.next() else {
                    phase = .hashing(next: Revision(main: 0))
                    return
                }
                if store.table.visible(entry, at: revision) != nil {
                    keepsAnything = true
                    phase = .hashing(next: Revision(main: 0))
                    return
                }
                phase = .probing(after: Array(entry.bytes))
            }
        }
    }

    private func hashSlice(from next: Revision) throws(StorageError) {
        batch.removeAll(keepingCapacity: true)
        locations.removeAll(keepingCapacity: true)
        var following: Revision?
        let pin = store.log.pinReads()
        store.lock.withLock {
            let table = store.table
            var position = table.order.lowerBound(next, in: table.slab)
            var left = StoreLimits.versionsPerSlice
            while position < table.order.end {
                let slot = table.order[position]
                let record = table.slab[slot]
                guard record.pointee.main <= revision else { return }
                guard left > 0 else {
                    following = record.pointee.revision
                    return
                }
                left -= 1
                position = table.order.position(after: position)
                guard !record.pointee.isDead, counts(slot, record) else { continue }
                batch.append((record.pointee.revision, record.pointee.isTombstone))
                locations.append(record.pointee.location)
            }
        }
        // A slice that fails is repeated from its beginning.
        var sum = crc
        do throws(StorageError) {
            try store.log.forEachRecord(locations, scratch: scratch) { index, record in
                sum = HashJob.add(batch[index].revision, batch[index].isTombstone, record, to: sum)
            }
        } catch {
            store.log.unpinReads(pin)
            throw error
        }
        store.log.unpinReads(pin)
        crc = sum
        phase = following.map { .hashing(next: $0) } ?? .done
    }

    /// Whether a version takes part. Below the compaction, what would be left of the store were that
    /// compaction's purge complete.
    private func counts(_ slot: UInt32, _ record: UnsafeMutablePointer<VersionRecord>) -> Bool {
        guard record.pointee.main <= compactRevision else { return true }
        guard !record.pointee.isTombstone else { return false }
        let viewpoint = keepsAnything ? revision : compactRevision
        return store.table.slab.newest(of: record.pointee.key, at: viewpoint) == slot
    }

    /// Hashes an entry of etcd's `key` bucket: the revision as it is written there, then the record.
    private static func add(_ revision: Revision, _ isTombstone: Bool, _ record: UnsafeRawBufferPointer, to crc: UInt32) -> UInt32 {
        var main = revision.main.bigEndian
        var sub = Int64(revision.sub).bigEndian
        var separator = UInt8(ascii: "_")
        var mark = UInt8(ascii: "t")
        var sum = withUnsafeBytes(of: &main) { CRC32C.update(crc, $0) }
        sum = withUnsafeBytes(of: &separator) { CRC32C.update(sum, $0) }
        sum = withUnsafeBytes(of: &sub) { CRC32C.update(sum, $0) }
        if isTombstone { sum = withUnsafeBytes(of: &mark) { CRC32C.update(sum, $0) } }
        return CRC32C.update(sum, record)
    }
}

extension MVCCStore {
    /// Starts hashing the store at a revision; 0 means the current one. A compaction's remembered hash is
    /// answered as it was computed then.
    public func hashKV(revision: Int64) throws(CallError) -> HashJob {
        lock.lock()
        defer { lock.unlock() }
        let current = currentRevision
        let compacted = compactRevision
        if let known = compaction.hashes.last(where: { $0.revision == revision }) {
            return HashJob(store: self, remembered: known, storeRevision: current)
        }
        if revision > 0, revision < compacted { throw .compacted }
        if revision > current { throw .futureRevision }
        return HashJob(
            store: self, revision: revision == 0 ? current : revision, compactRevision: compacted, storeRevision: current,
            isPinned: true)
    }

    /// The hash that a compaction leaves behind: of the state before its purge.
    func compactionHashJob(_ job: CompactionState.Job) -> HashJob {
        lock.withLock {
            HashJob(
                store: self, revision: job.revision, compactRevision: job.previous, storeRevision: currentRevision,
                isPinned: false, keepsAnything: hasTombstone(at: job.revision))
        }
    }

    /// Whether a key was deleted at exactly this revision. A compaction keeps such a tombstone, so that in etcd its hash is taken
    /// as one of a store that keeps something, whereas a hash asked for does not count it.
    private func hasTombstone(at revision: Int64) -> Bool {
        var position = table.order.lowerBound(Revision(main: revision), in: table.slab)
        while position < table.order.end {
            let record = table.slab[table.order[position]]
            guard record.pointee.main == revision else { return false }
            if record.pointee.isTombstone { return true }
            position = table.order.position(after: position)
        }
        return false
    }
}
