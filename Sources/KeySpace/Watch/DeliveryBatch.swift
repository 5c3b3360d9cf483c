// A run of changes on its way to watchers: who gets what, the stored records, and the encoded events. Each
// event is encoded once (twice if some watchers want the previous value and some do not) however many
// watchers get it.

import Storage
import Wire

/// Reused from batch to batch. Filled during a walk, then resolved (records are read) and sent from.
final class DeliveryBatch {
    struct Event {
        let revision: Int64
        let isDelete: Bool
        /// Some receiver wants the previous value.
        var needsPrevious = false
        /// A delete's key in `keys`; a put has it in its record.
        let keyOffset: Int
        let keyCount: Int
        let record: RecordLocation
        let previous: RecordLocation?
        /// In `records`, after `resolve`.
        var recordOffset = 0
        var previousOffset = 0
        /// In `encoded`; -1: not encoded yet.
        var plain = Span.none
        var withPrevious = Span.none
        /// The latest response content that began with this event and was worth sharing.
        var shared = Shared.none
        var sharedWithPrevious = Shared.none
    }

    struct Span {
        var offset: Int
        var count: Int
        static let none = Span(offset: -1, count: 0)
    }

    /// Events up to `last`, index of the bytes in `shares`.
    struct Shared {
        var last: UInt32
        var index: Int
        static let none = Shared(last: 0, index: -1)
    }

    /// "This watcher gets that event": an item of the watcher's list.
    struct Match {
        let event: UInt32
        var next: UInt32
    }

    static let end = UInt32.noWatcher

    private let events = ScratchArray<Event>()
    private let matches = ScratchArray<Match>()
    /// Watchers with matches, in the order of their first one.
    let receivers = ScratchArray<WatcherIndex>()
    /// Bytes of the events' records, once for each receiver.
    private(set) var weight = 0

    private let keys = ByteSink(capacity: 1024)
    private let records = ByteSink(capacity: 4096)
    private let encoded = ByteSink(capacity: 4096)
    private let locations = ScratchArray<RecordLocation>()
    private var shares: [SharedBytes] = []

    var isEmpty: Bool { receivers.isEmpty }

    // MARK: Filling

    /// Adds a change without receivers; it counts once `addMatch` is called for it.
    func addEvent(_ change: ChangeView) {
        let keyOffset = keys.count
        if change.isDelete { keys.append(change.key) }
        events.append(
            Event(
                revision: change.revision, isDelete: change.isDelete, keyOffset: keyOffset,
                keyCount: change.isDelete ? change.key.count : 0, record: change.record,
                previous: change.isCreation ? nil : change.previous))
    }

    /// The event added last goes to `index`.
    @inline(__always)
    func addMatch(_ index: WatcherIndex, _ watcher: UnsafeMutablePointer<Watcher>) {
        let event = events.count - 1
        let item = UInt32(matches.count)
        matches.append(Match(event: UInt32(event), next: DeliveryBatch.end))
        if watcher.pointee.firstMatch == DeliveryBatch.end {
            watcher.pointee.firstMatch = item
            receivers.append(index)
        } else {
            matches[Int(watcher.pointee.lastMatch)].pointee.next = item
        }
        watcher.pointee.lastMatch = item
        let added = events[event]
        weight += Int(added.pointee.record.length)
        if watcher.pointee.flags.contains(.wantsPrevious), let previous = added.pointee.previous {
            added.pointee.needsPrevious = true
            weight += Int(previous.length)
        }
    }

    // MARK: Reading

    /// Reads the records of all events.
    func resolve(from source: any EventSource) throws {
        var offset = 0
        for index in 0..<events.count {
            let event = events[index]
            if !event.pointee.isDelete {
                event.pointee.recordOffset = offset
                locations.append(event.pointee.record)
                offset += Int(event.pointee.record.length)
            }
            if event.pointee.needsPrevious, let previous = event.pointee.previous {
                event.pointee.previousOffset = offset
                locations.append(previous)
                offset += Int(previous.length)
            }
        }
        guard !locations.isEmpty else { return }
        try source.read(locations.elements, into: records)
        precondition(records.count == offset, "records of \(offset) bytes were read as \(records.count)")
    }

    /// Forgets everything; memory of a large batch is given back.
    func clear() {
        let entriesKept = WatchLimits.scratchEntriesKept
        events.clear(keeping: entriesKept)
        matches.clear(keeping: entriesKept)
        receivers.clear(keeping: entriesKept)
        locations.clear(keeping: entriesKept)
        if !shares.isEmpty { shares.removeAll(keepingCapacity: true) }
        weight = 0
        keys.clear(keeping: WatchLimits.scratchBytesKept)
        records.clear(keeping: WatchLimits.scratchBytesKept)
        encoded.clear(keeping: WatchLimits.scratchBytesKept)
    }

    // MARK: Encoding

    /// The event as an item of a response, encoded at its first use.
    @inline(__always)
    func item(_ index: UInt32, withPrevious: Bool) -> UnsafeRawBufferPointer {
        let event = events[Int(index)]
        // Without a previous value both forms are the same.
        let wantsPrevious = withPrevious && event.pointee.needsPrevious
        var span = wantsPrevious ? event.pointee.withPrevious : event.pointee.plain
        if span.offset < 0 {
            span = encode(event.pointee, withPrevious: wantsPrevious)
            if wantsPrevious { event.pointee.withPrevious = span } else { event.pointee.plain = span }
        }
        return UnsafeRawBufferPointer(start: encoded.base + span.offset, count: span.count)
    }

    private func encode(_ event: Event, withPrevious: Bool) -> Span {
        let offset = encoded.count
        var previous: UnsafeRawBufferPointer?
        if withPrevious, let location = event.previous {
            previous = UnsafeRawBufferPointer(start: records.base + event.previousOffset, count: Int(location.length))
        }
        if event.isDelete {
            let key = UnsafeRawBufferPointer(start: keys.base + event.keyOffset, count: event.keyCount)
            WatchResponseEncoding.delete(encoded, key: key, revision: event.revision, previous: previous)
        } else {
            let record = UnsafeRawBufferPointer(start: records.base + event.recordOffset, count: Int(event.record.length))
            WatchResponseEncoding.put(encoded, record: record, previous: previous)
        }
        return Span(offset: offset, count: encoded.count - offset)
    }

    /// Counts a run's items and their encoded bytes.
    func measure(_ run: inout Run, withPrevious: Bool) {
        run.bytes = 0
        run.count = 0
        var item = run.first
        while item != run.end {
            run.bytes += self.item(matches[Int(item)].pointee.event, withPrevious: withPrevious).count
            run.count += 1
            item = matches[Int(item)].pointee.next
        }
    }

    /// Appends the items of a run.
    func append(_ run: Run, withPrevious: Bool, to sink: ByteSink) {
        var item = run.first
        while item != run.end {
            sink.append(self.item(matches[Int(item)].pointee.event, withPrevious: withPrevious))
            item = matches[Int(item)].pointee.next
        }
    }

    /// The items of a run as shared bytes: the same for all watchers that get the same events.
    func share(_ run: Run, withPrevious: Bool) -> SharedBytes {
        let first = matches[Int(run.first)].pointee.event
        let last = run.lastEvent
        let isContiguous = Int(last - first) + 1 == run.count
        if isContiguous {
            let known = withPrevious ? events[Int(first)].pointee.sharedWithPrevious : events[Int(first)].pointee.shared
            if known.index >= 0, known.last == last { return shares[known.index] }
        }
        let bytes = SharedBytes(count: run.bytes) { target in
            var offset = 0
            var item = run.first
            while item != run.end {
                let piece = self.item(matches[Int(item)].pointee.event, withPrevious: withPrevious)
                UnsafeMutableRawBufferPointer(rebasing: target[offset...]).copyMemory(from: piece)
                offset += piece.count
                item = matches[Int(item)].pointee.next
            }
        }
        if isContiguous {
            let shared = Shared(last: last, index: shares.count)
            shares.append(bytes)
            if withPrevious {
                events[Int(first)].pointee.sharedWithPrevious = shared
            } else {
                events[Int(first)].pointee.shared = shared
            }
        }
        return bytes
    }

    /// Consecutive matches of one watcher that go into one response.
    struct Run {
        let first: UInt32
        /// The match behind the run.
        var end: UInt32
        /// The last event in it.
        var lastEvent: UInt32
        /// Revision of its first and last event.
        var firstRevision: Int64
        var lastRevision: Int64
        /// Items and their encoded bytes, after `measure`.
        var count = 0
        var bytes = 0
    }

    /// The run that begins at `first`: the matches of one main revision, or all of them.
    func run(from first: UInt32, wholeList: Bool) -> Run {
        let head = events[Int(matches[Int(first)].pointee.event)].pointee.revision
        var run = Run(first: first, end: first, lastEvent: matches[Int(first)].pointee.event, firstRevision: head, lastRevision: head)
        while run.end != DeliveryBatch.end {
            let match = matches[Int(run.end)].pointee
            let revision = events[Int(match.event)].pointee.revision
            if !wholeList, revision != head { break }
            run.lastEvent = match.event
            run.lastRevision = revision
            run.end = match.next
        }
        return run
    }

    func revision(ofMatch item: UInt32) -> Int64 { events[Int(matches[Int(item)].pointee.event)].pointee.revision }

    /// Size and position of one item, for splitting.
    func next(_ item: UInt32) -> UInt32 { matches[Int(item)].pointee.next }
    func bytes(ofMatch item: UInt32, withPrevious: Bool) -> UnsafeRawBufferPointer {
        self.item(matches[Int(item)].pointee.event, withPrevious: withPrevious)
    }
}
