// The rules of the Watch API one by one.

import Storage
import Testing
import Wire

@testable import KeySpace

@Suite struct WatchRuleTests {
    // MARK: Creation

    @Test func createdComesFirstWithTheStoresRevision() {
        let fixture = WatchFixture()
        let (client, stream) = fixture.open()
        fixture.history.put("a")
        fixture.create(stream, "a")
        fixture.history.put("a", "2")
        let responses = fixture.drain(client, stream)
        #expect(responses.count == 2)
        #expect(responses[0].created && !responses[0].canceled && responses[0].events.isEmpty)
        #expect(responses[0].revision == 2 && responses[0].id == 0)
        #expect(responses[0].cluster == 0xc1 && responses[0].member == 0xa1 && responses[0].term == 7)
        // Not the put before the creation, though the hub learned of it later.
        #expect(responses[1].revisions == [3] && responses[1].revision == 3)
    }

    @Test func aHubBehindTheStoreDeliversNothingFromBeforeTheCreation() {
        let fixture = WatchFixture()
        let (client, stream) = fixture.open()
        fixture.create(stream, "other")
        for _ in 0..<5 { fixture.history.put("a") }
        // The hub has not been told of any of them.
        fixture.create(stream, "a")
        let responses = fixture.drain(client, stream)
        #expect(responses.map(\.created) == [true, true])
        #expect(responses[1].revision == 6)
        fixture.history.put("a")
        #expect(fixture.drain(client, stream).map(\.revisions) == [[7]])
    }

    @Test func startRevisionReplaysAndThenFollows() {
        let fixture = WatchFixture()
        for value in 0..<5 { fixture.history.put("a", "\(value)") }
        let (client, stream) = fixture.open()
        fixture.create(stream, "a") { $0.startRevision = 3 }
        var responses = fixture.drain(client, stream)
        #expect(responses.count == 2)
        #expect(responses[1].revisions == [3, 4, 5, 6])
        #expect(responses[1].revision == 6)
        fixture.history.put("a")
        responses = fixture.drain(client, stream)
        #expect(responses.map(\.revisions) == [[7]])
    }

    @Test func futureStartWaits() {
        let fixture = WatchFixture()
        let (client, stream) = fixture.open()
        fixture.create(stream, "a") { $0.startRevision = 4 }
        fixture.history.put("a")
        fixture.history.put("a")
        #expect(fixture.drain(client, stream).map(\.created) == [true])
        fixture.history.put("a")
        #expect(fixture.drain(client, stream).map(\.revisions) == [[4]])
    }

    @Test func refusals() {
        let fixture = WatchFixture()
        fixture.history.put("x")
        let (client, stream) = fixture.open()
        fixture.create(stream, "a") { $0.startRevision = -1 }
        fixture.create(stream, "b", "a")
        fixture.create(stream, "b", "b")
        fixture.create(stream, "a") { $0.watchID = 5 }
        fixture.create(stream, "a") { $0.watchID = 5 }
        fixture.hub.refuse(stream, reason: "rpc error: code = PermissionDenied desc = etcdserver: permission denied")
        let responses = fixture.drain(client, stream)
        let texts = [
            "etcdserver: mvcc: required revision has been compacted", "mvcc: watcher range is empty", "mvcc: watcher range is empty", "",
            "mvcc: duplicate watch ID provided on the WatchStream",
            "rpc error: code = PermissionDenied desc = etcdserver: permission denied",
        ]
        #expect(responses.map(\.reason) == texts)
        #expect(responses.map(\.id) == [-1, -1, -1, 5, -1, -1])
        #expect(responses.allSatisfy { $0.created && $0.canceled == ($0.id == -1) && $0.revision == 2 && $0.compactRevision == 0 })
        #expect(fixture.hub.statistics.watchers == 1)
    }

    @Test func idsCountUpPastTakenOnes() {
        let fixture = WatchFixture()
        let (client, stream) = fixture.open()
        fixture.create(stream, "a")
        fixture.create(stream, "a") { $0.watchID = 1 }
        fixture.create(stream, "a")
        fixture.hub.cancel(stream, id: 0)
        fixture.create(stream, "a")
        fixture.create(stream, "a") { $0.watchID = -7 }
        fixture.hub.cancel(stream, id: 1)
        fixture.create(stream, "a") { $0.watchID = 1 }
        let responses = fixture.drain(client, stream)
        #expect(responses.map(\.id) == [0, 1, 2, 0, 3, -7, 1, 1])
        #expect(responses.map(\.canceled) == [false, false, false, true, false, false, true, false])
    }

    @Test func keyRangeForms() {
        let fixture = WatchFixture()
        let (client, stream) = fixture.open()
        fixture.create(stream, [], [])  // the key of one zero byte
        fixture.create(stream, [0], [0])  // everything
        fixture.create(stream, Array("b".utf8), [0])  // from b on
        fixture.create(stream, "a", "b")
        fixture.create(stream, "b")
        _ = fixture.drain(client, stream)
        fixture.history.transaction { $0.put([0], []) }
        fixture.history.put("a")
        fixture.history.put("ab")
        fixture.history.put("b")
        fixture.history.put("c")
        let responses = fixture.drain(client, stream)
        func keys(_ id: Int64) -> [String] { responses.filter { $0.id == id }.flatMap(\.keys) }
        #expect(keys(0) == ["\0"])
        #expect(keys(1) == ["\0", "a", "ab", "b", "c"])
        #expect(keys(2) == ["b", "c"])
        #expect(keys(3) == ["a", "ab"])
        #expect(keys(4) == ["b"])
    }

    @Test func unknownRequestsAndBrokenOnes() throws {
        let sink = ByteSink()
        sink.message(9) { $0.field(1, 1 as UInt64) }
        guard case .none = try WatchRequest(decoding: sink.bytes) else { return #expect(Bool(false)) }
        sink.clear()
        sink.always(1, 5)
        #expect(throws: ProtobufError.unexpectedWireType) { try WatchRequest(decoding: sink.bytes) }
        sink.clear()
        sink.message(1) {
            $0.field(1, Array("k".utf8))
            // Filters one by one and an unknown number; an unknown field.
            $0.always(5, 1)
            $0.always(5, 77)
            $0.always(99, 3)
        }
        guard case .create(let request) = try WatchRequest(decoding: sink.bytes) else { return #expect(Bool(false)) }
        #expect(request.dropsDeletes && !request.dropsPuts && request.key.count == 1)
        sink.clear()
        sink.message(3) { _ in }
        guard case .progress = try WatchRequest(decoding: sink.bytes) else { return #expect(Bool(false)) }
        sink.clear()
        sink.message(2) { $0.field(1, 12 as UInt64) }
        guard case .cancel(12) = try WatchRequest(decoding: sink.bytes) else { return #expect(Bool(false)) }
    }

    // MARK: Cancel

    @Test func cancelIsAnsweredOnceAndUnknownIdsAreNot() {
        let fixture = WatchFixture()
        let (client, stream) = fixture.open()
        fixture.create(stream, "a")
        fixture.history.put("a")
        fixture.hub.cancel(stream, id: 0)
        fixture.hub.cancel(stream, id: 0)
        fixture.hub.cancel(stream, id: 9)
        let responses = fixture.drain(client, stream)
        #expect(responses.count == 2)
        #expect(responses[1].canceled && responses[1].id == 0 && responses[1].reason == "" && responses[1].compactRevision == 0)
        #expect(responses[1].revision == 2)
        #expect(fixture.history.pins.isEmpty, "nobody watches, nothing is pinned")
    }

    // MARK: Events

    @Test func eventContent() {
        let fixture = WatchFixture()
        let (client, stream) = fixture.open()
        fixture.create(stream, "a") { $0.wantsPrevious = true }
        fixture.create(stream, "a")
        _ = fixture.drain(client, stream)
        fixture.history.put("a", "1", lease: 3)
        fixture.history.put("a", "2")
        fixture.history.delete("a")
        fixture.history.put("a", "3")
        let responses = fixture.drain(client, stream)
        let with = responses.filter { $0.id == 0 }.flatMap(\.events)
        let without = responses.filter { $0.id == 1 }.flatMap(\.events)
        let one = Response.KeyValue(key: [97], created: 2, modified: 2, version: 1, value: [49], lease: 3)
        let two = Response.KeyValue(key: [97], created: 2, modified: 3, version: 2, value: [50])
        let gone = Response.KeyValue(key: [97], modified: 4)
        let three = Response.KeyValue(key: [97], created: 5, modified: 5, version: 1, value: [51])
        #expect(
            with == [
                .init(keyValue: one), .init(keyValue: two, previous: one), .init(isDelete: true, keyValue: gone, previous: two),
                .init(keyValue: three),
            ])
        #expect(
            without == [
                .init(keyValue: one), .init(keyValue: two), .init(isDelete: true, keyValue: gone), .init(keyValue: three),
            ])
    }

    @Test func previousIsAbsentOnceCompacted() {
        let fixture = WatchFixture()
        fixture.history.put("a", "1")
        fixture.history.put("a", "2")
        fixture.history.put("a", "3")
        fixture.history.compact(3)
        fixture.history.purge()
        let (client, stream) = fixture.open()
        fixture.create(stream, "a") {
            $0.wantsPrevious = true
            $0.startRevision = 3
        }
        let responses = fixture.drain(client, stream)
        #expect(responses[1].revisions == [3, 4])
        #expect(responses[1].events[0].previous == nil)
        #expect(responses[1].events[1].previous?.value == [50])
    }

    @Test func oneTransactionIsOneResponse() {
        let fixture = WatchFixture()
        let (client, stream) = fixture.open()
        fixture.create(stream, "a", "c")
        fixture.create(stream, "b")
        _ = fixture.drain(client, stream)
        fixture.history.transaction { $0.put([97], []); $0.put([120], []); $0.put([98], []) }
        fixture.history.put("a")
        let responses = fixture.drain(client, stream)
        #expect(responses.filter { $0.id == 0 }.map(\.keys) == [["a", "b"], ["a"]])
        #expect(responses.filter { $0.id == 1 }.map(\.keys) == [["b"]])
        #expect(responses.allSatisfy { $0.revision == $0.revisions.last })
    }

    @Test func filtersDropEventsAndEmptyResponses() {
        let fixture = WatchFixture()
        let (client, stream) = fixture.open()
        fixture.create(stream, "a") { $0.dropsPuts = true }
        fixture.create(stream, "a") { $0.dropsDeletes = true }
        fixture.create(stream, "a") { $0.dropsPuts = true; $0.dropsDeletes = true }
        _ = fixture.drain(client, stream)
        fixture.history.put("a")
        fixture.history.delete("a")
        let responses = fixture.drain(client, stream)
        #expect(responses.map(\.id) == [1, 0])
        #expect(responses.map(\.revisions) == [[2], [3]])
        // Those without events still get progress.
        fixture.hub.progress(stream)
        #expect(fixture.drain(client, stream).map(\.id) == [-1])
    }

    // MARK: Catch-up and compaction

    @Test func catchUpResponsesAreBounded() {
        let fixture = WatchFixture()
        for _ in 0..<2500 { fixture.history.put("a") }
        let (client, stream) = fixture.open()
        fixture.create(stream, "a") { $0.startRevision = 1 }
        let responses = fixture.drain(client, stream).dropFirst()
        #expect(responses.flatMap(\.revisions) == Array(2...2501))
        #expect(responses.allSatisfy { $0.events.count <= 1000 && $0.revision == 2501 })
        #expect(responses.count == 3)
    }

    @Test func catchUpIsBoundedByBytes() {
        let fixture = WatchFixture()
        let large = String(repeating: "x", count: 100_000)
        for _ in 0..<100 { fixture.history.put("a", large) }
        let (client, stream) = fixture.open()
        fixture.create(stream, "a") { $0.startRevision = 1 }
        fixture.settle()
        #expect(client.queuedBytes < WatchLimits.streamQueueBytesMax + WatchLimits.batchBytes + 200_000)
        #expect(fixture.hub.statistics.slowWatchers == 1)
        let responses = fixture.drain(client, stream).dropFirst()
        #expect(responses.flatMap(\.revisions) == Array(2...101))
        #expect(responses.allSatisfy { $0.size < 1_200_000 })
        #expect(fixture.hub.statistics.slowWatchers == 0)
    }

    @Test func startBelowTheCompactedRevisionIsCreatedAndThenCanceled() {
        let fixture = WatchFixture()
        for _ in 0..<5 { fixture.history.put("a") }
        fixture.history.compact(4)
        let (client, stream) = fixture.open()
        fixture.create(stream, "a") { $0.startRevision = 3 }
        fixture.create(stream, "a") { $0.startRevision = 4 }
        let responses = fixture.drain(client, stream)
        #expect(responses[0].created && responses[0].revision == 6 && responses[1].created)
        let canceled = responses.filter(\.canceled)
        #expect(canceled.count == 1)
        #expect(canceled[0].id == 0 && canceled[0].compactRevision == 4 && canceled[0].reason == "" && canceled[0].revision == 0)
        #expect(canceled[0].cluster == 0xc1 && canceled[0].term == 7 && canceled[0].events.isEmpty)
        #expect(responses.filter { $0.id == 1 }.flatMap(\.revisions) == [4, 5, 6])
        // The ID stays taken, keeps progress back, and is cancelled in the normal way.
        fixture.hub.progress(stream)
        fixture.create(stream, "a") { $0.watchID = 0 }
        fixture.hub.cancel(stream, id: 0)
        fixture.hub.progress(stream)
        let after = fixture.drain(client, stream)
        #expect(after.map(\.id) == [2, 0, -1])
        #expect(after[1].canceled && after[1].compactRevision == 0 && after[1].revision == 6)
    }

    @Test func compactionDoesNotTouchSyncedWatchersEvenIfTheHubIsLate() {
        let fixture = WatchFixture()
        let (client, stream) = fixture.open()
        fixture.create(stream, "a") { $0.wantsPrevious = true }
        for _ in 0..<5 { fixture.history.put("a") }
        // All before the hub hears of it, as a follower may apply it in one batch.
        fixture.history.compact(6)
        fixture.history.purge()
        let responses = fixture.drain(client, stream)
        #expect(responses.flatMap(\.revisions) == [2, 3, 4, 5, 6])
        #expect(responses.allSatisfy { !$0.canceled })
        fixture.history.purge()
        #expect(fixture.history.pins == [6])
    }

    @Test func aSlowStreamFallsBehindAndIsCanceledByCompaction() {
        let fixture = WatchFixture()
        let (slow, slowStream) = fixture.open()
        let (fast, fastStream) = fixture.open()
        fixture.create(slowStream, "a")
        fixture.create(fastStream, "a")
        let large = String(repeating: "x", count: 50_000)
        var received: [Int64] = []
        for _ in 0..<200 {
            fixture.history.put("a", large)
            received += fixture.drain(fast, fastStream).flatMap(\.revisions)
        }
        #expect(received == Array(2...201))
        #expect(slow.queuedBytes < WatchLimits.streamQueueBytesMax + 60_000)
        #expect(fixture.hub.statistics.slowWatchers == 1)
        fixture.history.compact(150)
        fixture.history.purge()
        let responses = fixture.drain(slow, slowStream)
        let revisions = responses.flatMap(\.revisions)
        #expect(revisions == Array(2..<Int64(2 + revisions.count)) && revisions.count < 148)
        #expect(responses.last?.canceled == true && responses.last?.compactRevision == 150)
        #expect(fixture.drain(fast, fastStream).isEmpty)
    }

    @Test func aSlowStreamCatchesUpAtItsOwnPace() {
        let fixture = WatchFixture()
        let (client, stream) = fixture.open()
        fixture.create(stream, "a")
        let large = String(repeating: "x", count: 50_000)
        for _ in 0..<200 { fixture.history.put("a", large) }
        fixture.settle()
        #expect(fixture.hub.statistics.slowWatchers == 1)
        #expect(fixture.drain(client, stream).flatMap(\.revisions) == Array(2...201))
        #expect(fixture.hub.statistics.slowWatchers == 0)
        // Synced again: live responses carry their own revision.
        fixture.history.put("a")
        #expect(fixture.drain(client, stream).map(\.revision) == [202])
    }

    @Test func aStoreThatCannotBeReadLosesNothing() {
        let fixture = WatchFixture()
        var failures = 0
        fixture.hub.onReadFailure = { _ in failures += 1 }
        let (client, stream) = fixture.open()
        fixture.create(stream, "a")
        fixture.settle()
        fixture.history.failsReads = true
        fixture.hub.tick(now: 1_000_000_000)
        fixture.history.put("a")
        fixture.history.put("a")
        fixture.settle()
        #expect(failures == 1 && !fixture.hub.hasWork)
        fixture.hub.tick(now: 1_200_000_000)
        fixture.settle()
        #expect(failures == 2)
        fixture.history.failsReads = false
        fixture.hub.tick(now: 1_400_000_000)
        #expect(fixture.drain(client, stream).dropFirst().flatMap(\.revisions) == [2, 3])
    }

    // MARK: Fragments

    @Test func fragmentsSplitOnlyWhatIsTooLarge() {
        let fixture = WatchFixture { $0.fragmentBytes = 10_000 }
        let (client, stream) = fixture.open()
        fixture.create(stream, "k", "l") { $0.fragment = true }
        fixture.create(stream, "k", "l")
        _ = fixture.drain(client, stream)
        let value = [UInt8](repeating: 1, count: 3000)
        fixture.history.transaction { transaction in
            for index in 0..<10 { transaction.put(Array("k\(index)".utf8), index == 4 ? [UInt8](repeating: 1, count: 20_000) : value) }
        }
        fixture.history.transaction { $0.put(Array("k1".utf8), [UInt8](repeating: 1, count: 20_000)) }
        fixture.history.put("k2", "small")
        let responses = fixture.drain(client, stream)
        let parts = responses.filter { $0.id == 0 }
        #expect(parts.map(\.events.count) == [3, 1, 1, 3, 2, 1, 1])
        #expect(parts.map(\.fragment) == [true, true, true, true, false, false, false])
        #expect(parts.allSatisfy { $0.events.count == 1 || $0.size < 10_000 })
        #expect(parts.prefix(5).allSatisfy { $0.revision == 2 && $0.hasHeader })
        #expect(parts.prefix(5).flatMap(\.keys) == (0..<10).map { "k\($0)" })
        let whole = responses.filter { $0.id == 1 }
        #expect(whole.map(\.events.count) == [10, 1, 1] && whole.allSatisfy { !$0.fragment })
    }

    // MARK: Progress

    @Test func progressRequestIsExact() {
        let fixture = WatchFixture()
        let (client, stream) = fixture.open()
        fixture.hub.progress(stream)  // no watcher
        fixture.create(stream, "a")
        fixture.history.put("a")
        fixture.history.put("b")
        // The hub was told of neither.
        fixture.hub.progress(stream)
        var responses = fixture.drain(client, stream)
        #expect(responses.map(\.revision) == [1, 2, 3])
        #expect(responses[2].isProgress && responses[2].id == -1)
        #expect(client.messages.isEmpty)
        // A watcher that starts in the future, and one that is not synced.
        fixture.create(stream, "a") { $0.startRevision = 5 }
        fixture.hub.progress(stream)
        fixture.history.put("b")
        fixture.history.put("b")
        fixture.hub.progress(stream)
        responses = fixture.drain(client, stream)
        #expect(responses.map(\.revision) == [3, 5])
        fixture.create(stream, "a") { $0.startRevision = 1 }
        fixture.hub.progress(stream)
        #expect(client.messages.count == 1, "created, but no progress")
        responses = fixture.drain(client, stream)
        #expect(responses.count == 2)
        fixture.hub.progress(stream)
        #expect(fixture.drain(client, stream).map(\.isProgress) == [true])
    }

    @Test func progressIsDroppedOnAFullStream() {
        let fixture = WatchFixture()
        let (client, stream) = fixture.open()
        fixture.create(stream, "a")
        fixture.history.put("a", String(repeating: "x", count: 2_000_000))
        fixture.settle()
        let count = client.messages.count
        fixture.hub.progress(stream)
        #expect(client.messages.count == count)
        _ = fixture.drain(client, stream)
        fixture.hub.progress(stream)
        #expect(client.messages.count == 1)
    }

    @Test func progressNotify() {
        let fixture = WatchFixture { $0.progressIntervalNanoseconds = 1_000_000_000 }
        let (client, stream) = fixture.open(now: 0)
        fixture.create(stream, "a") { $0.progressNotify = true }
        fixture.create(stream, "b")
        fixture.create(stream, "a") { $0.progressNotify = true; $0.startRevision = 100 }
        _ = fixture.drain(client, stream)
        fixture.hub.tick(now: 999_000_000)
        #expect(fixture.drain(client, stream).isEmpty)
        // The tick comes within a tenth after the interval; the watcher was armed when it was created.
        fixture.history.put("c")
        fixture.hub.tick(now: 1_100_000_000)
        var responses = fixture.drain(client, stream)
        #expect(responses.map(\.id) == [0] && responses[0].isProgress && responses[0].revision == 2)
        // An event in between: silent once, then again.
        fixture.history.put("a")
        fixture.settle()
        fixture.hub.tick(now: 2_200_000_000)
        #expect(fixture.drain(client, stream).map(\.isProgress) == [false])
        fixture.hub.tick(now: 3_300_000_000)
        responses = fixture.drain(client, stream)
        #expect(responses.map(\.isProgress) == [true] && responses[0].revision == 3)
        fixture.hub.cancel(stream, id: 0)
        fixture.hub.cancel(stream, id: 2)
        #expect(fixture.hub.nextTimer == .max)
        fixture.hub.closeStream(stream)
        fixture.hub.checkInvariants()
    }

    // MARK: Streams

    @Test func manyStreamsShareOneEncodedEvent() {
        let fixture = WatchFixture()
        let clients = (0..<10).map { _ in fixture.open() }
        for (_, stream) in clients { fixture.create(stream, "a", "b") { $0.wantsPrevious = true } }
        fixture.history.put("a", String(repeating: "1", count: 10_000))
        fixture.history.put("a", String(repeating: "2", count: 10_000))
        let before = fixture.history.recordsRead
        fixture.settle()
        #expect(fixture.history.recordsRead - before == 3)
        let bytes = clients.map { $0.client.shared }
        #expect(bytes.allSatisfy { $0.count == 2 && $0[0] === bytes[0][0] && $0[1] === bytes[0][1] })
    }

    @Test func aStreamMayBeClosedWhileItIsWrittenTo() {
        let fixture = WatchFixture()
        let (client, stream) = fixture.open()
        let (other, otherStream) = fixture.open()
        fixture.create(stream, "a")
        fixture.create(stream, "a", "b")
        fixture.create(otherStream, "a")
        _ = fixture.drain(client, stream)
        _ = fixture.drain(other, otherStream)
        client.onSend = { fixture.hub.closeStream(stream) }
        fixture.history.put("a")
        fixture.history.put("a")
        fixture.settle()
        #expect(client.messages.count == 1)
        #expect(fixture.drain(other, otherStream).flatMap(\.revisions) == [2, 3])
        #expect(fixture.hub.statistics.streams == 1 && fixture.hub.statistics.watchers == 1)
        // And during its own creation and catch-up.
        let (third, thirdStream) = fixture.open()
        third.onSend = { fixture.hub.closeStream(thirdStream) }
        fixture.create(thirdStream, "a") { $0.startRevision = 1 }
        fixture.settle()
        let (fourth, fourthStream) = fixture.open()
        fixture.create(fourthStream, "a") { $0.startRevision = 1 }
        fourth.onSend = { fixture.hub.closeStream(fourthStream) }
        fixture.settle()
        #expect(fixture.hub.statistics.streams == 1)
        fixture.hub.closeStream(otherStream)
        fixture.hub.closeStream(otherStream)
        fixture.hub.checkInvariants()
        #expect(fixture.history.pins.isEmpty)
    }

    @Test func aReplacedStoreIsWatchedFromWhereTheOldOneWas() {
        let fixture = WatchFixture()
        let (client, stream) = fixture.open()
        fixture.create(stream, "a")
        fixture.history.put("a")
        fixture.settle()
        let restored = MemoryHistory()
        for _ in 0..<9 { restored.put("a") }
        fixture.hub.replaceSource(restored)
        while fixture.hub.hasWork { fixture.hub.runSlice() }
        fixture.hub.checkInvariants()
        let (responses, _) = client.take()
        #expect(responses.flatMap(\.revisions) == Array(2...10))
        #expect(fixture.history.pins.isEmpty)
    }
}
