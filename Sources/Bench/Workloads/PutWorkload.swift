// put, txn-put, txn-mixed, range, lease-keepalive: one call each.

import Wire

/// Puts of one value to many keys.
final class PutWorkload: Workload, @unchecked Sendable {
    private let keys: KeyPattern
    private let value: FixedBytes
    private let keySpace: Int
    private let isSequential: Bool
    private var random: SplitMix
    private var next = 0

    init(keySize: Int, valueSize: Int, keySpace: Int, isSequential: Bool, prefix: String = "", seed: UInt64) {
        keys = KeyPattern(size: keySize, prefix: Array(prefix.utf8))
        value = .random(valueSize, seed: seed)
        self.keySpace = keySpace
        self.isSequential = isSequential
        random = SplitMix(seed &+ 1)
        super.init(methods: [Path.put], operations: ["put"])
    }

    override func write(_ client: Int, to sink: ByteSink) {
        let number: Int
        if isSequential {
            number = next
            next = next + 1 == keySpace ? 0 : next + 1
        } else {
            number = random.below(keySpace)
        }
        sink.always(1, keys.key(number))
        sink.field(2, value.bytes)
    }
}

/// What a range asks for.
struct RangeShape: Sendable {
    var key: [UInt8]
    var end: [UInt8] = []
    var isSerializable = false
    var limit = 0
    var isCountOnly = false
    var isKeysOnly = false

    func write(to sink: ByteSink, from start: [UInt8]? = nil, revision: Int64 = 0, limit: Int? = nil) {
        sink.field(1, start ?? key)
        sink.field(2, end)
        sink.field(3, Int64(limit ?? self.limit))
        sink.field(4, revision)
        sink.field(7, isSerializable)
        sink.field(8, isKeysOnly)
        sink.field(9, isCountOnly)
    }
}

/// The same range again and again; the message is made once.
final class RangeWorkload: Workload, @unchecked Sendable {
    private let message: FixedBytes

    init(_ shape: RangeShape, isStream: Bool) {
        let sink = ByteSink()
        shape.write(to: sink)
        message = FixedBytes(sink.array())
        super.init(methods: [isStream ? Path.rangeStream : Path.range], operations: ["range"])
    }

    override func write(_ client: Int, to sink: ByteSink) { sink.append(message.bytes) }
}

/// A whole range by pages of one revision; the operation is the range.
final class PagedRangeWorkload: Workload, @unchecked Sendable {
    private struct Reading {
        var next: [UInt8] = []
        var revision: Int64 = 0
        var hasMore = false
    }

    private let shape: RangeShape
    private let pageSize: Int
    private var readings: [Reading] = []

    init(_ shape: RangeShape, pageSize: Int, operation: String = "range") {
        self.shape = shape
        self.pageSize = pageSize
        super.init(methods: [Path.range], operations: [operation])
    }

    override func prepare(clients: Int) { readings = Array(repeating: Reading(), count: clients) }

    override func write(_ client: Int, to sink: ByteSink) {
        let reading = readings[client]
        shape.write(to: sink, from: reading.hasMore ? reading.next : nil, revision: reading.hasMore ? reading.revision : 0, limit: pageSize)
    }

    override func received(_ client: Int, _ message: UnsafeRawBufferPointer) {
        var last: UnsafeRawBufferPointer?
        var hasMore = false
        var reader = ProtobufReader(message)
        do {
            while let (field, type) = try reader.next() {
                switch (field, type) {
                case (2, .bytes): last = try reader.bytes()
                case (3, .varint): hasMore = try reader.varint() != 0
                default: try reader.skip(type, field: field)
                }
            }
        } catch { hasMore = false }
        if !readings[client].hasMore { readings[client].revision = Answers.revision(message) }
        readings[client].hasMore = hasMore
        // The next page begins at the key just behind the last one.
        if hasMore, let last, let key = Answers.bytes(1, of: last) { readings[client].next = Array(key) + [0] }
    }

    override func ended(_ client: Int) -> Verdict { readings[client].hasMore ? .goesOn : .done }
    override func failed(_ client: Int) { readings[client].hasMore = false }
}

/// Transactions of several puts.
final class TransactionPutWorkload: Workload, @unchecked Sendable {
    private let keys: KeyPattern
    private let value: FixedBytes
    private let keySpace: Int
    private let puts: Int
    private var next = 0

    init(keySize: Int, valueSize: Int, keySpace: Int, puts: Int, seed: UInt64) {
        keys = KeyPattern(size: keySize)
        value = .random(valueSize, seed: seed)
        self.keySpace = keySpace
        self.puts = puts
        super.init(methods: [Path.txn], operations: ["txn-put"])
    }

    override func write(_ client: Int, to sink: ByteSink) {
        for _ in 0..<puts {
            sink.putOperation(keys.key(next), value.bytes)
            next = next + 1 == keySpace ? 0 : next + 1
        }
    }
}

/// Transactions that read a range, and such that put a key, in a proportion.
final class TransactionMixedWorkload: Workload, @unchecked Sendable {
    private let keys: KeyPattern
    private let value: FixedBytes
    private let keySpace: Int
    private let readPart: Double
    private let read: FixedBytes
    private var random: SplitMix
    private var next = 0
    private var isRead = false

    init(keySize: Int, valueSize: Int, keySpace: Int, range: RangeShape, readWriteRatio: Double, seed: UInt64) {
        keys = KeyPattern(size: keySize)
        value = .random(valueSize, seed: seed)
        self.keySpace = keySpace
        readPart = readWriteRatio / (1 + readWriteRatio)
        random = SplitMix(seed &+ 1)
        let sink = ByteSink()
        sink.message(2) { operation in operation.message(1) { range.write(to: $0) } }
        read = FixedBytes(sink.array())
        super.init(methods: [Path.txn], operations: ["txn-mixed-read", "txn-mixed-write"])
    }

    override func choose(_ client: Int) -> Step {
        isRead = random.fraction() < readPart
        return Step(operation: isRead ? 0 : 1, method: 0)
    }

    override func write(_ client: Int, to sink: ByteSink) {
        if isRead { return sink.append(read.bytes) }
        sink.putOperation(keys.key(next), value.bytes)
        next = next + 1 == keySpace ? 0 : next + 1
    }
}

/// Renewals, each a stream of one message; each client has its lease.
final class KeepAliveWorkload: Workload, @unchecked Sendable {
    private let leases: [Int64]
    private var isGone: [Bool] = []

    init(leases: [Int64]) {
        self.leases = leases
        super.init(methods: [Path.leaseKeepAlive], operations: ["lease-keepalive"])
    }

    override func prepare(clients: Int) { isGone = Array(repeating: false, count: clients) }
    override func write(_ client: Int, to sink: ByteSink) { sink.field(1, leases[client % leases.count]) }
    /// A lease that is gone is answered with no time to live.
    override func received(_ client: Int, _ message: UnsafeRawBufferPointer) { isGone[client] = (Answers.number(3, of: message) ?? 0) == 0 }
    override func ended(_ client: Int) -> Verdict { isGone[client] ? .failed("etcdserver: requested lease not found") : .done }
}

/// Grants of one lease for each client.
final class GrantWorkload: Workload, @unchecked Sendable {
    private let ttl: Int64
    private(set) var leases: [Int64] = []

    init(ttl: Int64) {
        self.ttl = ttl
        super.init(methods: [Path.leaseGrant], operations: ["lease-grant"])
    }

    override func write(_ client: Int, to sink: ByteSink) { sink.field(1, ttl) }
    override func received(_ client: Int, _ message: UnsafeRawBufferPointer) {
        leases.append(Int64(bitPattern: Answers.number(2, of: message) ?? 0))
    }
}
