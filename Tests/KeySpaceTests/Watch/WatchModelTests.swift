// Random histories, watchers and clients against what each watcher must see: exactly the matching changes, in
// order, whole revisions, nothing twice.

import Storage
import Testing
import Wire

@testable import KeySpace

/// What a client knows of one of its watchers, in the order of the stream.
private struct ExpectedWatcher {
    let start: [UInt8]
    let end: [UInt8]
    let dropsPuts: Bool
    let dropsDeletes: Bool
    let wantsPrevious: Bool
    let fragments: Bool
    let startRevision: Int64
    /// Nothing below this may come any more; known when created.
    var next: Int64 = 0
    /// Changes of a response that is not complete yet.
    var parts: [Response.Event] = []
    var isCreated = false

    func matches(_ change: Change) -> Bool {
        if change.value == nil ? dropsDeletes : dropsPuts { return false }
        if end.isEmpty { return change.key == start }
        if change.key.lexicographicallyPrecedes(start) { return false }
        return end == [0] || change.key.lexicographicallyPrecedes(end)
    }
}

/// A stream as its client sees it.
private final class ModelStream {
    let client: WatchClient
    let stream: WatchStream
    var watchers: [Int64: ExpectedWatcher] = [:]
    /// Requests whose answer has not been read: creations in order.
    var pending: [ExpectedWatcher] = []
    /// Cancelled by compaction: the ID is taken until the client cancels.
    var compacted: Set<Int64> = []
    var events = 0

    init(_ client: WatchClient, _ stream: WatchStream) {
        self.client = client
        self.stream = stream
    }
}

private final class WatchModel {
    let fixture: WatchFixture
    var history: MemoryHistory { fixture.history }
    var hub: WatchHub { fixture.hub }
    var random: SeededRandom
    var streams: [ModelStream] = []
    var now: UInt64 = 0
    let valueSize: Int
    /// The hub's source, if it is not the history itself.
    let mirror: StoreMirror?
    var compactionCancels = 0
    var progressAnswers = 0
    var eventsSeen = 0

    init(seed: UInt64, valueSize: Int, mirror: StoreMirror? = nil) {
        random = SeededRandom(seed: seed)
        self.valueSize = valueSize
        self.mirror = mirror
        fixture = WatchFixture(seed: seed, source: mirror?.store) {
            $0.progressIntervalNanoseconds = 1_000_000_000
            $0.fragmentBytes = 3 * valueSize
        }
    }

    func int(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }

    func key() -> [UInt8] {
        let stem = ["", "a", "ab", "b", "b/x", "c"][int(0...5)]
        return Array((stem + "\(int(0...6))").utf8)
    }

    // MARK: Steps

    func step() {
        switch int(0...99) {
        case 0..<40: write()
        case 40..<50: hub.published(through: history.currentRevision)
        case 50..<60: if hub.hasWork { hub.runSlice() }
        case 60..<68: create()
        case 68..<70: cancel()
        case 70..<88: read()
        case 88..<91: if let stream = streams.randomElement(using: &random) { hub.progress(stream.stream) }
        case 91..<93:
            now += UInt64(int(0...400)) * 1_000_000
            hub.tick(now: now)
        case 93..<95: compact()
        case 95..<97:
            history.purge()
            mirror?.maintain(slices: int(1...20))
        case 97: if streams.count < 6 { open() }
        case 98: if streams.count > 3, int(0...3) == 0 { close() }
        default: fail()
        }
    }

    func write() {
        var changes: [RequestedChange] = []
        var used: Set<[UInt8]> = []
        for _ in 0..<[1, 1, 1, 2, 5][int(0...4)] {
            let key = key()
            guard used.insert(key).inserted else { continue }
            if int(0...3) == 0 {
                changes.append(RequestedChange(key: key, value: nil))
                // Delete and put of one key in one transaction is possible, if odd.
                if int(0...9) == 0 { changes.append(RequestedChange(key: key, value: [1])) }
            } else {
                let value = [UInt8](repeating: UInt8(int(0...255)), count: int(0...valueSize))
                changes.append(RequestedChange(key: key, value: value, lease: Int64(int(0...2))))
            }
        }
        mirror?.apply(changes)
        // The store cannot be read between a change and its publication; the history can.
        history.transaction(publish: mirror != nil || int(0...2) > 0) { transaction in
            for change in changes {
                if let value = change.value { transaction.put(change.key, value, lease: change.lease) } else { transaction.delete(change.key) }
            }
        }
        if let mirror { #expect(mirror.store.currentRevision == history.currentRevision) }
    }

    func open() {
        let (client, stream) = fixture.open(now: now)
        streams.append(ModelStream(client, stream))
    }

    func close() {
        let stream = streams.remove(at: int(0...streams.count - 1))
        hub.closeStream(stream.stream)
    }

    func create() {
        guard let stream = streams.randomElement(using: &random) else { return open() }
        guard stream.watchers.count + stream.pending.count < 12 else { return }
        var start = key()
        var end: [UInt8] = []
        switch int(0...5) {
        case 0: (start, end) = ([0], [0])
        case 1: end = [0]
        case 2:
            end = key()
            if !start.lexicographicallyPrecedes(end) { swap(&start, &end) }
            if start == end { end = [] }
        case 3: (start, end) = (Array("b".utf8), Array("c".utf8))
        default: break
        }
        let current = history.currentRevision
        let startRevision: Int64 = switch int(0...4) {
        case 0: max(1, current - Int64(int(0...30)))
        case 1: max(1, history.compactRevision + Int64(int(-1...3)))
        case 2: current + Int64(int(0...3))
        default: 0
        }
        let watcher = ExpectedWatcher(
            start: start, end: end, dropsPuts: int(0...7) == 0, dropsDeletes: int(0...7) == 0, wantsPrevious: int(0...1) == 0,
            fragments: int(0...3) == 0, startRevision: startRevision)
        stream.pending.append(watcher)
        fixture.create(stream.stream, start, end) {
            $0.startRevision = startRevision
            $0.dropsPuts = watcher.dropsPuts
            $0.dropsDeletes = watcher.dropsDeletes
            $0.wantsPrevious = watcher.wantsPrevious
            $0.fragment = watcher.fragments
            $0.progressNotify = int(0...2) == 0
        }
    }

    func cancel() {
        guard let stream = streams.randomElement(using: &random), let id = stream.watchers.keys.sorted().randomElement(using: &random) else { return }
        hub.cancel(stream.stream, id: id)
    }

    func compact() {
        let current = history.currentRevision
        let revision = max(history.compactRevision + 1, current - Int64(int(0...40)))
        guard revision <= current else { return }
        history.compact(revision)
        mirror?.compact(revision)
    }

    func fail() {
        guard int(0...3) == 0 else { return }
        history.failsReads = true
        hub.published(through: history.currentRevision)
        hub.runSlice()
        history.failsReads = false
        now += 200_000_000
        hub.tick(now: now)
    }

    func read() {
        guard let stream = streams.randomElement(using: &random) else { return }
        consume(stream, [1, 3, 100][int(0...2)])
    }

    func consume(_ stream: ModelStream, _ count: Int) {
        let (responses, isWritable) = stream.client.take(count)
        for response in responses { check(response, stream) }
        if isWritable { hub.writable(stream.stream) }
    }

    // MARK: Checking

    func check(_ response: Response, _ stream: ModelStream) {
        #expect(response.hasHeader && response.cluster == 0xc1)
        if response.created {
            var watcher = stream.pending.removeFirst()
            #expect(!response.canceled, "\(response.reason)")
            #expect(stream.watchers[response.id] == nil)
            watcher.isCreated = true
            watcher.next = watcher.startRevision == 0 ? response.revision + 1 : watcher.startRevision
            stream.watchers[response.id] = watcher
            return
        }
        if response.canceled {
            if response.compactRevision == 0 {
                #expect(stream.watchers.removeValue(forKey: response.id) != nil)
                stream.compacted.remove(response.id)
                return
            }
            compactionCancels += 1
            #expect(response.revision == 0 && response.events.isEmpty && response.reason == "")
            #expect(response.compactRevision <= history.compactRevision)
            guard let watcher = stream.watchers[response.id] else { return #expect(Bool(false), "no watcher \(response.id)") }
            #expect(watcher.next < response.compactRevision && watcher.parts.isEmpty)
            #expect(stream.compacted.insert(response.id).inserted)
            return
        }
        if response.isProgress {
            progressAnswers += 1
            for (id, watcher) in stream.watchers where response.id == -1 || response.id == id {
                #expect(!stream.compacted.contains(id) && watcher.parts.isEmpty)
                let missed = history.changes[history.positions(from: watcher.next, through: response.revision)].first(where: watcher.matches)
                #expect(missed == nil, "progress \(response.revision) overtook \(missed!.main) of watcher \(id)")
                // What a client resumes from.
                stream.watchers[id]!.next = max(watcher.next, response.revision + 1)
            }
            return
        }
        checkEvents(response, stream)
    }

    func checkEvents(_ response: Response, _ stream: ModelStream) {
        guard var watcher = stream.watchers[response.id] else { return #expect(Bool(false), "events for \(response.id)") }
        #expect(!stream.compacted.contains(response.id))
        #expect(response.revision >= response.revisions.last!)
        #expect(!response.fragment || watcher.fragments)
        watcher.parts += response.events
        defer { stream.watchers[response.id] = watcher }
        if response.fragment { return }
        let events = watcher.parts
        watcher.parts = []
        let last = events.last!.keyValue.modified
        var expected = history.positions(from: watcher.next, through: last).filter { watcher.matches(history.changes[$0]) }
        if expected.count != events.count { expected.removeAll { history.isHidden($0) && history.changes[$0].main <= history.compactRevision } }
        defer { watcher.next = last + 1 }
        guard expected.count == events.count else {
            let wanted = expected.map { history.changes[$0].main }
            return #expect(expected.count == events.count, "watcher \(response.id) from \(watcher.next): \(events.map(\.keyValue.modified)) instead of \(wanted)")
        }
        #expect(Set(events.map(\.keyValue.modified)).count <= 1000)
        for (index, event) in zip(expected, events) { checkEvent(index, event, watcher) }
        stream.events += events.count
        eventsSeen += events.count
    }

    func checkEvent(_ index: Int, _ event: Response.Event, _ watcher: ExpectedWatcher) {
        let change = history.changes[index]
        #expect(event.isDelete == (change.value == nil))
        let wanted = Response.KeyValue(
            key: change.key, created: change.created, modified: change.main, version: change.version, value: change.value ?? [], lease: change.lease)
        #expect(event.keyValue == wanted)
        let older = watcher.wantsPrevious && change.created != change.main ? history.previousValue(of: index) : nil
        guard let previous = event.previous else {
            #expect(older == nil || change.main - 1 < history.compactRevision, "no previous value at \(change.main)")
            return
        }
        #expect(previous.modified == older?.main && previous.value == older?.value && previous.version == older?.version)
    }

    /// Everybody reads everything: nothing may be missing.
    func finish() {
        history.publish()
        now += 10_000_000_000
        hub.tick(now: now)
        while true {
            hub.published(through: history.currentRevision)
            while hub.hasWork { hub.runSlice() }
            for stream in streams { consume(stream, .max) }
            if !hub.hasWork, streams.allSatisfy({ $0.client.messages.isEmpty }) { break }
        }
        hub.checkInvariants()
        for stream in streams {
            #expect(stream.pending.isEmpty)
            for (id, watcher) in stream.watchers where !stream.compacted.contains(id) {
                let missed = history.changes[history.positions(from: watcher.next)].first(where: watcher.matches)
                #expect(missed == nil, "watcher \(id) never got \(missed!.main)")
            }
        }
        let answers = progressAnswers
        var asked = 0
        for stream in streams where !stream.watchers.isEmpty && stream.compacted.isEmpty {
            guard stream.watchers.values.allSatisfy({ $0.startRevision <= history.currentRevision }) else { continue }
            asked += 1
            hub.progress(stream.stream)
            consume(stream, .max)
        }
        #expect(progressAnswers - answers == asked, "whoever is synced is told so")
        for stream in streams { hub.closeStream(stream.stream) }
        hub.checkInvariants()
        #expect(history.pins.isEmpty && hub.statistics.watchers == 0)
        if let mirror { #expect(mirror.pinCount == 0) }
    }

    func run(steps: Int) {
        for _ in 0..<3 { open() }
        for step in 0..<steps {
            self.step()
            if step % 16 == 0 { hub.checkInvariants() }
        }
        finish()
        #expect(eventsSeen > 0)
    }
}

@Suite struct WatchModelTests {
    /// Small values: streams are hardly ever full. Large ones: they nearly always are.
    @Test(arguments: [(11, 20), (12, 20), (13, 40_000), (14, 40_000), (15, 300_000)] as [(UInt64, Int)])
    func everyWatcherSeesItsHistory(_ seed: UInt64, _ valueSize: Int) {
        for round in 0..<UInt64(soakFactor) {
            let seed = testSeed(seed + 1000 * round)
            let model = WatchModel(seed: seed, valueSize: valueSize)
            model.run(steps: valueSize > 1000 ? 1500 : 4000)
            print("seed \(seed): \(model.eventsSeen) events, \(model.compactionCancels) cancelled by compaction, \(model.progressAnswers) progress")
        }
    }

    /// The same with the real store underneath: pins against purges, records that are moved while they are wanted.
    @Test(arguments: [(51, 20), (52, 2000), (53, 40_000)] as [(UInt64, Int)])
    func onTheStore(_ seed: UInt64, _ valueSize: Int) {
        for round in 0..<UInt64(soakFactor) {
            let seed = testSeed(seed + 1000 * round)
            let model = WatchModel(seed: seed, valueSize: valueSize, mirror: StoreMirror(seed: seed))
            model.run(steps: valueSize > 10_000 ? 800 : 3000)
            print("seed \(seed): \(model.eventsSeen) events, \(model.compactionCancels) cancelled by compaction, \(model.progressAnswers) progress")
        }
    }
}
