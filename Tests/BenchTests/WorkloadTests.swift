// Requests as bytes, keys, and the actors of a cluster against a small store.

import Testing
import Wire

@testable import Bench

@Suite struct WorkloadTests {
    private func request(_ workload: Workload, _ client: Int = 0) -> [UInt8] {
        let sink = ByteSink()
        _ = workload.choose(client)
        workload.write(client, to: sink)
        return sink.array()
    }

    @Test func keysAreVarintsInZeros() {
        let pattern = KeyPattern(size: 4)
        #expect(pattern.array(300) == [0xd8, 0x04, 0, 0])
        // Nothing is left of the longer one.
        #expect(pattern.array(5) == [0x0a, 0, 0, 0])
        #expect(KeyPattern(size: 2, prefix: [0x61]).array(1) == [0x61, 2, 0])
        for bound in [1, 64, 65, 8_192, 8_193, 1 << 40] {
            let size = KeyPattern.sizeNeeded(below: bound)
            let key = KeyPattern(size: size).array(bound - 1)
            #expect(key.last! < 0x80 && (size == 1 || key[size - 1] != 0))
        }
    }

    @Test func putsGoRoundTheirKeys() throws {
        let workload = PutWorkload(keySize: 2, valueSize: 3, keySpace: 2, isSequential: true, seed: 1)
        let (first, second, third) = (request(workload), request(workload), request(workload))
        #expect(first == third && first != second)
        #expect(first.prefix(6) == [0x0a, 2, 0, 0, 0x12, 3] && first.count == 9 && second[2] == 2)
    }

    @Test func aCompareAndSwapHasTheApiServersShape() {
        let sink = ByteSink()
        let key = FixedBytes(Array("k".utf8))
        sink.compareUnchanged(key.bytes, since: 7)
        sink.putOperation(key.bytes, key.bytes, lease: 9)
        sink.rangeOperation(key.bytes, branch: 3)
        sink.deleteOperation(key.bytes)
        let expected: [UInt8] =
            [0x0a, 7, 0x10, 2, 0x1a, 1, 0x6b, 0x30, 7] + [0x12, 10, 0x12, 8, 0x0a, 1, 0x6b, 0x12, 1, 0x6b, 0x18, 9]
            + [0x1a, 5, 0x0a, 3, 0x0a, 1, 0x6b] + [0x12, 5, 0x1a, 3, 0x0a, 1, 0x6b]
        #expect(sink.array() == expected)
    }

    @Test func objectsHaveTheirSizeAndMoment() throws {
        for size in [0, 200, 500, 4_096] {
            let object = KubernetesObject(apiVersion: "v1", kind: "Pod", name: "bench", size: size)
            let copy = withExtendedLifetime(object) { FixedBytes(object.stamped(0x0123_4567_89ab_cdef)) }
            let value = copy.bytes
            defer { withExtendedLifetime(copy) {} }
            #expect(size < 200 || value.count == size || value.count == size - 1)
            #expect(KubernetesObject.moment(value) == 0x0123_4567_89ab_cdef)
            #expect(Array(value.prefix(4)) == [0x6b, 0x38, 0x73, 0])
            // The envelope reads to its end.
            let raw = try #require(Answers.bytes(2, of: UnsafeRawBufferPointer(rebasing: value[4...])))
            let metadata = try #require(Answers.bytes(1, of: raw))
            #expect(Answers.bytes(1, of: metadata).map { Array($0) } == Array("bench".utf8))
        }
        Array("short".utf8).withUnsafeBytes { #expect(KubernetesObject.moment($0) == nil) }
    }

    /// An answer of a transaction.
    private func answer(succeeded: Bool, revision: Int64, modRevision: Int64 = 0) -> [UInt8] {
        let sink = ByteSink()
        sink.message(1) { $0.field(3, revision) }
        sink.field(2, succeeded)
        if modRevision != 0 { sink.message(3) { $0.message(1) { $0.message(2) { $0.field(3, modRevision) } } } }
        return sink.array()
    }

    private func tell(_ actor: KubernetesActor, _ object: Int, _ answer: [UInt8]) -> Bool {
        answer.withUnsafeBytes { actor.received(object, $0) }
        if case .conflict = actor.ended(object) { return false }
        return true
    }

    @Test func podsComeChangeAndGo() {
        let pods = Pods(pods: 1, valueSize: 300, updates: 2)
        var operations: [Int] = []
        for revision in 1...8 as ClosedRange<Int64> {
            operations.append(pods.choose(0).operation)
            pods.write(0, to: ByteSink())
            #expect(tell(pods, 0, answer(succeeded: true, revision: revision)))
        }
        #expect(operations == [0, 1, 1, 2, 0, 1, 1, 2])
    }

    @Test func aPodThatIsThereIsLookedUp() {
        let pods = Pods(pods: 1, valueSize: 300, updates: 1)
        _ = pods.choose(0)
        #expect(!tell(pods, 0, answer(succeeded: false, revision: 9)))
        #expect(pods.choose(0).operation == 3)
        let range = ByteSink()
        range.message(1) { $0.field(3, 9 as Int64) }
        range.message(2) { $0.field(3, 4 as Int64) }
        #expect(tell(pods, 0, range.array()))
        #expect(pods.choose(0).operation == 1)
        let sink = ByteSink()
        pods.write(0, to: sink)
        #expect(Answers.bytes(1, of: sink.bytes).flatMap { Answers.number(6, of: $0) } == 4)
        // Lost, and gone meanwhile.
        #expect(!tell(pods, 0, answer(succeeded: false, revision: 12)))
        #expect(pods.choose(0).operation == 0)
    }

    @Test func renewalsLearnTheRevision() {
        let leases = NodeLeases(nodes: 2, valueSize: 300)
        _ = leases.choose(1)
        #expect(!tell(leases, 1, answer(succeeded: false, revision: 20, modRevision: 11)))
        let sink = ByteSink()
        leases.write(1, to: sink)
        #expect(Answers.bytes(1, of: sink.bytes).flatMap { Answers.number(6, of: $0) } == 11)
        #expect(tell(leases, 1, answer(succeeded: true, revision: 21)))
    }

    @Test func eventsShareLeases() {
        let events = Events(writers: 1, valueSize: 300, ttl: 60, seed: 1)
        var grants = 0
        for _ in 0..<2_502 {
            let step = events.choose(0)
            let sink = ByteSink()
            if step.operation == 1 {
                grants += 1
                sink.field(2, Int64(grants))
            } else {
                sink.message(1) { $0.field(3, 5 as Int64) }
                sink.field(2, true)
            }
            #expect(tell(events, 0, sink.array()))
        }
        #expect(grants == 3)
    }

    @Test func trafficKeepsItsProportions() {
        let seed = UInt64.random(in: .min ... .max)
        let workload = KubernetesWorkload(
            [(NodeLeases(nodes: 64, valueSize: 300), 3), (ObjectGets(readers: 64, objects: 10, seed: seed), 1)], seed: seed)
        workload.prepare(clients: 1)
        var counts = [0, 0]
        for _ in 0..<8_000 {
            counts[workload.choose(0).operation] += 1
            workload.write(0, to: ByteSink())
            answer(succeeded: true, revision: 1).withUnsafeBytes { workload.received(0, $0) }
            _ = workload.ended(0)
        }
        #expect(abs(counts[0] - 6_000) < 400, "seed \(seed)")
        #expect(workload.clientsMax == 128)
    }

    @Test func pagesOfARangeAreOneOperation() {
        let workload = PagedRangeWorkload(RangeShape(key: Array("a".utf8), end: Array("b".utf8)), pageSize: 2)
        workload.prepare(clients: 1)
        _ = request(workload)
        let page = ByteSink()
        page.message(1) { $0.field(3, 42 as Int64) }
        page.message(2) { $0.field(1, "a7") }
        page.field(3, true)
        page.withUnsafeBytes { workload.received(0, $0) }
        guard case .goesOn = workload.ended(0) else { Issue.record("it goes on"); return }
        let next = request(workload)
        next.withUnsafeBytes {
            #expect(Answers.bytes(1, of: $0).map { Array($0) } == Array("a7".utf8) + [0])
            #expect(Answers.number(4, of: $0) == 42)
        }
        let last = ByteSink()
        last.message(1) { $0.field(3, 50 as Int64) }
        last.withUnsafeBytes { workload.received(0, $0) }
        guard case .done = workload.ended(0) else { Issue.record("it is over"); return }
    }

    @Test func eventsFindTheirPutsInEitherOrder() {
        let pairs = EventPairs(start: 0)
        pairs.answered(5, 100, 200)
        pairs.event(5, 250)
        pairs.event(6, 320)
        pairs.event(6, 450)
        pairs.answered(6, 300, 400)
        let (behind, since, early) = pairs.finished()
        #expect(early == 2 && behind.latencies.count == 3 && since.latencies.count == 3)
        #expect(behind.latencies.minimum == 0 && behind.latencies.maximum == 50 && since.latencies.maximum == 150 && since.latencies.minimum == 20)
    }
}
