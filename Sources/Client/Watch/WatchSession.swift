// What a watch stream with many watchers does over connections that come and go: a value without I/O.

import Wire

/// Watchers of one stream. Each has a next revision, moved by what was handed to it, from which it goes on after a lost
/// connection or when its reader was slow: so nothing is missed and nothing comes twice.
struct WatchSession {
    enum Phase: Equatable {
        /// To be created at the server, which is done one after the other: refusals do not name their watch.
        case waiting
        case creating
        case active(serverID: Int64)
        /// Its reader is behind: not at the server until it has caught up.
        case parked
    }

    struct Watcher {
        let watch: Watch
        /// 0: from now, and the server has not said when that is.
        var nextRevision: Int64
        var phase = Phase.waiting
        /// The part of a fragmented answer that has come.
        var partial: WatchResponse?
        /// Bytes that its reader has not taken.
        var heldBytes = 0
        var isCreationTold = false
    }

    enum Action {
        case send([UInt8])
        case deliver(UInt64, WatchResponse)
        /// The watcher has ended. Nothing further comes to it.
        case end(UInt64, ClientError)
        /// The token was refused: a new stream with another one.
        case reopen(ClientError)
        /// Nothing is watched any longer.
        case close
    }

    private(set) var watchers: [UInt64: Watcher] = [:]
    private var byServerID: [Int64: UInt64] = [:]
    /// In the order of their creation.
    private var queue: [UInt64] = []
    private var creating: UInt64?
    /// The creation in progress is of a watcher that is gone.
    private var isCreatingForNobody = false
    private(set) var isConnected = false
    private var isProgressWanted = false
    private var lastKey: UInt64 = 0

    var isEmpty: Bool { watchers.isEmpty }

    // MARK: Users

    mutating func add(_ watch: Watch) -> (key: UInt64, actions: [Action]) {
        lastKey += 1
        watchers[lastKey] = Watcher(watch: watch, nextRevision: watch.startRevision)
        queue.append(lastKey)
        return (lastKey, createNext())
    }

    mutating func cancel(_ key: UInt64) -> [Action] {
        guard let watcher = watchers.removeValue(forKey: key) else { return [] }
        queue.removeAll { $0 == key }
        var actions: [Action] = []
        switch watcher.phase {
        case .active(let id):
            byServerID[id] = nil
            actions.append(.send(Self.cancelRequest(id)))
        case .creating: isCreatingForNobody = true
        case .waiting, .parked: break
        }
        return actions + (watchers.isEmpty ? [.close] : [])
    }

    /// The reader of a watcher took an answer of so many bytes.
    mutating func taken(_ key: UInt64, _ bytes: Int) -> [Action] {
        guard var watcher = watchers[key] else { return [] }
        watcher.heldBytes -= bytes
        defer { watchers[key] = watcher }
        guard watcher.phase == .parked, watcher.heldBytes <= ClientLimits.watcherHeldBytes / 2 else { return [] }
        watcher.phase = .waiting
        watchers[key] = watcher
        queue.append(key)
        let actions = createNext()
        watcher = watchers[key]!
        return actions
    }

    /// Asks the server to say how far it is, when it knows all watchers.
    mutating func requestProgress() -> [Action] {
        isProgressWanted = true
        return createNext()
    }

    // MARK: The stream

    mutating func connected() -> [Action] {
        isConnected = true
        return createNext()
    }

    mutating func disconnected() {
        isConnected = false
        byServerID = [:]
        creating = nil
        isCreatingForNobody = false
        for key in watchers.keys where watchers[key]!.phase != .parked {
            watchers[key]!.phase = .waiting
            watchers[key]!.partial = nil
        }
        queue = watchers.keys.filter { watchers[$0]!.phase == .waiting }.sorted()
    }

    /// Ends everything; for errors that no other connection would mend.
    mutating func fail(_ error: ClientError) -> [Action] {
        let keys = watchers.keys.sorted()
        disconnected()
        watchers = [:]
        queue = []
        return keys.map { .end($0, error) } + [.close]
    }

    mutating func received(_ response: WatchResponse) -> [Action] {
        if response.isCreated { return created(response) }
        if response.watchID == -1, response.events.isEmpty, !response.isCanceled {
            // The answer to a progress request is for everybody.
            return byServerID.values.sorted().flatMap { progressed($0, response, isAskedFor: true) }
        }
        // Answers to watchers that left.
        guard let key = byServerID[response.watchID], var watcher = watchers[key] else { return [] }
        if response.isCanceled || response.compactRevision != 0 {
            byServerID[response.watchID] = nil
            return end(key, response)
        }
        if response.events.isEmpty, !response.isFragment, watcher.partial == nil { return progressed(key, response, isAskedFor: false) }
        var whole = response
        if var partial = watcher.partial {
            partial.events += response.events
            partial.byteCount += response.byteCount
            partial.isFragment = response.isFragment
            whole = partial
        }
        if whole.isFragment {
            guard whole.byteCount <= ClientLimits.fragmentBytesMax else {
                byServerID[response.watchID] = nil
                watchers[key] = nil
                let error = ClientError(.resourceExhausted, "a watch response is larger than \(ClientLimits.fragmentBytesMax) bytes")
                return [.send(Self.cancelRequest(response.watchID)), .end(key, error)] + (watchers.isEmpty ? [.close] : [])
            }
            watcher.partial = whole
            watchers[key] = watcher
            return []
        }
        watcher.partial = nil
        watcher.nextRevision = max(watcher.nextRevision, whole.events.last.map { $0.kv.modRevision + 1 } ?? 0)
        watcher.heldBytes += whole.byteCount
        var actions: [Action] = [.deliver(key, whole)]
        if watcher.heldBytes > ClientLimits.watcherHeldBytes {
            byServerID[response.watchID] = nil
            watcher.phase = .parked
            actions.append(.send(Self.cancelRequest(response.watchID)))
        }
        watchers[key] = watcher
        return actions
    }

    private mutating func created(_ response: WatchResponse) -> [Action] {
        guard let key = creating else { return [] }
        creating = nil
        if isCreatingForNobody {
            isCreatingForNobody = false
            let actions: [Action] = response.isCanceled ? [] : [.send(Self.cancelRequest(response.watchID))]
            return actions + createNext()
        }
        guard var watcher = watchers[key] else { return createNext() }
        if response.isCanceled {
            if [CallError.invalidAuthToken, .authOldRevision].contains(where: { response.cancelReason.hasSuffix($0.message) }) {
                return [.reopen(ClientError(CallError.invalidAuthToken))]
            }
            let actions = end(key, response)
            return actions + createNext()
        }
        watcher.phase = .active(serverID: response.watchID)
        byServerID[response.watchID] = key
        if watcher.nextRevision == 0 { watcher.nextRevision = response.header.revision + 1 }
        var actions: [Action] = []
        if watcher.watch.tellsCreation, !watcher.isCreationTold {
            actions.append(.deliver(key, response))
            watcher.heldBytes += response.byteCount
        }
        watcher.isCreationTold = true
        watchers[key] = watcher
        return actions + createNext()
    }

    private mutating func progressed(_ key: UInt64, _ response: WatchResponse, isAskedFor: Bool) -> [Action] {
        guard let watcher = watchers[key] else { return [] }
        watchers[key]!.nextRevision = max(watcher.nextRevision, response.header.revision + 1)
        guard isAskedFor || watcher.watch.wantsProgress else { return [] }
        watchers[key]!.heldBytes += response.byteCount
        return [.deliver(key, response)]
    }

    private mutating func end(_ key: UInt64, _ response: WatchResponse) -> [Action] {
        watchers[key] = nil
        let error: ClientError
        if response.compactRevision != 0 {
            error = ClientError(
                CallError.compacted.code, CallError.compacted.message, compactRevision: response.compactRevision)
        } else if response.cancelReason.isEmpty {
            error = ClientError(CallError.watchCanceled)
        } else {
            error = ClientError(.unknown, response.cancelReason)
        }
        return [.end(key, error)] + (watchers.isEmpty ? [.close] : [])
    }

    private mutating func createNext() -> [Action] {
        guard isConnected, creating == nil else { return [] }
        guard !queue.isEmpty else {
            guard isProgressWanted else { return [] }
            isProgressWanted = false
            return [.send(encoded { sink in sink.message(3) { _ in } })]
        }
        let key = queue.removeFirst()
        creating = key
        watchers[key]!.phase = .creating
        let watcher = watchers[key]!
        return [.send(encoded { sink in sink.message(1) { Self.encode(watcher.watch, from: watcher.nextRevision, to: $0) } })]
    }

    // MARK: Requests

    private static func encode(_ watch: Watch, from revision: Int64, to sink: ByteSink) {
        let (key, end) = watch.range.bounds
        sink.field(1, key)
        sink.field(2, end)
        sink.field(3, revision)
        sink.field(4, watch.wantsProgress)
        if watch.dropsPuts { sink.always(5, 0 as UInt64) }
        if watch.dropsDeletes { sink.always(5, 1 as UInt64) }
        sink.field(6, watch.wantsPrevious)
        sink.field(8, watch.fragments)
    }

    private static func cancelRequest(_ id: Int64) -> [UInt8] {
        encoded { sink in sink.message(2) { $0.field(1, id) } }
    }

    // MARK: Invariants

    func check() {
        for (id, key) in byServerID { precondition(watchers[key]?.phase == .active(serverID: id)) }
        precondition(Set(queue).count == queue.count)
        for key in queue { precondition(watchers[key]?.phase == .waiting) }
        for (key, watcher) in watchers {
            switch watcher.phase {
            case .waiting: precondition(queue.contains(key))
            case .creating: precondition(creating == key && isConnected)
            case .active(let id): precondition(byServerID[id] == key && watcher.nextRevision > 0)
            case .parked: precondition(watcher.nextRevision > 0)
            }
        }
    }
}
