// Changes in revision order: what watch catch-up and live delivery read.

import Storage
import Wire

/// A run of changes, whole main revisions, copied out of the store so that it is matched and encoded without the
/// lock. Reusable: it keeps its memory.
public final class EventBatch {
    public struct Event {
        /// The put, or the tombstone of a deletion. Its `key` handle may be gone by now: use the batch's `key`.
        public let version: KeyVersion
        /// The value before this main revision, if there was one and it is not compacted.
        public let previous: KeyVersion?
        fileprivate let keyOffset: Int
        fileprivate let keyLength: Int
    }

    public private(set) var events: [Event] = []
    /// Where the next batch goes on: every event below this revision was handed out.
    public fileprivate(set) var nextRevision: Int64 = 0
    /// The store's revision when the batch was made.
    public fileprivate(set) var storeRevision: Int64 = 0
    private let keys = ByteSink(capacity: 4096)

    public init() {}

    /// The key of an event; valid until the batch is filled again.
    @inline(__always)
    public func key(_ event: Event) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: keys.base + event.keyOffset, count: event.keyLength)
    }

    fileprivate func clear() {
        events.removeAll(keepingCapacity: true)
        keys.clear(keeping: StoreLimits.eventKeyBytesKept)
    }

    @inline(__always)
    fileprivate func append(_ version: KeyVersion, previous: KeyVersion?) {
        let key = version.key.bytes
        events.append(Event(version: version, previous: previous, keyOffset: keys.count, keyLength: key.count))
        keys.append(key)
    }
}

extension MVCCStore {
    /// Fills `batch` with the changes from a revision on.
    ///
    /// A main revision is never split, so the limits are exceeded by one that is larger on its own. The batch is
    /// empty when `from` is above the current revision.
    ///
    /// - Parameters:
    ///   - maximumEvents: events after which no further main revision is begun.
    ///   - maximumBytes: the same for the encoded sizes of the records.
    /// - Throws: `compacted` if a change at or after `from` may be gone.
    public func events(
        from: Int64, into batch: EventBatch, maximumEvents: Int = 1000, maximumBytes: Int = 1 << 20
    ) throws(CallError) {
        batch.clear()
        lock.lock()
        defer { lock.unlock() }
        let current = currentRevision
        let compacted = compactRevision
        batch.storeRevision = current
        batch.nextRevision = max(from, current + 1)
        guard from >= compacted else { throw .compacted }
        guard from <= current else { return }
        let order = table.order
        let slab = table.slab
        var position = order.lowerBound(Revision(main: from), in: slab)
        var main = Int64.min
        var bytes = 0
        while position < order.end {
            let slot = order[position]
            let record = slab[slot]
            position = order.position(after: position)
            if record.pointee.isDead { continue }
            if record.pointee.main != main {
                guard record.pointee.main <= current else { break }
                if batch.events.count >= maximumEvents || bytes >= maximumBytes {
                    batch.nextRevision = record.pointee.main
                    return
                }
                main = record.pointee.main
            }
            var previous: KeyVersion?
            // A previous value is what a read at the revision before would show, which compaction forbids
            // below the compacted revision.
            if main - 1 >= compacted, let older = table.previousValue(of: slot) { previous = table.version(older) }
            batch.append(KeyVersion(record, slot: slot), previous: previous)
            bytes += Int(record.pointee.location.length) + Int(previous?.location.length ?? 0)
        }
    }
}
