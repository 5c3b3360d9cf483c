// Reading answers: the header, and helpers for the rest.

import Wire

/// What nearly every answer begins with.
public struct Header: Sendable, Equatable {
    public var clusterID: UInt64 = 0
    public var memberID: UInt64 = 0
    /// The store's revision when the answer was made; 0 where an answer has none.
    public var revision: Int64 = 0
    public var raftTerm: UInt64 = 0

    public init() {}

    init(_ bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: clusterID = try reader.uint64(type)
            case 2: memberID = try reader.uint64(type)
            case 3: revision = try reader.int64(type)
            case 4: raftTerm = try reader.uint64(type)
            default: try reader.skip(type, field: field)
            }
        }
    }
}

/// An answer that can be read from its bytes.
public protocol ResponseMessage: Sendable {
    init(_ bytes: UnsafeRawBufferPointer) throws(ProtobufError)
}

extension ResponseMessage {
    /// - Throws: what is wrong with the bytes.
    public init(bytes: [UInt8]) throws(ProtobufError) {
        // Typed throws do not pass through `withUnsafeBytes` of arrays.
        let result: Result<Self, ProtobufError> = bytes.withUnsafeBytes { view in
            do throws(ProtobufError) { return .success(try Self(view)) } catch { return .failure(error) }
        }
        self = try result.get()
    }
}

/// An answer with nothing but a header.
public struct HeaderResponse: ResponseMessage {
    public var header = Header()

    public init(_ bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: header = try Header(try reader.bytes(type))
            default: try reader.skip(type, field: field)
            }
        }
    }
}

/// A typed answer with the bytes that it was read from, for those who print or forward them.
public struct Answer<Message: ResponseMessage>: Sendable {
    public let message: Message
    public let bytes: [UInt8]

    init(bytes: [UInt8]) throws(ProtobufError) {
        message = try Message(bytes: bytes)
        self.bytes = bytes
    }

    /// What was not received as it is: the message and its encoding.
    public init(_ message: Message, bytes: [UInt8]) {
        self.message = message
        self.bytes = bytes
    }

    /// From encoded messages one behind the other, which protobuf merges.
    public init(merging bytes: [UInt8]) throws(ClientError) {
        do throws(ProtobufError) { try self.init(bytes: bytes) } catch { throw .malformed(error) }
    }
}

/// Builds a request.
func encoded(_ body: (ByteSink) -> Void) -> [UInt8] {
    let sink = ByteSink(capacity: 256)
    body(sink)
    return sink.array()
}
