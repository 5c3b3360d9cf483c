// Reading protobuf in place: fields come out as numbers or as views into the message, nothing is copied.
// Wire format: https://protobuf.dev/programming-guides/encoding

/// What is wrong with bytes that claim to be a protobuf message.
public enum ProtobufError: Error, Equatable {
    case truncated
    case varintTooLong
    case invalidTag
    case invalidUTF8
    case unexpectedWireType
    case tooDeep
}

public enum WireType: UInt8, Sendable {
    case varint = 0, fixed64 = 1, bytes = 2, startGroup = 3, endGroup = 4, fixed32 = 5
}

/// A cursor over one message. The bytes must outlive it and every view that it hands out.
public struct ProtobufReader {
    @usableFromInline var position: UnsafeRawPointer
    @usableFromInline let end: UnsafeRawPointer

    @inline(__always)
    public init(_ bytes: UnsafeRawBufferPointer) {
        // An empty buffer may have no address; any non-null one serves for it.
        position = bytes.baseAddress ?? UnsafeRawPointer(bitPattern: 1)!
        end = position + bytes.count
    }

    @inline(__always)
    public var isAtEnd: Bool { position >= end }

    /// Bytes not read yet.
    public var remaining: Int { end - position }

    @inline(__always)
    public mutating func varint() throws(ProtobufError) -> UInt64 {
        guard position < end else { throw .truncated }
        let first = position.load(as: UInt8.self)
        if first < 0x80 {
            position += 1
            return UInt64(first)
        }
        return try longVarint()
    }

    @usableFromInline
    mutating func longVarint() throws(ProtobufError) -> UInt64 {
        var result: UInt64 = 0
        var shift: UInt64 = 0
        while true {
            guard position < end else { throw .truncated }
            let byte = position.load(as: UInt8.self)
            position += 1
            if shift == 63, byte > 1 { throw .varintTooLong }
            result |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return result }
            shift += 7
            if shift > 63 { throw .varintTooLong }
        }
    }

    /// The next field's number and wire type, or nil at the end of the message.
    @inline(__always)
    public mutating func next() throws(ProtobufError) -> (field: Int, type: WireType)? {
        guard position < end else { return nil }
        let tag = try varint()
        let field = tag >> 3
        guard field > 0, field < 1 << 29, let type = WireType(rawValue: UInt8(tag & 7)) else { throw .invalidTag }
        return (Int(field), type)
    }

    @inline(__always)
    public mutating func bytes() throws(ProtobufError) -> UnsafeRawBufferPointer {
        let length = try varint()
        guard length <= UInt64(end - position) else { throw .truncated }
        let view = UnsafeRawBufferPointer(start: position, count: Int(length))
        position += Int(length)
        return view
    }

    public mutating func fixed32() throws(ProtobufError) -> UInt32 {
        guard end - position >= 4 else { throw .truncated }
        defer { position += 4 }
        return UInt32(littleEndian: position.loadUnaligned(as: UInt32.self))
    }

    public mutating func fixed64() throws(ProtobufError) -> UInt64 {
        guard end - position >= 8 else { throw .truncated }
        defer { position += 8 }
        return UInt64(littleEndian: position.loadUnaligned(as: UInt64.self))
    }

    /// Passes over a field whose number is not known.
    public mutating func skip(_ type: WireType, field: Int, depth: Int = 0) throws(ProtobufError) {
        switch type {
        case .varint: _ = try varint()
        case .fixed64: _ = try fixed64()
        case .fixed32: _ = try fixed32()
        case .bytes: _ = try bytes()
        case .startGroup:
            guard depth < 100 else { throw .tooDeep }
            while true {
                guard let (inner, innerType) = try next() else { throw .truncated }
                if innerType == .endGroup {
                    guard inner == field else { throw .invalidTag }
                    return
                }
                try skip(innerType, field: inner, depth: depth + 1)
            }
        case .endGroup: throw .invalidTag
        }
    }

    // Typed accessors: they refuse a known field that comes with a foreign wire type, as parsers of
    // generated code treat it as an unknown field; the caller passes the type that it read.

    @inline(__always)
    public mutating func uint64(_ type: WireType) throws(ProtobufError) -> UInt64 {
        guard type == .varint else { throw .unexpectedWireType }
        return try varint()
    }

    @inline(__always)
    public mutating func int64(_ type: WireType) throws(ProtobufError) -> Int64 {
        Int64(bitPattern: try uint64(type))
    }

    @inline(__always)
    public mutating func int32(_ type: WireType) throws(ProtobufError) -> Int32 {
        Int32(truncatingIfNeeded: try uint64(type))
    }

    @inline(__always)
    public mutating func bool(_ type: WireType) throws(ProtobufError) -> Bool {
        try uint64(type) != 0
    }

    @inline(__always)
    public mutating func bytes(_ type: WireType) throws(ProtobufError) -> UnsafeRawBufferPointer {
        guard type == .bytes else { throw .unexpectedWireType }
        return try bytes()
    }

    public mutating func array(_ type: WireType) throws(ProtobufError) -> [UInt8] {
        [UInt8](try bytes(type))
    }

    /// A proto3 string: invalid UTF-8 is an error.
    public mutating func string(_ type: WireType) throws(ProtobufError) -> String {
        let view = try bytes(type)
        guard let text = String(validating: view, as: UTF8.self) else { throw .invalidUTF8 }
        return text
    }

    /// A repeated integer field: one value, or a packed run of them.
    public mutating func repeatedUInt64(_ type: WireType, into values: inout [UInt64]) throws(ProtobufError) {
        if type == .bytes {
            var packed = ProtobufReader(try bytes())
            while !packed.isAtEnd { values.append(try packed.varint()) }
        } else {
            values.append(try uint64(type))
        }
    }
}
