// One follower's progress, its window, and the queue of reads.

import Testing
import Wire

@testable import Raft

struct ProgressTests {
    private func progress(next: LogIndex = 1, window: Int = 4) -> Progress {
        Progress(id: m2, next: next, isLearner: false, inflight: InflightWindow(maxMessages: window, maxBytes: 1000))
    }

    @Test func theWindowAgreesWithAModel() {
        for seed in 0..<200 {
            var random = SeededGenerator(seed: UInt64(seed))
            let most = 1 + random.below(20)
            var window = InflightWindow(maxMessages: most, maxBytes: 500)
            var model: [(index: LogIndex, bytes: Int)] = []
            var index: LogIndex = 0
            for _ in 0..<300 {
                if random.chance(60), !window.isFull {
                    index += LogIndex(1 + random.below(3))
                    let bytes = random.below(100)
                    window.add(through: index, bytes: bytes)
                    model.append((index, bytes))
                } else if random.chance(2) {
                    window.reset()
                    model = []
                } else {
                    let upTo = index > 5 ? index - LogIndex(random.below(6)) : index
                    window.free(through: upTo)
                    model.removeAll { $0.index <= upTo }
                }
                let bytes = model.reduce(0) { $0 + $1.bytes }
                #expect(window.count == model.count && window.bytes == bytes, "seed \(seed)")
                #expect(window.isFull == (model.count >= most || bytes >= 500), "seed \(seed)")
                window.checkInvariants()
            }
        }
    }

    @Test func aProbeSendsOneMessageAndWaits() {
        var probe = progress()
        #expect(!probe.isPaused)
        probe.didSend(entries: 3, bytes: 30)
        #expect(probe.isPaused && probe.next == 1)
        probe.resumeFlow()
        #expect(!probe.isPaused)
    }

    @Test func replicationRunsAheadUntilTheWindowIsFull() {
        var follower = progress()
        follower.becomeReplicate()
        for number in 1...4 {
            #expect(!follower.isPaused)
            follower.didSend(entries: 2, bytes: 10)
            #expect(follower.next == LogIndex(2 * number + 1))
        }
        #expect(follower.isPaused)
        let isNews = follower.acknowledge(4)
        #expect(isNews)
        follower.freeInflight(through: 4)
        #expect(!follower.isPaused && follower.inflight.count == 2)
        let isOldNews = follower.acknowledge(3)
        #expect(!isOldNews)
        follower.checkInvariants()
    }

    @Test func oldRefusalsAreIgnored() {
        var follower = progress(next: 10)
        _ = follower.acknowledge(5)
        follower.becomeReplicate()
        #expect(follower.next == 6)
        follower.didSend(entries: 4, bytes: 10)
        let oldRefusal = follower.decrease(rejected: 5, hint: 1)
        #expect(!oldRefusal)
        let refusal = follower.decrease(rejected: 8, hint: 6)
        #expect(refusal)
        #expect(follower.next == 6)
        // A probe goes where the hint says, never to what is known to match.
        var probe = progress(next: 10)
        _ = probe.acknowledge(3)
        let oldRefusalOfProbe = probe.decrease(rejected: 7, hint: 1)
        #expect(!oldRefusalOfProbe)
        let refusalOfProbe = probe.decrease(rejected: 9, hint: 6)
        #expect(refusalOfProbe)
        #expect(probe.next == 7)
        let secondRefusalOfProbe = probe.decrease(rejected: 6, hint: 0)
        #expect(secondRefusalOfProbe)
        #expect(probe.next == 4)
    }

    @Test func aHintCannotLeadForward() {
        var probe = progress(next: 10)
        let refusal = probe.decrease(rejected: 9, hint: 40)
        #expect(refusal && probe.next == 9)
    }

    @Test func probingGoesOnBehindASnapshot() {
        var follower = progress()
        follower.becomeSnapshot(20)
        #expect(follower.isPaused)
        follower.becomeProbe()
        #expect(follower.next == 21)
        var failed = progress()
        failed.becomeSnapshot(20)
        failed.abandonSnapshot()
        failed.becomeProbe()
        #expect(failed.next == 1)
        failed.checkInvariants()
    }

    @Test func aLaterRoundConfirmsTheEarlierOnes() {
        var queue = ReadQueue()
        let quorum = JointQuorum(incoming: MemberSet([m1, m2, m3]))
        for number in 1...4 {
            let isNew = queue.add(from: m1, context: [UInt8(number)], index: LogIndex(number), self: m1)
            #expect(isNew)
        }
        let again = queue.add(from: m1, context: [2], index: 9, self: m1)
        #expect(!again && queue.newestContext == [4])
        let confirmed = queue.acknowledge([3], by: m2, quorum: quorum)
        #expect(confirmed.map(\.index) == [1, 2, 3] && queue.count == 1)
        let late = queue.acknowledge([1], by: m3, quorum: quorum)
        #expect(late.isEmpty)
    }
}
