// Watch sessions against a small model of a server: connections break at random, readers are slow at random, and every
// change must come once and in order.

import Testing
import Wire

@testable import Client

/// A server with one key a change: revision r changes key r % keys. It answers watch requests as etcd does.
private struct ModelServer {
    var revision: Int64 = 1
    var compacted: Int64 = 0
    /// Watch ID: the next revision to send, and what it watches.
    var watches: [Int64: (next: Int64, key: UInt8, sizes: Int)] = [:]
    var lastID: Int64 = 0
    let keys: UInt8 = 3

    func key(of revision: Int64) -> UInt8 { UInt8(truncatingIfNeeded: revision) % keys }

    mutating func disconnect() { watches = [:] }

    mutating func receive(_ message: [UInt8]) -> [WatchResponse] {
        message.withUnsafeBytes { view in
            switch try! WatchRequest(decoding: view) {
            case .create(let create):
                lastID += 1
                let next = create.startRevision == 0 ? revision + 1 : create.startRevision
                var created = response(lastID)
                created.isCreated = true
                if next <= compacted {
                    var canceled = response(lastID)
                    canceled.isCanceled = true
                    canceled.compactRevision = compacted + 1
                    return [created, canceled]
                }
                watches[lastID] = (next, create.key[0], 0)
                return [created]
            case .cancel(let id):
                guard watches.removeValue(forKey: id) != nil else { return [] }
                var canceled = response(id)
                canceled.isCanceled = true
                return [canceled]
            case .progress:
                // Never ahead of what was not sent.
                return watches.keys.sorted().flatMap { pump($0, fragments: false) } + [response(-1)]
            case .none: return []
            }
        }
    }

    private func response(_ id: Int64) -> WatchResponse {
        var response = WatchResponse()
        response.header.revision = revision
        response.watchID = id
        return response
    }

    /// What a watch is due, perhaps in fragments.
    mutating func pump(_ id: Int64, fragments: Bool) -> [WatchResponse] {
        guard let watch = watches[id] else { return [] }
        var events: [WatchEvent] = []
        for revision in watch.next..<max(watch.next, revision + 1) where key(of: revision) == watch.key {
            var event = WatchEvent()
            event.kv.key = [watch.key]
            event.kv.modRevision = revision
            events.append(event)
        }
        watches[id]!.next = max(watch.next, revision + 1)
        if events.isEmpty { return [] }
        if !fragments {
            var whole = response(id)
            whole.events = events
            whole.byteCount = events.count * 1_000_000
            return [whole]
        }
        return events.enumerated().map { index, event in
            var part = response(id)
            part.events = [event]
            part.byteCount = 1_000_000
            part.isFragment = index < events.count - 1
            return part
        }
    }
}

struct WatchSessionTests {
    @Test(arguments: 0..<60) func everyChangeOnceAndInOrder(_ seed: UInt64) {
        var random = SplitMix(state: seed &* 0x9e37_79b9 &+ 7)
        var server = ModelServer()
        var session = WatchSession()
        /// Per watcher: its key, what it must see next, what it has not read.
        struct Reader {
            var key: UInt8
            var expected: Int64?
            var inbox: [WatchResponse] = []
            var failure: ClientError?
        }
        var readers: [UInt64: Reader] = [:]
        var wire: [WatchResponse] = []
        var isUp = false

        func deliver(_ actions: [WatchSession.Action]) {
            for action in actions {
                switch action {
                case .send(let message): if isUp { wire += server.receive(message) }
                case .deliver(let key, let response): readers[key]!.inbox.append(response)
                case .end(let key, let error): readers[key]!.failure = error
                case .reopen, .close: break
                }
            }
            session.check()
        }
        func read(_ key: UInt64) {
            guard let response = readers[key]!.inbox.first else { return }
            readers[key]!.inbox.removeFirst()
            for event in response.events {
                let revision = event.kv.modRevision
                if let expected = readers[key]!.expected {
                    let due = (expected...max(expected, revision)).first { server.key(of: $0) == readers[key]!.key }
                    #expect(due == revision, "seed \(seed): watcher \(key) got \(revision) instead of \(due ?? -1)")
                }
                readers[key]!.expected = revision + 1
            }
            deliver(session.taken(key, response.byteCount))
        }

        for _ in 0..<400 {
            switch random.next() % 12 {
            case 0:
                guard readers.count < 8 else { continue }
                var watch = Watch(.key([UInt8(random.next() % 3)]))
                watch.startRevision = random.next() % 2 == 0 ? 0 : Int64(random.next() % UInt64(server.revision)) + 1
                let (key, actions) = session.add(watch)
                readers[key] = Reader(key: watch.range.bounds.key[0], expected: watch.startRevision == 0 ? nil : watch.startRevision)
                deliver(actions)
            case 1:
                guard let key = readers.keys.sorted().randomElement(using: &random), random.next() % 3 == 0 else { continue }
                deliver(session.cancel(key))
                readers[key] = nil
            case 2:
                isUp = false
                wire = []
                server.disconnect()
                session.disconnected()
                session.check()
            case 3, 4:
                guard !isUp else { continue }
                isUp = true
                deliver(session.connected())
            case 5, 6: server.revision += Int64(random.next() % 12)
            case 7, 8: for id in server.watches.keys.sorted() { wire += server.pump(id, fragments: random.next() % 2 == 0) }
            case 9: deliver(session.requestProgress())
            case 10: if let key = readers.keys.sorted().randomElement(using: &random) { read(key) }
            default:
                while !wire.isEmpty, random.next() % 8 > 0 { deliver(session.received(wire.removeFirst())) }
            }
            for (key, watcher) in session.watchers {
                // What was on its way when the bound was reached.
                #expect(watcher.heldBytes <= ClientLimits.watcherHeldBytes + 12_000_000 * 40, "seed \(seed): watcher \(key)")
            }
        }
        // In the end everybody sees everything.
        if !isUp {
            isUp = true
            deliver(session.connected())
        }
        var isMoving = true
        while isMoving {
            isMoving = false
            while !wire.isEmpty {
                deliver(session.received(wire.removeFirst()))
                isMoving = true
            }
            for key in readers.keys.sorted() where !readers[key]!.inbox.isEmpty {
                read(key)
                isMoving = true
            }
            for id in server.watches.keys.sorted() {
                let more = server.pump(id, fragments: false)
                wire += more
                isMoving = isMoving || !more.isEmpty
            }
        }
        for (key, reader) in readers {
            #expect(reader.failure == nil, "seed \(seed): watcher \(key)")
            guard let expected = reader.expected else { continue }
            let missed = (expected..<max(expected, server.revision + 1)).first { server.key(of: $0) == reader.key }
            #expect(missed == nil, "seed \(seed): watcher \(key) misses \(missed ?? -1)")
        }
    }

    @Test func compactionEndsWithItsRevision() {
        var session = WatchSession()
        var watch = Watch(.key("a"))
        watch.startRevision = 3
        let (key, _) = session.add(watch)
        _ = session.connected()
        var created = WatchResponse()
        created.isCreated = true
        created.watchID = 1
        _ = session.received(created)
        var canceled = WatchResponse()
        canceled.watchID = 1
        canceled.isCanceled = true
        canceled.compactRevision = 9
        let actions = session.received(canceled)
        guard case .end(key, let error)? = actions.first, case .close? = actions.last else {
            Issue.record("\(actions)")
            return
        }
        #expect(error.compactRevision == 9 && error.matches(.compacted))
    }

    @Test func slowReadersLeaveAndComeBack() {
        var session = WatchSession()
        let (key, _) = session.add(Watch(.key("a")))
        _ = session.connected()
        var response = WatchResponse()
        response.isCreated = true
        response.watchID = 4
        response.header.revision = 10
        _ = session.received(response)
        response.isCreated = false
        response.byteCount = ClientLimits.watcherHeldBytes + 1
        var event = WatchEvent()
        event.kv.modRevision = 11
        response.events = [event]
        let actions = session.received(response)
        guard actions.count == 2, case .send(let message) = actions[1] else {
            Issue.record("\(actions)")
            return
        }
        #expect(message == [0x12, 2, 8, 4])
        #expect(session.watchers[key]!.phase == .parked)
        // What was on its way is not for it: it comes again.
        #expect(session.received(response).isEmpty)
        let back = session.taken(key, response.byteCount)
        guard case .send(let create)? = back.first else {
            Issue.record("\(back)")
            return
        }
        create.withUnsafeBytes {
            guard case .create(let request)? = try? WatchRequest(decoding: $0) else {
                Issue.record("no creation")
                return
            }
            #expect(request.startRevision == 12)
        }
        session.check()
    }
}

struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
