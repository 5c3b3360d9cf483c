// A transaction that only reads and may read much: at one pinned revision, a slice at a time, so that a loop that
// evaluates it serves others in between.

import Storage
import Wire

/// Used by one thread at a time.
public final class TxnReading {
    private enum Stage {
        case next
        /// Its length is being found.
        case walking(RangeAnswer)
        case copying(RangeCursor, remaining: Int)
    }

    private let store: MVCCStore
    /// Keeps the bytes that the views below point into.
    private let request: SharedBytes
    private let snapshot: ReadSnapshot
    private var operations: [RangeRequest] = []
    private var position = 0
    private var stage = Stage.next
    /// The fields of the TxnResponse after the header.
    public let sink = ByteSink(capacity: 4096)
    /// Keys in the answer of each range that is finished.
    public private(set) var counts: [Int] = []

    /// The largest message that clients take; beyond, the call fails as gRPC fails it.
    public static let answerBytesMax = Int(Int32.max)
    /// Bytes that one slice copies.
    private static let sliceBytes = 256 << 10

    public var revision: Int64 { snapshot.revision }

    /// Evaluates the compares and checks the ranges' revisions.
    ///
    /// - Parameter bytes: an encoded TxnRequest that is valid and only reads.
    public init(_ store: MVCCStore, copying bytes: UnsafeRawBufferPointer) throws(CallError) {
        self.store = store
        request = SharedBytes(copying: bytes)
        snapshot = store.snapshot()
        let txn: TxnRequest
        do throws(ProtobufError) { txn = try TxnRequest(decoding: request.bytes) } catch { throw error.callError }
        let succeeded = try store.holds(txn, in: snapshot)
        var ranges: [RangeRequest] = []
        let (store, snapshot) = (store, snapshot)
        try txn.branch(succeeded).forEach { (bytes) throws(CallError) in
            let range = try MVCCStore.range(bytes)
            try store.checkTransactionRevision(range.revision, in: snapshot)
            ranges.append(range)
        }
        operations = ranges
        sink.field(2, succeeded)
    }

    /// One bounded piece of work; true when the answer is complete.
    public func step() throws(CallError) -> Bool {
        switch stage {
        case .next:
            guard position < operations.count else { return true }
            let answer = try store.range(operations[position], in: snapshot)
            position += 1
            try take(answer)
        case .walking(let answer):
            answer.cursor?.step()
            try take(answer)
        case .copying(let cursor, let remaining):
            let copied: Int
            do throws(StorageError) {
                copied = try cursor.read(into: sink, upTo: min(remaining, Self.sliceBytes))
            } catch {
                throw CallError(decodingOrReading: error)
            }
            precondition(copied > 0 || remaining == 0, "an answer is shorter than was announced")
            stage = remaining == copied ? .next : .copying(cursor, remaining: remaining - copied)
        }
        if case .next = stage { return position == operations.count }
        return false
    }

    private func take(_ answer: RangeAnswer) throws(CallError) {
        guard answer.isReady else {
            stage = .walking(answer)
            return
        }
        counts.append(answer.keyValueCount)
        let header = varintFieldSize(UInt64(bitPattern: snapshot.revision))
        let size = lengthDelimitedSize(header) + answer.encodedLength
        guard sink.count + size + 32 <= Self.answerBytesMax else {
            throw CallError(
                .resourceExhausted, "grpc: trying to send message larger than max (\(sink.count + size) vs. \(Self.answerBytesMax))")
        }
        sink.tag(3, .bytes)
        sink.varint(UInt64(lengthDelimitedSize(size)))
        sink.tag(1, .bytes)
        sink.varint(UInt64(size))
        ResponseHeaderEncoder.appendInner(to: sink, revision: snapshot.revision)
        if let cursor = answer.cursor {
            stage = .copying(cursor, remaining: answer.encodedLength)
        } else {
            do throws(StorageError) { try answer.write(to: sink) } catch { throw CallError(decodingOrReading: error) }
            stage = .next
        }
    }
}

extension TxnRequest {
    /// Whether some range or compare covers more than a single key.
    public var readsRanges: Bool {
        var found = false
        for branch in [success, failure] {
            branch.forEach { bytes in
                if case .range(let range) = try? RequestOperation(decoding: bytes), !range.rangeEnd.isEmpty { found = true }
            }
        }
        return found
    }
}
