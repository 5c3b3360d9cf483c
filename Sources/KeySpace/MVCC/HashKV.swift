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
    private var batch: [Entry] = []
    private let sink = ByteSink(capacity: 4096)

    private struct Entry {
        var revision: Revision
        var isTombstone: Bool
        var location: RecordLocation
    }

    /// Called with the lock held.
    fileprivate init(store: MVCCStore, revision: Int64, compactRevision: Int64, storeRevision: Int64, isPinned: Bool) {
        self.store = store
        self.revision = revision
        self.compactRevision = compactRevision
        self.storeRevision = storeRevision
        // A purge beyond the assumed compaction would take versions that count.
        self.isPinned = isPinned
        if isPinned { store.pins.add(compactRevision) }
        crc = HashJob.hashOfName
        // A negative revision selects nothing.
        phase = revision < 0 ? .done : .probing(after: nil)
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
                batch.append(
                    Entry(
                        revision: record.pointee.revision, isTombstone: record.pointee.isTombstone,
                        location: record.pointee.location))
            }
        }
        do {
            for entry in batch { try add(entry) }
        } catch {
            store.log.unpinReads(pin)
            throw error
        }
        store.log.unpinReads(pin)
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

    private func add(_ entry: Entry) throws(StorageError) {
        sink.clear()
        sink.append(uninitializedCapacity: 18) { buffer in
            buffer.storeBytes(of: entry.revision.main.bigEndian, toByteOffset: 0, as: Int64.self)
            buffer[8] = UInt8(ascii: "_")
            buffer.storeBytes(of: Int64(entry.revision.sub).bigEndian, toByteOffset: 9, as: Int64.self)
            buffer[17] = UInt8(ascii: "t")
            return entry.isTombstone ? 18 : 17
        }
        try store.log.append(entry.location, to: sink)
        crc = CRC32C.update(crc, sink.bytes)
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
                isPinned: false)
        }
    }
}
