// What counts against the memory of an event loop.

/// A connection of any protocol, as its loop sees it when too much is held.
protocol MemoryHolder: AnyObject {
    /// Requests in part, and output that waits for the peer.
    var heldBytes: Int { get }
    /// Ends the connection at once, without a word; it holds nothing any more.
    func cut()
}

extension ServerConnection: MemoryHolder {}
