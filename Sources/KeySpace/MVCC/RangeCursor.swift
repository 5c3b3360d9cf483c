// The answer to a range of keys, in constant memory: first a pass over the index that finds count and length, then
// a pass that copies records behind their tags, each in slices that hold the lock for some hundreds of keys.

import Storage
import Wire

#if canImport(Glibc)
import Glibc
#endif

/// A range answer on its way. Belongs to one thread at a time; pins its revision while it lives.
///
/// In a running entry the apply thread holds the lock already; there the cursor neither locks nor pins.
public final class RangeCursor {
    let store: MVCCStore
    let plan: RangePlan
    /// The revision that is read.
    let revision: Int64
    let inEntry: Bool
    /// Whose keys are asked for.
    public let resource: ResourceID
    /// The request's keys, copied: the answer may outlive the request's bytes.
    private let bounds: UnsafeMutableRawBufferPointer
    private let range: KeyRange

    enum Phase {
        case walking
        case sorting
        case ready
    }

    var phase = Phase.walking
    /// Live keys of the range at the revision; known at once if the index counts them.
    private(set) var total = 0
    private let totalIsKnown: Bool
    /// Keys that passed the filters.
    private var candidates = 0
    /// Keys in the answer.
    public internal(set) var keyValueCount = 0
    public internal(set) var more = false
    /// Bytes of the `kvs` elements.
    var elementsLength = 0

    /// The answer's slots, or the first of them; a pinned version keeps its slot.
    var slots: [UInt32] = []
    /// Whether `slots` is everything that is still to be read.
    var slotsAreComplete = true
    /// The last key that a walk has seen.
    private var resumeKey: [UInt8]?
    /// The last key of the first window.
    private var windowEnd: [UInt8]?
    var sorter: RangeSorter?

    // Reading.
    var nextSlot = 0
    var elementsRead = 0
    var wroteTrailer = false
    let staged = ByteSink(capacity: 64)
    var stagedOffset = 0
    let scratch = ByteSink(capacity: 64)
    var batch: [BatchElement] = []
    var places: [iovec] = []
    /// What stopped a sort by value.
    var failure: StorageError?

    /// Called with the lock held.
    init(
        store: MVCCStore, query: RangeQuery, current: Int64, revision: Int64, countsAreExact: Bool, inEntry: Bool,
        countsKeys: Bool = true
    ) {
        self.store = store
        self.revision = revision
        self.inEntry = inEntry
        plan = RangePlan(query)
        resource = store.resourceNames.resource(of: query.key)
        bounds = .allocate(byteCount: query.key.count + query.rangeEnd.count, alignment: 1)
        bounds.copyMemory(from: query.key)
        let end = UnsafeMutableRawBufferPointer(rebasing: bounds[query.key.count...])
        end.copyMemory(from: query.rangeEnd)
        range = KeyRange(
            key: UnsafeRawBufferPointer(rebasing: bounds[..<query.key.count]), rangeEnd: UnsafeRawBufferPointer(end))
        // A count that nobody wants is as good as known.
        totalIsKnown = countsAreExact || !countsKeys
        if countsAreExact, countsKeys { total = store.table.index.countLive(range) }
        if !inEntry { store.pins.add(revision) }
        if !plan.countOnly {
            // Known in advance for most: memory is asked for once.
            let wanted = min(plan.limit ?? .max, countsAreExact && countsKeys ? total : StoreLimits.keysPerLockHold)
            slots.reserveCapacity(min(wanted, StoreLimits.rememberedSlots))
        }
        if plan.countOnly ? totalIsKnown : countsAreExact && countsKeys && total == 0 { phase = .ready }
    }

    deinit {
        if !inEntry { store.exclusively { store.pins.remove(revision) } }
        bounds.deallocate()
    }

    public var isReady: Bool {
        if case .ready = phase { return true }
        return false
    }

    public var count: Int64 { Int64(total) }

    public var encodedLength: Int {
        elementsLength + (more ? 2 : 0) + varintFieldSize(UInt64(total))
    }

    @inline(__always)
    func locked<R>(_ body: () -> R) -> R {
        if inEntry { return body() }
        store.lock.lock()
        defer { store.lock.unlock() }
        return body()
    }

    // MARK: The pass that finds count and length

    /// Does one slice of work. An I/O error of a sort by value shows at the next `read` or `write`.
    public func step() {
        switch phase {
        case .ready: return
        case .walking:
            if locked({ walkSlice(emit: false) }) { endWalk() }
        case .sorting:
            stepSort()
        }
    }

    /// Walks some hundreds of keys on from `resumeKey`; true at the end of the range or when enough is known.
    private func walkSlice(emit: Bool) -> Bool {
        let table = store.table
        var cursor = table.index.cursor(range, after: resumeKey)
        var left = StoreLimits.keysPerLockHold
        while left > 0 {
            guard let (entry, _) = cursor.next() else { return true }
            left -= 1
            if left == 0 { remember(entry) }
            guard let slot = table.visible(entry, at: revision) else { continue }
            if emit {
                if collect(slot) { return true }
            } else if take(slot) {
                return true
            }
        }
        return false
    }

    private func remember(_ entry: KeyEntry) {
        if resumeKey == nil { resumeKey = [] }
        resumeKey!.removeAll(keepingCapacity: true)
        resumeKey!.append(contentsOf: entry.bytes)
    }

    /// Counts a visible version in; true when the walk may end.
    @inline(__always)
    private func take(_ slot: UInt32) -> Bool {
        if !totalIsKnown { total += 1 }
        if plan.countOnly { return false }
        let record = store.table.slab[slot]
        guard plan.passes(record) else { return false }
        if let most = plan.candidates, candidates >= most { return totalIsKnown }
        candidates += 1
        if case .natural = plan.order {
            if let limit = plan.limit, keyValueCount >= limit {
                more = true
                return totalIsKnown
            }
            keyValueCount += 1
            elementsLength += plan.elementLength(record)
            if slots.count < StoreLimits.rememberedSlots {
                slots.append(slot)
                if slots.count == StoreLimits.rememberedSlots { windowEnd = Array(record.pointee.key.bytes) }
            } else {
                slotsAreComplete = false
            }
        } else {
            slots.append(slot)
            if totalIsKnown, let most = plan.candidates, candidates >= most { return true }
        }
        return false
    }

    private func endWalk() {
        if plan.countOnly {
            phase = .ready
            return
        }
        if case .natural = plan.order {
            prepareReading()
            return
        }
        beginSort()
    }

    func prepareReading() {
        phase = .ready
        // What does not fit the window is found again by walking on behind it.
        resumeKey = windowEnd
    }

    // MARK: The pass that reads

    /// Replaces the window by the keys behind it; only for answers longer than one window.
    func refill() {
        precondition(!slotsAreComplete)
        slots.removeAll(keepingCapacity: true)
        nextSlot = 0
        while slots.count < StoreLimits.rememberedSlots, elementsRead + slots.count < keyValueCount {
            if locked({ walkSlice(emit: true) }) { break }
        }
    }

    /// Collects a version for reading; true when the answer is complete or the window is full.
    private func collect(_ slot: UInt32) -> Bool {
        let record = store.table.slab[slot]
        guard plan.passes(record) else { return false }
        slots.append(slot)
        guard slots.count == StoreLimits.rememberedSlots || elementsRead + slots.count == keyValueCount else { return false }
        remember(record.pointee.key)
        return true
    }
}
