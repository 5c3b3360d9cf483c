// Very many watchers: what an event costs depends on who wants it, not on who is there.

import Storage
import Testing
import Wire

@testable import KeySpace

@Suite struct WatchScaleTests {
    @Test func aHundredThousandWatchersOfSingleKeys() {
        let fixture = WatchFixture()
        let clients = (0..<100).map { _ in fixture.open() }
        for number in 0..<100_000 { fixture.create(clients[number % 100].stream, "/k/\(number)") }
        for client in clients { _ = client.client.take() }
        for number in 0..<2000 { fixture.history.put("/k/\(number)") }
        fixture.hub.published(through: fixture.history.currentRevision)
        while fixture.hub.hasWork { fixture.hub.runSlice() }
        #expect(fixture.hub.statistics.eventsSent == 2000)
        var received = 0
        for client in clients { received += client.client.take().responses.count }
        #expect(received == 2000)
        fixture.hub.checkInvariants()
        for client in clients { fixture.hub.closeStream(client.stream) }
        fixture.hub.checkInvariants()
    }

    @Test func manyWatchersCatchUpInSharedWalks() {
        let fixture = WatchFixture()
        for number in 0..<3000 { fixture.history.put("/k/\(number)") }
        let clients = (0..<10).map { _ in fixture.open() }
        for number in 0..<20_000 { fixture.create(clients[number % 10].stream, "/k/\(number)") { $0.startRevision = 1 } }
        #expect(fixture.hub.statistics.slowWatchers == 20_000)
        var received = 0
        while fixture.hub.hasWork || fixture.hub.statistics.slowWatchers > 0 {
            fixture.hub.runSlice()
            for (client, stream) in clients {
                let (responses, isWritable) = client.take()
                received += responses.reduce(0) { $0 + $1.events.count }
                if isWritable { fixture.hub.writable(stream) }
            }
        }
        for (client, _) in clients { received += client.take().responses.reduce(0) { $0 + $1.events.count } }
        #expect(received == 3000)
        // Three walks of a thousand for each group of 512, and some for those that rotate.
        #expect(fixture.history.walks < 400, "\(fixture.history.walks) walks")
        fixture.hub.checkInvariants()
    }

    @Test func oneFarBehindWatcherDoesNotHoldBackOthers() {
        let fixture = WatchFixture()
        for number in 0..<20_000 { fixture.history.put("/k/\(number % 7)") }
        let (far, farStream) = fixture.open()
        let (near, nearStream) = fixture.open()
        fixture.create(farStream, "/k/1") { $0.startRevision = 1 }
        fixture.create(nearStream, "/k/1") { $0.startRevision = fixture.history.currentRevision - 10 }
        var slices = 0
        while near.messages.count < 2 {
            fixture.hub.runSlice()
            slices += 1
        }
        #expect(slices <= 3)
        #expect(fixture.drain(far, farStream).flatMap(\.revisions).count == 2857)
    }
}
