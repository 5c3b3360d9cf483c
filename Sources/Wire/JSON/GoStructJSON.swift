// Messages of the v3 API as Go's encoding/json prints the structs generated for them: proto names, numbers for enumerations and
// 64-bit integers, zero fields left out. What etcdctl's users parse; the gateway's JSON is another one.

/// Prints encoded messages.
public struct GoStructJSON {
    /// Identities in hexadecimal, as strings.
    public var isHex: Bool

    public init(isHex: Bool = false) { self.isHex = isHex }

    /// A message as an object.
    public func append(_ bytes: UnsafeRawBufferPointer, _ type: MessageType, to sink: ByteSink) throws(ProtobufError) {
        sink.append(byte: UInt8(ascii: "{"))
        try fields(bytes, type.shape, depth: 0, to: sink)
        sink.append(byte: UInt8(ascii: "}"))
    }

    /// The members of a message without the braces.
    public func appendMembers(_ bytes: UnsafeRawBufferPointer, _ type: MessageType, to sink: ByteSink) throws(ProtobufError) {
        try fields(bytes, type.shape, depth: 0, to: sink)
    }

    /// A message as text.
    public func text(_ bytes: [UInt8], _ type: String) throws(ProtobufError) -> String {
        guard let type = APISchema.shared.message(type) else { preconditionFailure("no message \(type)") }
        let sink = ByteSink(capacity: 2 * bytes.count + 256)
        let result: Result<Void, ProtobufError> = bytes.withUnsafeBytes { view in
            do throws(ProtobufError) { return .success(try append(view, type, to: sink)) } catch { return .failure(error) }
        }
        try result.get()
        return String(decoding: sink.bytes, as: UTF8.self)
    }

    private func fields(
        _ bytes: UnsafeRawBufferPointer, _ shape: UnsafePointer<MessageShape>, depth: Int, to sink: ByteSink
    ) throws(ProtobufError) {
        guard depth < ProtobufJSONWriter.depthMax else { throw .tooDeep }
        var isFirst = true
        let fields = shape.pointee.fields
        for index in 0..<fields.count {
            let field = UnsafePointer(fields.baseAddress.unsafelyUnwrapped + index)
            if field.pointee.isRepeated {
                try array(bytes, field, &isFirst, depth, to: sink)
            } else {
                try single(bytes, shape, field, &isFirst, depth, to: sink)
            }
        }
    }

    private func name(_ field: UnsafePointer<FieldShape>, _ isFirst: inout Bool, to sink: ByteSink) {
        if !isFirst { sink.append(byte: UInt8(ascii: ",")) }
        isFirst = false
        sink.append(field.pointee.key)
    }

    private func array(
        _ bytes: UnsafeRawBufferPointer, _ field: UnsafePointer<FieldShape>, _ isFirst: inout Bool, _ depth: Int, to sink: ByteSink
    ) throws(ProtobufError) {
        var count = 0
        var reader = ProtobufReader(bytes)
        while let (number, type) = try reader.next() {
            guard number == field.pointee.number else {
                try reader.skip(type, field: number)
                continue
            }
            if count == 0 {
                name(field, &isFirst, to: sink)
                sink.append(byte: UInt8(ascii: "["))
            } else {
                sink.append(byte: UInt8(ascii: ","))
            }
            count += 1
            try value(&reader, type, field, depth, to: sink)
        }
        if count > 0 { sink.append(byte: UInt8(ascii: "]")) }
    }

    /// The last occurrence counts.
    private func single(
        _ bytes: UnsafeRawBufferPointer, _ shape: UnsafePointer<MessageShape>, _ field: UnsafePointer<FieldShape>, _ isFirst: inout Bool,
        _ depth: Int, to sink: ByteSink
    ) throws(ProtobufError) {
        var found: ProtobufReader?
        var foundType = WireType.varint
        var reader = ProtobufReader(bytes)
        while let (number, type) = try reader.next() {
            if number == field.pointee.number {
                found = reader
                foundType = type
            }
            try reader.skip(type, field: number)
        }
        guard var found else { return }
        // Members of a oneof are objects of their own, under the name of the oneof.
        if field.pointee.union >= 0 {
            if !isFirst { sink.append(byte: UInt8(ascii: ",")) }
            isFirst = false
            var union = String(decoding: shape.pointee.unions[field.pointee.union], as: UTF8.self)
            union = union[(union.lastIndex(of: ".").map { union.index(after: $0) } ?? union.startIndex)...].split(separator: "_").map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined()
            sink.append("\"\(union)\":{")
            sink.append(field.pointee.key)
            try value(&found, foundType, field, depth, to: sink)
            sink.append(byte: UInt8(ascii: "}"))
            return
        }
        var zero = found
        switch field.pointee.kind {
        case .message: break
        case .bytes, .string: if try zero.bytes(foundType).isEmpty { return }
        default: if try zero.uint64(foundType) == 0 { return }
        }
        name(field, &isFirst, to: sink)
        try value(&found, foundType, field, depth, to: sink)
    }

    private func value(
        _ reader: inout ProtobufReader, _ type: WireType, _ field: UnsafePointer<FieldShape>, _ depth: Int, to sink: ByteSink
    ) throws(ProtobufError) {
        switch field.pointee.kind {
        case .bytes:
            sink.append(byte: UInt8(ascii: "\""))
            sink.append(Base64.encode(try reader.bytes(type)))
            sink.append(byte: UInt8(ascii: "\""))
        case .string:
            sink.append(byte: UInt8(ascii: "\""))
            sink.jsonText(try reader.bytes(type), escapesHTML: true)
            sink.append(byte: UInt8(ascii: "\""))
        case .bool: sink.append(try reader.bool(type) ? "true" : "false" as StaticString)
        case .int32, .enumeration: sink.append(String(try reader.int32(type)))
        case .int64: sink.append(String(try reader.int64(type)))
        case .uint32: sink.append(String(UInt32(truncatingIfNeeded: try reader.uint64(type))))
        case .uint64:
            let number = try reader.uint64(type)
            if isHex, isIdentity(field) {
                sink.append("\"" + String(number, radix: 16) + "\"")
            } else {
                sink.append(String(number))
            }
        case .message:
            let inner = try reader.bytes(type)
            sink.append(byte: UInt8(ascii: "{"))
            if let shape = field.pointee.message { try fields(inner, shape, depth: depth + 1, to: sink) }
            sink.append(byte: UInt8(ascii: "}"))
        }
    }

    private func isIdentity(_ field: UnsafePointer<FieldShape>) -> Bool {
        let name = String(decoding: field.pointee.name, as: UTF8.self)
        return name == "cluster_id" || name == "member_id" || name == "ID"
    }
}
