// Revisions that readers are still reading: a purge does not go past the oldest.

struct RevisionPins {
    /// Few at a time: answers that are being streamed, snapshots, hash jobs.
    private var counts: [Int64: Int] = [:]
    private(set) var oldest = Int64.max

    mutating func add(_ revision: Int64) {
        counts[revision, default: 0] += 1
        if revision < oldest { oldest = revision }
    }

    mutating func remove(_ revision: Int64) {
        guard let count = counts[revision] else { preconditionFailure("revision \(revision) is not pinned") }
        if count > 1 {
            counts[revision] = count - 1
            return
        }
        counts[revision] = nil
        if revision == oldest { oldest = counts.keys.min() ?? .max }
    }

    var count: Int { counts.values.reduce(0, +) }
}

/// A revision that stays readable, whatever is compacted meanwhile. Ends with its last reference.
public final class ReadSnapshot: Sendable {
    public let revision: Int64
    private let store: MVCCStore

    init(pinnedIn store: MVCCStore, at revision: Int64) {
        self.store = store
        self.revision = revision
    }

    deinit { store.exclusively { store.pins.remove(revision) } }
}
