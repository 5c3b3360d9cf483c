// A client's watch streams, made when they are first needed.

import Synchronization

final class WatchHubs: Sendable {
    private let hubs = Mutex<[Bool: WatchHub]>([:])

    func hub(_ client: Client, _ requiresLeader: Bool) -> WatchHub {
        hubs.withLock { hubs in
            if let hub = hubs[requiresLeader] { return hub }
            let hub = WatchHub(client: client, requiresLeader: requiresLeader)
            hubs[requiresLeader] = hub
            return hub
        }
    }
}
