// The inbox: what its limits refuse, what the reserve is for, and that nothing is lost between threads.

import Synchronization
import Testing
import Wire

#if canImport(Glibc)
import Glibc
#endif

@testable import Datastore

@Suite struct InboxTests {
    private func proposal(_ id: UInt64, bytes: Int = 1, isPrivileged: Bool = false) -> Proposal {
        Proposal(id: id, data: Array(repeating: 0, count: bytes), target: .loop(LoopReply(loop: 0) { _ in }), start: 0, isPrivileged: isPrivileged)
    }

    private func proposals(_ count: Int, isPrivileged: Bool = false) -> [Proposal] {
        (0..<count).map { proposal(UInt64($0), isPrivileged: isPrivileged) }
    }

    @Test func theNumberOfProposalsIsLimitedAndTheReserveIsForThePrivileged() {
        let inbox = Inbox()
        let refused = inbox.submit(proposals(ServerLimits.proposalsInFlightMax + 3))
        // The last ones, in order.
        #expect(refused.map(\.id) == (0..<3).map { UInt64(ServerLimits.proposalsInFlightMax + $0) })
        #expect(inbox.submit([proposal(1)]).count == 1)
        #expect(inbox.submit(proposals(ServerLimits.proposalsReserved, isPrivileged: true)).isEmpty)
        #expect(inbox.submit([proposal(1, isPrivileged: true)]).count == 1)
        inbox.release(proposals: ServerLimits.proposalsReserved + 1, bytes: ServerLimits.proposalsReserved + 1, reads: 0)
        #expect(inbox.submit([proposal(1), proposal(2)]).map(\.id) == [2])
    }

    @Test func theirBytesAreLimitedButNotForThePrivileged() {
        let inbox = Inbox()
        let size = 64 << 20
        for _ in 0..<ServerLimits.proposalBytesInFlightMax / size { #expect(inbox.submit([proposal(1, bytes: size)]).isEmpty) }
        #expect(inbox.submit([proposal(1)]).count == 1)
        #expect(inbox.submit([proposal(1, isPrivileged: true)]).isEmpty)
        inbox.release(proposals: 1, bytes: size, reads: 0)
        #expect(inbox.submit([proposal(1)]).isEmpty)
        #expect(inbox.levels.proposals == ServerLimits.proposalBytesInFlightMax / size + 1)
    }

    @Test func workIsTakenWholeAndInOrder() {
        let inbox = Inbox()
        var taken = InboxState()
        _ = inbox.submit([proposal(1), proposal(2)])
        _ = inbox.submit([proposal(3)])
        inbox.run { _ in }
        inbox.take(until: .max, into: &taken)
        #expect(taken.proposals.map(\.id) == [1, 2, 3])
        #expect(taken.tasks.count == 1)
        #expect(!taken.isStopping)
        // What was taken is still in flight.
        #expect(inbox.levels.proposals == 3)
        taken = InboxState()
        // Nothing there: the deadline ends the wait.
        inbox.take(until: 0, into: &taken)
        #expect(!taken.hasWork)
    }

    @Test func aStoppedInboxTakesNothingMore() {
        let inbox = Inbox()
        var taken = InboxState()
        _ = inbox.submit([proposal(1)])
        inbox.stop()
        #expect(inbox.submit([proposal(2), proposal(3, isPrivileged: true)]).map(\.id) == [2, 3])
        #expect(inbox.submit(ConfigurationProposal(change: ConfigurationChange(kind: .remove, member: .none)) { _ in }) == .stopped)
        inbox.take(until: .max, into: &taken)
        #expect(taken.isStopping)
        // Accepted before the stop: still answered.
        #expect(taken.proposals.map(\.id) == [1])
    }

    /// Several producers, one consumer: everything arrives once, in each producer's order.
    @Test func nothingIsLostBetweenThreads() {
        let inbox = Inbox()
        let producers = 3
        let each = 4000
        var threads: [pthread_t] = []
        for producer in 0..<producers {
            let box = Unmanaged.passRetained(Producer(inbox, UInt64(producer) << 32, each))
            var thread = pthread_t()
            precondition(pthread_create(&thread, nil, { Unmanaged<Producer>.fromOpaque($0!).takeRetainedValue().run(); return nil }, box.toOpaque()) == 0)
            threads.append(thread)
        }
        var seen: [UInt64: [UInt64]] = [:]
        var count = 0
        while count < producers * each {
            var taken = InboxState()
            inbox.take(until: .max, into: &taken)
            for proposal in taken.proposals { seen[proposal.id >> 32, default: []].append(proposal.id & 0xffff_ffff) }
            count += taken.proposals.count
            inbox.release(proposals: taken.proposals.count, bytes: taken.proposals.count, reads: 0)
        }
        for thread in threads { pthread_join(thread, nil) }
        for producer in 0..<producers { #expect(seen[UInt64(producer)] == Array(0..<UInt64(each))) }
        #expect(inbox.levels == (0, 0, 0))
    }

    private final class Producer: Sendable {
        let inbox: Inbox
        let base: UInt64
        let count: Int
        init(_ inbox: Inbox, _ base: UInt64, _ count: Int) { (self.inbox, self.base, self.count) = (inbox, base, count) }
        func run() {
            for number in 0..<count {
                let proposal = Proposal(id: base | UInt64(number), data: [0], target: .server { _ in }, start: 0, isPrivileged: false)
                while !inbox.submit([proposal]).isEmpty { sched_yield() }
            }
        }
    }

    @Test func requestIDsAreUniqueAndLaidOutAsTheMembersExpect() {
        let ids = RequestIDGenerator(member: MemberID(0xaabb_ccdd_1234), nowMilliseconds: 0x7f_0123_4567_89)
        let first = ids.next()
        #expect(first == 0x1234_0123_4567_8901)
        #expect(ids.next() == first + 1)
        // The counter runs on into the time.
        for _ in 0..<0xfd { _ = ids.next() }
        #expect(ids.next() == 0x1234_0123_4567_8a00)
        // And never into the member's part.
        let full = RequestIDGenerator(member: MemberID(1), nowMilliseconds: .max)
        for _ in 0..<600 { #expect(full.next() >> 48 == 1) }
        var seen: Set<UInt64> = []
        for member in 1...3 as ClosedRange<UInt64> {
            let ids = RequestIDGenerator(member: MemberID(member), nowMilliseconds: 5)
            for _ in 0..<1000 { #expect(seen.insert(ids.next()).inserted) }
        }
    }
}
