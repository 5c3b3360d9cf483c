// Requests that own their bytes, and their protobuf form written out here once more, apart from the product's
// writer.

/// Protobuf in the plainest way.
struct Proto {
    var bytes: [UInt8] = []

    mutating func varint(_ value: UInt64) {
        var value = value
        while value >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: value) | 0x80)
            value >>= 7
        }
        bytes.append(UInt8(value))
    }

    mutating func number(_ field: Int, _ value: Int64) {
        guard value != 0 else { return }
        varint(UInt64(field) << 3)
        varint(UInt64(bitPattern: value))
    }

    mutating func flag(_ field: Int, _ value: Bool) { number(field, value ? 1 : 0) }

    mutating func data(_ field: Int, _ value: [UInt8], always: Bool = false) {
        guard always || !value.isEmpty else { return }
        varint(UInt64(field) << 3 | 2)
        varint(UInt64(value.count))
        bytes += value
    }
}

struct RangeCase {
    var key: [UInt8]
    var end: [UInt8] = []
    var limit: Int64 = 0
    var revision: Int64 = 0
    var order: Int64 = 0
    var target: Int64 = 0
    var serializable = false
    var keysOnly = false
    var countOnly = false
    var minimumModified: Int64 = 0
    var maximumModified: Int64 = 0
    var minimumCreated: Int64 = 0
    var maximumCreated: Int64 = 0

    var encoded: [UInt8] {
        var proto = Proto()
        proto.data(1, key)
        proto.data(2, end)
        proto.number(3, limit)
        proto.number(4, revision)
        proto.number(5, order)
        proto.number(6, target)
        proto.flag(7, serializable)
        proto.flag(8, keysOnly)
        proto.flag(9, countOnly)
        proto.number(10, minimumModified)
        proto.number(11, maximumModified)
        proto.number(12, minimumCreated)
        proto.number(13, maximumCreated)
        return proto.bytes
    }
}

struct PutCase {
    var key: [UInt8]
    var value: [UInt8] = []
    var lease: Int64 = 0
    var wantsPrevious = false
    var ignoreValue = false
    var ignoreLease = false

    var encoded: [UInt8] {
        var proto = Proto()
        proto.data(1, key)
        proto.data(2, value)
        proto.number(3, lease)
        proto.flag(4, wantsPrevious)
        proto.flag(5, ignoreValue)
        proto.flag(6, ignoreLease)
        return proto.bytes
    }
}

struct DeleteCase {
    var key: [UInt8]
    var end: [UInt8] = []
    var wantsPrevious = false

    var encoded: [UInt8] {
        var proto = Proto()
        proto.data(1, key)
        proto.data(2, end)
        proto.flag(3, wantsPrevious)
        return proto.bytes
    }
}

struct CompareCase {
    /// The member of the union that is set, and what it holds.
    enum Operand {
        case none
        case version(Int64), created(Int64), modified(Int64), lease(Int64)
        case value([UInt8])
    }

    var key: [UInt8]
    var end: [UInt8] = []
    var target: Int64 = 0
    var result: Int64 = 0
    var operand = Operand.none

    var encoded: [UInt8] {
        var proto = Proto()
        proto.number(1, result)
        proto.number(2, target)
        proto.data(3, key)
        func set(_ field: Int, _ value: Int64) {
            proto.varint(UInt64(field) << 3)
            proto.varint(UInt64(bitPattern: value))
        }
        switch operand {
        case .none: break
        case .version(let value): set(4, value)
        case .created(let value): set(5, value)
        case .modified(let value): set(6, value)
        case .value(let value): proto.data(7, value, always: true)
        case .lease(let value): set(8, value)
        }
        proto.data(64, end)
        return proto.bytes
    }
}

indirect enum OperationCase {
    case range(RangeCase)
    case put(PutCase)
    case delete(DeleteCase)
    case txn(TxnCase)
    case none

    var encoded: [UInt8] {
        var proto = Proto()
        switch self {
        case .range(let range): proto.data(1, range.encoded, always: true)
        case .put(let put): proto.data(2, put.encoded, always: true)
        case .delete(let delete): proto.data(3, delete.encoded, always: true)
        case .txn(let txn): proto.data(4, txn.encoded, always: true)
        case .none: break
        }
        return proto.bytes
    }
}

struct TxnCase {
    var compares: [CompareCase] = []
    var success: [OperationCase] = []
    var failure: [OperationCase] = []

    var encoded: [UInt8] {
        var proto = Proto()
        for compare in compares { proto.data(1, compare.encoded, always: true) }
        for operation in success { proto.data(2, operation.encoded, always: true) }
        for operation in failure { proto.data(3, operation.encoded, always: true) }
        return proto.bytes
    }
}

/// The body of an InternalRaftRequest.
enum RequestCase {
    case put(PutCase)
    case delete(DeleteCase)
    case txn(TxnCase)
    case range(RangeCase)
    case compact(Int64, physical: Bool = false)
    case grant(Int64, ttl: Int64)
    case revoke(Int64)
    case checkpoint([(id: Int64, remaining: Int64)])
    case alarm(action: Int64, member: Int64, kind: Int64)

    /// Field number and body.
    var body: (field: Int, bytes: [UInt8]) {
        var proto = Proto()
        switch self {
        case .range(let range): return (3, range.encoded)
        case .put(let put): return (4, put.encoded)
        case .delete(let delete): return (5, delete.encoded)
        case .txn(let txn): return (6, txn.encoded)
        case .compact(let revision, let physical):
            proto.number(1, revision)
            proto.flag(2, physical)
            return (7, proto.bytes)
        case .grant(let id, let ttl):
            proto.number(1, ttl)
            proto.number(2, id)
            return (8, proto.bytes)
        case .revoke(let id):
            proto.number(1, id)
            return (9, proto.bytes)
        case .alarm(let action, let member, let kind):
            proto.number(1, action)
            proto.number(2, member)
            proto.number(3, kind)
            return (10, proto.bytes)
        case .checkpoint(let checkpoints):
            for checkpoint in checkpoints {
                var inner = Proto()
                inner.number(1, checkpoint.id)
                inner.number(2, checkpoint.remaining)
                proto.data(1, inner.bytes, always: true)
            }
            return (11, proto.bytes)
        }
    }

    /// The data of a log entry.
    func encoded(id: Int64) -> [UInt8] {
        let (field, bytes) = body
        var header = Proto()
        header.number(1, id)
        var proto = Proto()
        proto.data(field, bytes, always: true)
        proto.data(100, header.bytes, always: true)
        return proto.bytes
    }
}
