// A transaction as views into the received bytes. The tree is not built: each pass over it reads the
// bytes again, which costs less than allocating it.

/// The occurrences of one repeated message field, in order.
public struct RepeatedMessages {
    let bytes: UnsafeRawBufferPointer
    let field: Int
    public let count: Int

    /// Calls `body` for each message; stops at the first error.
    @inline(__always)
    public func forEach<E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> Void) throws(E) {
        guard count > 0 else { return }
        var reader = ProtobufReader(bytes)
        // `TxnRequest.init` has read these bytes to the end, so they cannot fail here.
        while let (number, type) = (try? reader.next()) ?? nil {
            if number == field, type == .bytes, let message = try? reader.bytes() {
                try body(message)
            } else {
                guard (try? reader.skip(type, field: number)) != nil else { return }
            }
        }
    }
}

public struct TxnRequest {
    public let compares: RepeatedMessages
    public let success: RepeatedMessages
    public let failure: RepeatedMessages

    /// Reads this level; the operations' own bytes are read by whoever walks them.
    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var counts = (0, 0, 0)
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: _ = try reader.bytes(type); counts.0 += 1
            case 2: _ = try reader.bytes(type); counts.1 += 1
            case 3: _ = try reader.bytes(type); counts.2 += 1
            default: try reader.skip(type, field: field)
            }
        }
        compares = RepeatedMessages(bytes: bytes, field: 1, count: counts.0)
        success = RepeatedMessages(bytes: bytes, field: 2, count: counts.1)
        failure = RepeatedMessages(bytes: bytes, field: 3, count: counts.2)
    }

    @inline(__always)
    public func branch(_ succeeded: Bool) -> RepeatedMessages { succeeded ? success : failure }
}

public enum RequestOperation {
    case range(RangeRequest)
    case put(PutRequest)
    case deleteRange(DeleteRangeRequest)
    case txn(TxnRequest)
    /// The union is unset.
    case none

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        self = .none
        while let (field, type) = try reader.next() {
            switch field {
            case 1: self = .range(try RangeRequest(decoding: try reader.bytes(type)))
            case 2: self = .put(try PutRequest(decoding: try reader.bytes(type)))
            case 3: self = .deleteRange(try DeleteRangeRequest(decoding: try reader.bytes(type)))
            case 4: self = .txn(try TxnRequest(decoding: try reader.bytes(type)))
            default: try reader.skip(type, field: field)
            }
        }
    }
}

public struct Compare {
    public enum Operand {
        case none
        case version(Int64), createRevision(Int64), modRevision(Int64), lease(Int64)
        case value(UnsafeRawBufferPointer)
    }

    /// Raw enum numbers: unknown ones have defined results.
    public var result: Int32 = 0
    public var target: Int32 = 0
    public var key = UnsafeRawBufferPointer(start: nil, count: 0)
    public var rangeEnd = UnsafeRawBufferPointer(start: nil, count: 0)
    public var operand = Operand.none

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: result = try reader.int32(type)
            case 2: target = try reader.int32(type)
            case 3: key = try reader.bytes(type)
            case 4: operand = .version(try reader.int64(type))
            case 5: operand = .createRevision(try reader.int64(type))
            case 6: operand = .modRevision(try reader.int64(type))
            case 7: operand = .value(try reader.bytes(type))
            case 8: operand = .lease(try reader.int64(type))
            case 64: rangeEnd = try reader.bytes(type)
            default: try reader.skip(type, field: field)
            }
        }
    }
}
