// Watching keys.

import Wire

extension Client {
    /// Watches a range. The answers come in the order of revisions, each change once, whatever happens to connections;
    /// only a watch that is behind what was compacted ends, with `ClientError.compactRevision` saying from where one
    /// can go on after reading anew.
    ///
    /// The sequence ends without an error when its task is canceled.
    ///
    /// - Parameter requiresLeader: the watch fails when its member has lost the leader, instead of waiting.
    public func watch(_ watch: Watch, requiresLeader: Bool = false) async -> WatchSequence {
        let hub = hub(requiresLeader)
        return WatchSequence(watcher: Watcher(client: self, hub: hub, key: await hub.add(watch)))
    }

    /// Asks for progress answers to all watches of this client (those that require a leader, or the others): how far they are.
    public func requestWatchProgress(requiresLeader: Bool = false) async { await hub(requiresLeader).requestProgress() }

    private func hub(_ requiresLeader: Bool) -> WatchHub { hubs.hub(self, requiresLeader) }
}

/// Lives as long as the sequence or an iterator of it.
final class Watcher: Sendable {
    let client: Client
    let hub: WatchHub
    let key: UInt64

    init(client: Client, hub: WatchHub, key: UInt64) {
        self.client = client
        self.hub = hub
        self.key = key
    }

    deinit { Task { [client, hub, key] in 
            await hub.cancel(key)
            withExtendedLifetime(client) {}
         } }
}

/// Answers of one watch. To be read by one task.
public struct WatchSequence: AsyncSequence, Sendable {
    public typealias Element = WatchResponse
    public typealias Failure = ClientError

    let watcher: Watcher

    public struct Iterator: AsyncIteratorProtocol {
        let watcher: Watcher

        public mutating func next() async throws(ClientError) -> WatchResponse? { try await watcher.hub.next(watcher.key) }

        public mutating func next(isolation actor: isolated (any Actor)?) async throws(ClientError) -> WatchResponse? {
            try await watcher.hub.next(watcher.key)
        }
    }

    public func makeAsyncIterator() -> Iterator { Iterator(watcher: watcher) }

    /// Ends the sequence.
    public func cancel() async { await watcher.hub.cancel(watcher.key) }
}
