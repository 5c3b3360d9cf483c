// Bytes that are no request, at every depth: a typed error, nothing changed, no crash.

import Testing
import Wire

@testable import KeySpace

@Suite struct MalformedRequestTests {
    /// Wraps operations into nested transactions.
    private func nested(_ operation: [UInt8], levels: Int) -> [UInt8] {
        var operation = operation
        for _ in 0..<levels {
            var txn = Proto()
            txn.data(2, operation, always: true)
            var wrapped = Proto()
            wrapped.data(4, txn.bytes, always: true)
            operation = wrapped.bytes
        }
        var txn = Proto()
        txn.data(2, operation, always: true)
        return txn.bytes
    }

    private func entry(txn bytes: [UInt8]) -> [UInt8] {
        var proto = Proto()
        proto.data(6, bytes, always: true)
        return proto.bytes
    }

    private let unreadable = CallError(.internal, "grpc: error unmarshalling request: proto: cannot parse invalid wire-format data")

    @Test func brokenOperationsAtEveryDepth() {
        let broken: [[UInt8]] = [
            [0x0a], [0x0a, 0x05, 0x01], [0x12, 0x02, 0x0a, 0x09], [0x1a, 0x01, 0xff], [0x22, 0x02, 0x0a, 0x40], [0x00], [0x07],
            [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], [0x08, 0x01], [0x0b], [0x22, 0x03, 0x12, 0x05, 0x00],
        ]
        let harness = ApplyHarness()
        for operation in broken {
            for levels in [0, 1, 2, 50] {
                let bytes = nested(operation, levels: levels)
                #expect(throws: unreadable) { _ = try TxnRequest.validated(bytes, 128) }
                #expect(harness.applyRaw(entry(txn: bytes)).outcome == .failed(unreadable))
            }
            // As a compare, beside fine ones.
            var txn = Proto()
            txn.data(1, CompareCase(key: [1]).encoded, always: true)
            txn.data(1, [0x1a, 0x05, 0x01], always: true)
            #expect(throws: unreadable) { _ = try TxnRequest.validated(txn.bytes, 128) }
        }
        harness.publish()
        harness.checkState()
    }

    @Test func depthBombsAreRefused() {
        let harness = ApplyHarness()
        let get = OperationCase.range(RangeCase(key: [1])).encoded
        // The budget lets 127 levels through.
        #expect(throws: Never.self) { _ = try TxnRequest.validated(nested(get, levels: 127), 128) }
        #expect(throws: CallError.tooManyOperations) { _ = try TxnRequest.validated(nested(get, levels: 128), 128) }
        #expect(harness.applyRaw(entry(txn: nested(get, levels: 127))).outcome == .done)
        // Even where the budget does not.
        let bomb = nested(get, levels: 10_000)
        for budget in [128, 1_000_000, Int.max] {
            #expect(throws: CallError.tooManyOperations) { _ = try TxnRequest.validated(bomb, budget) }
        }
        #expect(harness.applyRaw(entry(txn: bomb)).outcome == .failed(.tooManyOperations))
        let limit = KeySpaceLimits.transactionDepthMax
        #expect(harness.applyRaw(entry(txn: nested(get, levels: limit - 1))).outcome == .done)
        #expect(harness.applyRaw(entry(txn: nested(get, levels: limit))).outcome == .failed(.tooManyOperations))
        let write = OperationCase.put(PutCase(key: [1])).encoded
        #expect(harness.applyRaw(entry(txn: nested(write, levels: limit - 1))).outcome == .done)
        // Groups within groups.
        #expect(throws: unreadable) { _ = try TxnRequest.validated(Array(repeating: 0x2b, count: 100_000), 128) }
        harness.publish()
        #expect(harness.store.currentRevision == 2)
    }

    @Test func entriesThatSayNothing() {
        let harness = ApplyHarness()
        #expect(harness.applyRaw([]).outcome == .done)
        #expect(harness.applyRaw([0xa2, 0x06, 0x02, 0x08, 0x01]).outcome == .failed(CallError(.unknown, "etcdserver: unknown request")))
        // A body of a kind that nobody knows.
        #expect(harness.applyRaw([0x82, 0x7d, 0x01, 0x00]).outcome == .failed(CallError(.unknown, "etcdserver: unknown request")))
        #expect(harness.applyRaw([0x22]).outcome == .failed(unreadable))
        #expect(harness.applyRaw([0x20, 0x01]).outcome == .failed(unreadable))
        // Every kind with an empty body: an answer or a typed error.
        for field in [3, 4, 5, 6, 7, 8, 9, 10, 11, 1000, 1011, 1012, 1013, 1100, 1104, 1202, 1300, 1301, 1302, 9900] {
            for body in [[], [0xff], [0x0a, 0x7f], [0x08]] as [[UInt8]] {
                var proto = Proto()
                proto.data(field, body, always: true)
                _ = harness.applyRaw(proto.bytes)
            }
        }
        harness.publish()
        harness.keySpace.leases.checkInvariants()
    }

    /// Real requests with bits flipped, bytes cut out, doubled and swapped.
    @Test(arguments: 1...4) func mutilatedRequests(seed: Int) {
        let harness = ApplyHarness(seed: testSeed(UInt64(seed)))
        for _ in 0..<10 { harness.apply(.put(harness.randomPut())) }
        for id in 1...3 as ClosedRange<Int64> { harness.apply(.grant(id, ttl: 60)) }
        for _ in 0..<300 * soakFactor {
            var bytes = RequestCase.txn(harness.randomTxn()).encoded(id: 1)
            if harness.int(0..<3) == 0 { bytes = RequestCase.put(harness.randomPut()).encoded(id: 1) }
            for _ in 0..<harness.int(1..<4) where !bytes.isEmpty {
                let at = harness.int(0..<bytes.count)
                switch harness.int(0..<4) {
                case 0: bytes[at] ^= 1 << UInt8(harness.int(0..<8))
                case 1: bytes.remove(at: at)
                case 2: bytes.insert(UInt8(harness.int(0..<256)), at: at)
                default: bytes.removeLast(min(bytes.count, harness.int(1..<5)))
                }
            }
            let before = harness.store.entryRevision
            let result = harness.applyRaw(bytes)
            if case .failed = result.outcome {
                #expect(harness.store.entryRevision == before)
                #expect(result.bytes.isEmpty)
            }
            if harness.int(0..<10) == 0 { harness.publish() }
        }
        harness.publish()
        harness.keySpace.leases.checkInvariants()
        // What was applied is what a start finds.
        let revision = harness.store.currentRevision
        harness.restart()
        #expect(harness.store.currentRevision == revision)
        harness.keySpace.leases.checkInvariants()
    }
}
