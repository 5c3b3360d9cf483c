// Transactions that only read, at one revision, while another thread writes.

import Storage
import Synchronization
import Testing
import Wire

#if canImport(Glibc)
import Glibc
#endif

@testable import KeySpace

extension ApplyHarness {
    /// Evaluates a read-only transaction away from the log.
    func read(_ txn: TxnCase) -> Swift.Result<Answer, CallError> {
        txn.encoded.withUnsafeBytes { bytes in
            Swift.Result { () throws(CallError) in
                let sink = ByteSink()
                let request: TxnRequest
                do throws(ProtobufError) { request = try TxnRequest(decoding: bytes) } catch { throw error.callError }
                let before = store.currentRevision
                let sliced = readInSlices(bytes)
                let revision: Int64
                do throws(CallError) { (revision, _) = try store.readTxn(request, to: sink) } catch {
                    if store.currentRevision == before { #expect(sliced == .failure(error), "in slices, \(txn)") }
                    throw error
                }
                // Both ways of evaluation write the same bytes of the same state.
                if revision == before { #expect(sliced == .success(sink.array()), "in slices, \(txn)") }
                let answer = ByteSink()
                keySpace.headers.append(to: answer, revision: revision, term: KeySpaceModel.term)
                answer.append(sink.bytes)
                do { return try Answer.txn(answer.array()) } catch { throw CallError(.internal, "undecodable") }
            }
        }
    }
}

extension ApplyHarness {
    private func readInSlices(_ bytes: UnsafeRawBufferPointer) -> Swift.Result<[UInt8], CallError> {
        Swift.Result { () throws(CallError) in
            let reading = try TxnReading(store, copying: bytes)
            while try !reading.step() {}
            let whole = ByteSink()
            do throws(StorageError) { try reading.write(to: whole) } catch { throw CallError(decodingOrReading: error) }
            #expect(whole.count == reading.encodedLength)
            // The same pulled in pieces, as long as it is the same state.
            let again = try TxnReading(store, copying: bytes)
            while try !again.step() {}
            let pieces: [UInt8]
            do throws(StorageError) { pieces = try again.pieces(of: int(1..<40)) } catch { throw CallError(decodingOrReading: error) }
            if again.revision == reading.revision { #expect(whole.array() == pieces) }
            return whole.array()
        }
    }
}

extension TxnReading {
    /// The answer pulled in pieces of so many bytes.
    fileprivate func pieces(of size: Int) throws(StorageError) -> [UInt8] {
        var all: [UInt8] = []
        while true {
            var piece = [UInt8](repeating: 0, count: size)
            let result: Swift.Result<Int, StorageError> = piece.withUnsafeMutableBytes { buffer in
                do throws(StorageError) { return .success(try read(into: GappedBuffer(buffer))) } catch { return .failure(error) }
            }
            let count = try result.get()
            all += piece[..<count]
            if count < size { return all }
        }
    }
}

@Suite struct TxnReaderTests {
    /// Values of megabytes come in pieces, and nothing of what is written meanwhile.
    @Test func aLargeAnswerComesInPieces() throws {
        let harness = ApplyHarness(seed: 1)
        let value = [UInt8](repeating: 7, count: 40_000)
        func put(_ key: String, _ value: [UInt8]) { harness.apply(.put(PutCase(key: Array(key.utf8), value: value))) }
        for n in 0..<100 { put("big\(n)", value) }
        harness.publish()
        let request = ByteSink()
        for _ in 0..<2 {
            request.message(2) { sink in
                sink.message(1) {
                    $0.field(1, Array("big".utf8))
                    $0.field(2, Array("bih".utf8))
                }
            }
        }
        let whole = ByteSink()
        _ = try harness.store.readTxn(try TxnRequest(decoding: request.bytes), to: whole)
        let reading = try TxnReading(harness.store, copying: request.bytes)
        put("big0", [])
        harness.publish()
        while try !reading.step() {}
        #expect(reading.counts == [100, 100] && reading.encodedLength == whole.count)
        #expect(try reading.pieces(of: 100_000) == whole.array())
    }

    /// The same as through the log, of which the model has been proven to know the answers.
    @Test(arguments: 1...3) func agreesWithTheModel(seed: Int) {
        let harness = ApplyHarness(seed: testSeed(UInt64(seed)))
        for _ in 0..<250 * soakFactor {
            harness.step()
            guard harness.int(0..<3) == 0 else { continue }
            for alarm in harness.model.alarms { harness.apply(.alarm(action: 2, member: alarm[0], kind: alarm[1])) }
            harness.publish()
            var txn = TxnCase()
            func ranges() -> [OperationCase] {
                (0..<harness.int(0..<4)).map { _ in
                    var range = harness.randomRange()
                    // Ties have no order that could be compared here.
                    if range.target != 0 { range.target = range.revision == 0 ? 3 : 0 }
                    return .range(range)
                }
            }
            for _ in 0..<harness.int(0..<3) { txn.compares.append(harness.randomCompare()) }
            txn.success = ranges()
            txn.failure = ranges()
            var model = harness.model
            let expected = Result { () throws(CallError) in try model.apply(.txn(txn)) }
            switch (harness.read(txn), expected) {
            case (.success(let found), .success(let wanted)):
                if !agree(found, wanted, txn) { Issue.record("\(found) instead of \(wanted) to \(txn)") }
            case (.failure(let found), .failure(let wanted)): #expect(found == wanted, "to \(txn)")
            case (let found, let wanted): Issue.record("\(found) instead of \(wanted) to \(txn)")
            }
        }
    }

    /// Keys of one transaction share their modification revision: they tie.
    private func agree(_ found: Answer, _ wanted: Answer, _ txn: TxnCase) -> Bool {
        guard case .txn(let a, let succeeded, let found) = found, case .txn(let b, let wantsSuccess, let wanted) = wanted,
            a == b, succeeded == wantsSuccess, found.count == wanted.count
        else { return false }
        return zip(zip(found, wanted), succeeded ? txn.success : txn.failure).allSatisfy { answers, operation in
            guard case .range(let range) = operation, range.target == 3, case .range(let a, let left, let more, let count) = answers.0,
                case .range(let b, let right, let wantsMore, let wantedCount) = answers.1
            else { return answers.0 == answers.1 }
            return a == b && more == wantsMore && count == wantedCount && left.map(\.modified) == right.map(\.modified)
        }
    }

    /// Two keys are always written together; no reader sees them apart, whatever it asks.
    @Test func seesOneRevisionWhileWritesGoOn() {
        let harness = ApplyHarness()
        let (left, right) = (Array("left".utf8), Array("right".utf8))
        let stops = Atomic(false)
        func write(_ number: Int) -> [UInt8] {
            let value = Array(String(number).utf8)
            return RequestCase.txn(TxnCase(success: [
                .put(PutCase(key: left, value: value)), .delete(DeleteCase(key: [1])), .put(PutCase(key: right, value: value)),
            ])).encoded(id: 1)
        }
        _ = harness.applyRaw(write(0))
        harness.publish()
        let keySpace = harness.keySpace
        let writer = ThreadBody {
            var number = 1
            while !stops.load(ordering: .acquiring), number < 200_000 {
                for _ in 0..<3 {
                    _ = keySpace.apply(Entry(term: 5, index: UInt64(number + 1), data: write(number)), currentTerm: 7, to: nil)
                    number += 1
                }
                try! keySpace.store.publish()
                if number % 200 == 0 {
                    var compaction = Proto()
                    compaction.data(7, [0x08] + { var p = Proto(); p.varint(UInt64(keySpace.store.currentRevision - 2)); return p.bytes }(), always: true)
                    _ = keySpace.apply(Entry(term: 5, index: UInt64(number + 1), data: compaction.bytes), currentTerm: 7, to: nil)
                    try! keySpace.store.publish()
                }
            }
        }
        writer.start()
        let get = { (key: [UInt8]) in OperationCase.range(RangeCase(key: key)) }
        let all = OperationCase.range(RangeCase(key: [0], end: [0]))
        for _ in 0..<400 {
            guard case .success(.txn(let header, true, let answers)) = harness.read(TxnCase(success: [get(left), all, get(right)])) else {
                Issue.record("no answer")
                break
            }
            let pairs = answers.map { answer -> [Pair] in
                guard case .range(let inner, let pairs, _, _) = answer else { return [] }
                #expect(inner.revision == header.revision)
                return pairs
            }
            #expect(pairs[0].count == 1 && pairs[2].count == 1 && pairs[1] == pairs[0] + pairs[2])
            #expect(pairs[0][0].value == pairs[2][0].value)
            #expect(pairs[0][0].modified == header.revision && pairs[2][0].modified == header.revision)
        }
        stops.store(true, ordering: .releasing)
        writer.join()
    }
}

/// A thread that runs a closure.
private final class ThreadBody: @unchecked Sendable {
    // Unchecked: used by one test, which joins before it ends.
    private let body: () -> Void
    private var thread = pthread_t()
    init(_ body: @escaping () -> Void) { self.body = body }

    func start() {
        let status = pthread_create(&thread, nil, { context in
            Unmanaged<ThreadBody>.fromOpaque(context!).takeRetainedValue().body()
            return nil
        }, Unmanaged.passRetained(self).toOpaque())
        precondition(status == 0)
    }

    func join() { pthread_join(thread, nil) }
}
