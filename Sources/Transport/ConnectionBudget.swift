// How many connections all listeners of a server may hold together.

import Synchronization

/// Connections that several listeners share: without it the clients of each listener could use up the file
/// descriptors that the others, and the store's files, need.
public final class ConnectionBudget: Sendable {
    public let limit: Int
    private let open = Atomic<Int>(0)
    /// Listeners that wait for room, and how to wake them.
    private let waiting = Mutex<[ObjectIdentifier: @Sendable () -> Void]>([:])
    private let pauses = Atomic<Int>(0)

    public init(limit: Int) {
        precondition(limit > 0)
        self.limit = limit
    }

    /// Connections that are open now.
    public var openConnections: Int { open.load(ordering: .relaxed) }
    /// Times that a listener stopped to accept because there was no room.
    public var acceptPauses: Int { pauses.load(ordering: .relaxed) }

    var hasRoom: Bool { openConnections < limit }

    func opened() { open.add(1, ordering: .sequentiallyConsistent) }

    /// A listener stopped to accept.
    func paused() { pauses.add(1, ordering: .relaxed) }

    /// Calls `wake` when there may be room again; at once if there is some by now.
    func wait(_ listener: AnyObject, _ wake: @escaping @Sendable () -> Void) {
        waiting.withLock { $0[ObjectIdentifier(listener)] = wake }
        // One may have closed between the look and the entry.
        if open.load(ordering: .sequentiallyConsistent) < limit { wakeAll() }
    }

    func forget(_ listener: AnyObject) { waiting.withLock { $0[ObjectIdentifier(listener)] = nil } }

    func closed() {
        open.subtract(1, ordering: .sequentiallyConsistent)
        wakeAll()
    }

    private func wakeAll() {
        let wakes = waiting.withLock { waiting in
            defer { waiting.removeAll() }
            return Array(waiting.values)
        }
        for wake in wakes { wake() }
    }
}
