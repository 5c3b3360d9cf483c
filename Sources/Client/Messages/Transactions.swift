// Transactions: comparisons, and what is done when they hold or do not.

import Wire

/// A condition on a key, or on every key of an interval.
public struct Comparison: Sendable {
    public enum Relation: UInt64, Sendable { case equal = 0, greater, less, notEqual }
    public enum Operand: Sendable {
        case version(Int64), createRevision(Int64), modRevision(Int64), value([UInt8]), lease(Int64)
    }

    public var key: [UInt8]
    /// Of an interval; empty for one key.
    public var rangeEnd: [UInt8] = []
    public var relation: Relation
    public var operand: Operand

    public init(_ key: [UInt8], _ relation: Relation, _ operand: Operand) {
        self.key = key
        self.relation = relation
        self.operand = operand
    }

    func encode(to sink: ByteSink) {
        sink.field(1, relation.rawValue)
        // Members of a oneof are written also when they are zero.
        switch operand {
        case .version(let number):
            sink.field(3, key)
            sink.always(4, UInt64(bitPattern: number))
        case .createRevision(let number):
            sink.field(2, 1 as UInt64)
            sink.field(3, key)
            sink.always(5, UInt64(bitPattern: number))
        case .modRevision(let number):
            sink.field(2, 2 as UInt64)
            sink.field(3, key)
            sink.always(6, UInt64(bitPattern: number))
        case .value(let value):
            sink.field(2, 3 as UInt64)
            sink.field(3, key)
            value.withUnsafeBytes { sink.always(7, $0) }
        case .lease(let number):
            sink.field(2, 4 as UInt64)
            sink.field(3, key)
            sink.always(8, UInt64(bitPattern: number))
        }
        sink.field(64, rangeEnd)
    }
}

public indirect enum Operation: Sendable {
    case get(Get), put(Put), delete(Delete), transaction(Transaction)

    func encode(to sink: ByteSink) {
        switch self {
        case .get(let get): sink.message(1) { get.encode(to: $0) }
        case .put(let put): sink.message(2) { put.encode(to: $0) }
        case .delete(let delete): sink.message(3) { delete.encode(to: $0) }
        case .transaction(let transaction): sink.message(4) { transaction.encode(to: $0) }
        }
    }

    var isWrite: Bool {
        switch self {
        case .get: false
        case .put, .delete: true
        case .transaction(let transaction): transaction.isWrite
        }
    }
}

public struct Transaction: Sendable {
    public var comparisons: [Comparison]
    public var success: [Operation]
    public var failure: [Operation]

    public init(if comparisons: [Comparison] = [], then success: [Operation] = [], else failure: [Operation] = []) {
        self.comparisons = comparisons
        self.success = success
        self.failure = failure
    }

    var isWrite: Bool { success.contains(where: \.isWrite) || failure.contains(where: \.isWrite) }

    func encode(to sink: ByteSink) {
        for comparison in comparisons { sink.message(1) { comparison.encode(to: $0) } }
        for operation in success { sink.message(2) { operation.encode(to: $0) } }
        for operation in failure { sink.message(3) { operation.encode(to: $0) } }
    }
}

public indirect enum OperationResponse: Sendable {
    case get(GetResponse), put(PutResponse), delete(DeleteResponse), transaction(TransactionResponse), none

    init(_ bytes: UnsafeRawBufferPointer, depth: Int) throws(ProtobufError) {
        self = .none
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: self = .get(try GetResponse(try reader.bytes(type)))
            case 2: self = .put(try PutResponse(try reader.bytes(type)))
            case 3: self = .delete(try DeleteResponse(try reader.bytes(type)))
            case 4: self = .transaction(try TransactionResponse(try reader.bytes(type), depth: depth + 1))
            default: try reader.skip(type, field: field)
            }
        }
    }
}

public struct TransactionResponse: ResponseMessage {
    public var header = Header()
    public var succeeded = false
    public var responses: [OperationResponse] = []

    public init(_ bytes: UnsafeRawBufferPointer) throws(ProtobufError) { try self.init(bytes, depth: 0) }

    init(_ bytes: UnsafeRawBufferPointer, depth: Int) throws(ProtobufError) {
        guard depth < 128 else { throw .tooDeep }
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: header = try Header(try reader.bytes(type))
            case 2: succeeded = try reader.bool(type)
            case 3: responses.append(try OperationResponse(try reader.bytes(type), depth: depth))
            default: try reader.skip(type, field: field)
            }
        }
    }
}
