// One watcher as a plain struct, and the slab that holds them all: a hub has up to hundreds of thousands,
// mostly idle, and fan-out must not count references.

#if canImport(Glibc)
import Glibc
#endif

/// Index of a watcher in its hub's table.
typealias WatcherIndex = UInt32

extension WatcherIndex {
    static let noWatcher = UInt32.max
}

struct Watcher {
    struct Flags: OptionSet {
        let rawValue: UInt8
        static let progressNotify = Flags(rawValue: 1)
        static let wantsPrevious = Flags(rawValue: 2)
        static let fragment = Flags(rawValue: 4)
        static let dropsPuts = Flags(rawValue: 8)
        static let dropsDeletes = Flags(rawValue: 16)
        /// No event was sent since the last progress tick (or creation).
        static let idle = Flags(rawValue: 32)
        /// Did not get all of its matches in the running slice of catch-up.
        static let isStopped = Flags(rawValue: 64)
    }

    enum State: UInt8 {
        /// In the hub's index: gets events as they are published.
        case synced
        /// Needs history from `next` on; in its stream's list of such.
        case behind
        /// Cancelled by compaction; keeps its ID until the client cancels it or the stream ends.
        case compacted
    }

    enum Interval: UInt8 {
        case key
        /// `start` ..< `end`.
        case range
        /// `start` and everything after it.
        case fromKey
    }

    var stream: Unmanaged<WatchStream>
    var id: Int64
    /// start_revision as asked for.
    var start: Int64
    /// No event below this revision may be delivered (any more).
    var next: Int64
    /// Start and end of the interval, one behind the other, owned.
    var bytes: UnsafeMutableRawPointer
    var startCount: UInt32
    var endCount: UInt32
    var interval: Interval
    var state: State
    var flags: Flags
    /// Whose keys it watches.
    var resource = ResourceID.other
    /// Slot in the key table or node of the range tree while in an index.
    var place: UInt32 = .noWatcher
    /// Watchers of the same interval while in an index; the stream's list while behind.
    var previousInList: WatcherIndex = .noWatcher
    var nextInList: WatcherIndex = .noWatcher
    /// Matches of the batch that is being delivered.
    var firstMatch: UInt32 = .noWatcher
    var lastMatch: UInt32 = .noWatcher

    @inline(__always)
    var startKey: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: bytes, count: Int(startCount)) }
    @inline(__always)
    var endKey: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: bytes + Int(startCount), count: Int(endCount)) }

    @inline(__always)
    func contains(_ key: UnsafeRawBufferPointer) -> Bool {
        switch interval {
        case .key: key.count == startKey.count && compareKeys(key, startKey) == 0
        case .range: compareKeys(startKey, key) <= 0 && compareKeys(key, endKey) < 0
        case .fromKey: compareKeys(startKey, key) <= 0
        }
    }

    @inline(__always)
    func wants(_ change: ChangeView) -> Bool {
        change.revision >= next && !flags.contains(change.isDelete ? .dropsDeletes : .dropsPuts)
    }
}

/// The slab of watchers. Addresses change when it grows, indices do not.
final class WatcherTable {
    private var slots: UnsafeMutablePointer<Watcher>
    private var capacity = 64
    /// Slots that were ever used; the rest is uninitialised.
    private var used: UInt32 = 0
    private var firstFree: WatcherIndex = .noWatcher
    private(set) var count = 0

    init() { slots = .allocate(capacity: capacity) }

    deinit { slots.deallocate() }

    @inline(__always)
    subscript(_ index: WatcherIndex) -> UnsafeMutablePointer<Watcher> { slots + Int(index) }

    func insert(_ watcher: Watcher) -> WatcherIndex {
        count += 1
        if firstFree != .noWatcher {
            let index = firstFree
            firstFree = self[index].pointee.nextInList
            self[index].pointee = watcher
            return index
        }
        if Int(used) == capacity { grow() }
        let index = used
        used += 1
        self[index].initialize(to: watcher)
        return index
    }

    /// Frees the watcher's key and its slot.
    func remove(_ index: WatcherIndex) {
        free(self[index].pointee.bytes)
        self[index].pointee.nextInList = firstFree
        firstFree = index
        count -= 1
    }

    private func grow() {
        let larger = UnsafeMutablePointer<Watcher>.allocate(capacity: capacity * 2)
        larger.moveInitialize(from: slots, count: capacity)
        slots.deallocate()
        slots = larger
        capacity *= 2
    }
}
