// A transaction that only reads and may read much: at one pinned revision, walked a slice at a time, so that a loop that
// evaluates it serves others in between, and made while it is sent, because a few bytes of request may ask for the whole
// store many times over.

import Storage
import Wire

/// The fields of a TxnResponse after the header. Used by one thread at a time; pins its revision while it lives.
public final class TxnReading {
    private let store: MVCCStore
    /// Keeps the bytes that single-key answers refer to.
    private let request: SharedBytes
    private let snapshot: ReadSnapshot
    private let traffic: ResourceTraffic?
    private let succeeded: Bool
    private var operations: [RangeRequest] = []
    private var answers: [RangeAnswer] = []
    /// What stands before each answer: tags, lengths, its own header.
    private var heads: [[UInt8]] = []
    private var length = 0

    // Reading: an operation's head, then its answer.
    private var nextAnswer = 0
    private let staged = ByteSink(capacity: 64)
    private var stagedOffset = 0
    private var body: RangeCursor?

    /// The largest message that clients take; beyond, the call fails as gRPC fails it.
    public static let answerBytesMax = Int(Int32.max)

    public var revision: Int64 { snapshot.revision }

    /// Keys in the answer of each range that is walked.
    public var counts: [Int] { answers.prefix(heads.count).map { $0.keyValueCount } }

    /// Evaluates the compares and checks the ranges' revisions.
    ///
    /// - Parameters:
    ///   - bytes: an encoded TxnRequest that is valid and only reads.
    ///   - traffic: counts the reads by resource.
    public init(_ store: MVCCStore, copying bytes: UnsafeRawBufferPointer, counting traffic: ResourceTraffic? = nil) throws(CallError) {
        self.store = store
        self.traffic = traffic
        request = SharedBytes(copying: bytes)
        snapshot = store.snapshot()
        let txn: TxnRequest
        do throws(ProtobufError) { txn = try TxnRequest(decoding: request.bytes) } catch { throw error.callError }
        succeeded = try store.holds(txn, in: snapshot)
        var ranges: [RangeRequest] = []
        let snapshot = snapshot
        try txn.branch(succeeded).forEach { (bytes) throws(CallError) in
            let range = try MVCCStore.range(bytes)
            try store.checkTransactionRevision(range.revision, in: snapshot)
            ranges.append(range)
        }
        operations = ranges
    }

    /// One bounded piece of the walk that finds counts and lengths; true when the answer can be read.
    public func step() throws(CallError) -> Bool {
        if heads.count < answers.count {
            answers[heads.count].cursor?.step()
        } else if answers.count < operations.count {
            answers.append(try store.range(operations[answers.count], in: snapshot))
        }
        if heads.count < answers.count, answers[heads.count].isReady {
            let answer = answers[heads.count]
            traffic?.count(answer, of: answer.resource ?? store.resourceNames.known(operations[heads.count].key))
            try addHead(answer.encodedLength)
        }
        return heads.count == operations.count
    }

    private func addHead(_ body: Int) throws(CallError) {
        let header = varintFieldSize(UInt64(bitPattern: snapshot.revision))
        let size = lengthDelimitedSize(header) + body
        let head = ByteSink(capacity: 64)
        head.tag(3, .bytes)
        head.varint(UInt64(lengthDelimitedSize(size)))
        head.tag(1, .bytes)
        head.varint(UInt64(size))
        ResponseHeaderEncoder.appendInner(to: head, revision: snapshot.revision)
        heads.append(head.array())
        length += head.count + body
        guard length + 32 <= Self.answerBytesMax else {
            throw CallError(
                .resourceExhausted, "grpc: trying to send message larger than max (\(length) vs. \(Self.answerBytesMax))")
        }
    }

    /// Length of everything that `write` or `read` produces, once the walk is done.
    public var encodedLength: Int {
        precondition(heads.count == operations.count, "an answer's length is asked for before it is known")
        return length + (succeeded ? 2 : 0)
    }

    /// Writes the whole answer.
    public func write(to sink: ByteSink) throws(StorageError) {
        sink.field(2, succeeded)
        for (head, answer) in zip(heads, answers) {
            sink.append(head)
            try answer.write(to: sink)
        }
    }

    /// Fills `buffer` with the next bytes of the answer; fewer only at its end.
    public func read(into buffer: GappedBuffer) throws(StorageError) -> Int {
        if nextAnswer == 0, staged.count == 0 { staged.field(2, succeeded) }
        var written = 0
        while written < buffer.count {
            if stagedOffset < staged.count {
                let count = min(staged.count - stagedOffset, buffer.count - written)
                buffer.copy(UnsafeRawBufferPointer(start: staged.base + stagedOffset, count: count), to: written)
                stagedOffset += count
                written += count
            } else if let cursor = body {
                let count = try cursor.read(into: buffer.suffix(from: written))
                written += count
                if count == 0 || cursor.isExhausted { body = nil }
            } else if nextAnswer < answers.count {
                staged.clear(keeping: StoreLimits.stagedBytesKept)
                stagedOffset = 0
                staged.append(heads[nextAnswer])
                if let cursor = answers[nextAnswer].cursor { body = cursor } else { try answers[nextAnswer].write(to: staged) }
                nextAnswer += 1
            } else {
                break
            }
        }
        return written
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
