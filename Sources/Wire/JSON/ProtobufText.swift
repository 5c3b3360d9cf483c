// Messages of the v3 API in protobuf's text format, on one line: how tools show entries of the Raft log and records of the database.

/// Prints encoded messages as Go's `String()` does, with one blank between fields (Go varies the blanks on purpose).
public enum ProtobufText {
    /// A message without braces: `key:"a" value:"b"`; nil if the bytes are no such message.
    ///
    /// - Parameter type: with the package, `etcdserverpb.PutRequest`; must be one of the schema's.
    public static func text(_ bytes: UnsafeRawBufferPointer, _ type: String) -> String? {
        guard let type = APISchema.shared.message(type) else { preconditionFailure("no message \(type)") }
        let sink = ByteSink(capacity: 2 * bytes.count + 64)
        do throws(ProtobufError) { try fields(bytes, type.shape, depth: 0, to: sink) } catch { return nil }
        return String(decoding: sink.bytes, as: UTF8.self)
    }

    private static func fields(
        _ bytes: UnsafeRawBufferPointer, _ shape: UnsafePointer<MessageShape>, depth: Int, to sink: ByteSink
    ) throws(ProtobufError) {
        guard depth < ProtobufJSONWriter.depthMax else { throw .tooDeep }
        let start = sink.count
        let shapes = shape.pointee.fields
        // A proposal's header is field 100, and declared first.
        let header = depth == 0 ? shapes.firstIndex { $0.number == 100 } : nil
        for position in 0..<shapes.count {
            let index = header.map { position == 0 ? $0 : position <= $0 ? position - 1 : position } ?? position
            let field = UnsafePointer(shapes.baseAddress.unsafelyUnwrapped + index)
            var found: ProtobufReader?
            var foundType = WireType.varint
            var reader = ProtobufReader(bytes)
            while let (number, type) = try reader.next() {
                guard number == field.pointee.number else {
                    try reader.skip(type, field: number)
                    continue
                }
                if field.pointee.isRepeated {
                    try value(&reader, type, field, depth, isFirst: sink.count == start, to: sink)
                } else {
                    found = reader
                    foundType = type
                    try reader.skip(type, field: number)
                }
            }
            guard var found else { continue }
            // What is zero is not there, but for members of a oneof.
            if field.pointee.kind != .message, field.pointee.union < 0 {
                var probe = found
                switch field.pointee.kind {
                case .bytes, .string: if try probe.bytes(foundType).isEmpty { continue }
                default: if try probe.uint64(foundType) == 0 { continue }
                }
            }
            try value(&found, foundType, field, depth, isFirst: sink.count == start, to: sink)
        }
        // A message without known fields may still be malformed.
        var reader = ProtobufReader(bytes)
        while let (number, type) = try reader.next() { try reader.skip(type, field: number) }
    }

    private static func value(
        _ reader: inout ProtobufReader, _ type: WireType, _ field: UnsafePointer<FieldShape>, _ depth: Int, isFirst: Bool, to sink: ByteSink
    ) throws(ProtobufError) {
        if !isFirst { sink.append(byte: UInt8(ascii: " ")) }
        sink.append(field.pointee.name)
        sink.append(byte: UInt8(ascii: ":"))
        switch field.pointee.kind {
        case .bytes, .string: quote(try reader.bytes(type), to: sink)
        case .bool: sink.append(try reader.bool(type) ? "true" : "false" as StaticString)
        case .int32: sink.append(String(try reader.int32(type)))
        case .int64: sink.append(String(try reader.int64(type)))
        case .uint32: sink.append(String(UInt32(truncatingIfNeeded: try reader.uint64(type))))
        case .uint64: sink.append(String(try reader.uint64(type)))
        case .enumeration:
            let number = try reader.int32(type)
            if let name = field.pointee.enumeration?.pointee.name(of: number) { sink.append(name) } else { sink.append(String(number)) }
        case .message:
            let inner = try reader.bytes(type)
            sink.append(byte: UInt8(ascii: "{"))
            if let shape = field.pointee.message { try fields(inner, shape, depth: depth + 1, to: sink) }
            sink.append(byte: UInt8(ascii: "}"))
        }
    }

    /// Bytes in double quotes: UTF-8 as it is, everything else as `\xNN`.
    public static func quote(_ bytes: UnsafeRawBufferPointer, to sink: ByteSink) {
        sink.append(byte: UInt8(ascii: "\""))
        var at = 0
        while at < bytes.count {
            let byte = bytes[at]
            if byte >= 0x80 {
                let length = UTF8Check.lengthOfScalar(bytes, at)
                if length == 2, byte == 0xc2, bytes[at + 1] < 0xa0 {
                    // Control characters beyond ASCII.
                    sink.append("\\u00" as StaticString)
                    sink.append(String(bytes[at + 1], radix: 16))
                    at += 2
                    continue
                }
                if length > 0 {
                    sink.append(UnsafeRawBufferPointer(rebasing: bytes[at..<at + length]))
                    at += length
                    continue
                }
            }
            at += 1
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                sink.append(byte: UInt8(ascii: "\\"))
                sink.append(byte: byte)
            case UInt8(ascii: "\n"): sink.append("\\n" as StaticString)
            case UInt8(ascii: "\r"): sink.append("\\r" as StaticString)
            case UInt8(ascii: "\t"): sink.append("\\t" as StaticString)
            case 0x20..<0x7f: sink.append(byte: byte)
            default:
                let digits: StaticString = "0123456789abcdef"
                sink.append("\\x" as StaticString)
                sink.append(byte: digits.utf8Start[Int(byte >> 4)])
                sink.append(byte: digits.utf8Start[Int(byte & 15)])
            }
        }
        sink.append(byte: UInt8(ascii: "\""))
    }
}
