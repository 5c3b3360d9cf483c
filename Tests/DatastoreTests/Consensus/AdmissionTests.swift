// Admission: how much is taken in, and for whom there is room when clients have used theirs up.

import Testing
import Wire

@testable import Datastore

struct AdmissionTests {
    private enum Sender { case client, clientFreeingSpace, server }

    private func proposal(_ sender: Sender, bytes: Int = 1) -> Proposal {
        let reply = LoopReply(loop: 0) { _ in }
        return Proposal(
            id: 1, data: [UInt8](repeating: 0, count: bytes), target: sender == .server ? .server({ _ in }) : .loop(reply),
            start: 0, isPrivileged: sender != .client)
    }

    private func flood(_ inbox: Inbox, _ sender: Sender, _ count: Int, bytes: Int = 1) -> Int {
        let one = proposal(sender, bytes: bytes)
        return count - inbox.submit([Proposal](repeating: one, count: count)).count
    }

    @Test func aFloodOfClientsLeavesRoomForWhatEndsWork() {
        let inbox = Inbox()
        #expect(flood(inbox, .client, 100_000) == ServerLimits.proposalsInFlightMax)
        #expect(flood(inbox, .client, 1) == 0)
        #expect(flood(inbox, .clientFreeingSpace, 100_000) == ServerLimits.proposalsReserved)
        #expect(flood(inbox, .server, 100_000) == ServerLimits.proposalsReserved)
        #expect(flood(inbox, .server, 1) == 0)
        #expect(inbox.levels.proposals == ServerLimits.proposalsInFlightMax + 2 * ServerLimits.proposalsReserved)
    }

    @Test func answeredWorkMakesRoom() {
        let inbox = Inbox()
        #expect(flood(inbox, .client, 100_000) == ServerLimits.proposalsInFlightMax)
        inbox.release(proposals: 10, bytes: 10, reads: 0)
        #expect(flood(inbox, .client, 100) == 10)
    }

    @Test func bytesAreBoundedToo() {
        let inbox = Inbox()
        let size = ServerLimits.proposalBytesInFlightMax / 4
        // The last one may go beyond, so that a large request is not refused for ever.
        #expect(flood(inbox, .client, 10, bytes: size) == 4)
        #expect(flood(inbox, .client, 1) == 0 && flood(inbox, .clientFreeingSpace, 1) == 1)
    }

    @Test func changesAndTasksAreBounded() {
        let inbox = Inbox()
        let change = ConfigurationProposal(change: ConfigurationChange(id: 1, kind: .update, member: MemberID(1), context: [])) { _ in }
        for _ in 0..<ServerLimits.configurationChangesMax { #expect(inbox.submit(change) == nil) }
        #expect(inbox.submit(change) == .tooManyRequests)
        for _ in 0..<ServerLimits.consensusTasksMax { _ = inbox.run { _ in } }
        #expect(!inbox.run { _ in })
    }

    @Test func aStoppedInboxTakesNothing() {
        let inbox = Inbox()
        inbox.stop()
        #expect(flood(inbox, .server, 3) == 0 && !inbox.run { _ in })
        #expect(inbox.submit([proposal(.client)]).count == 1)
    }
}
