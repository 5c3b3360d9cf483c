// A message in protobuf's text format, with the schema's field names, in the order of the wire.

import Wire

/// One pass over a message. What the schema has not is shown by number: texts and numbers as they are, bytes that read as a message as such.
struct ProtobufText {
    private let sink: ByteSink
    private let end: Int

    /// Appends a message's fields, a line each.
    ///
    /// - Parameter bytes: checked against the plan before.
    static func append(_ bytes: UnsafeRawBufferPointer, _ plan: MessagePlan, to sink: ByteSink) throws(DecodingError) {
        let text = ProtobufText(sink: sink, end: sink.count + DecoderLimits.textBytesMax)
        do throws(ProtobufError) {
            try text.fields(bytes, plan, depth: 0)
        } catch {
            throw DecodingError(error == .tooDeep ? "the text is more than \(DecoderLimits.textBytesMax) bytes" : "the object is damaged: \(error.words)")
        }
    }

    private func fields(_ bytes: UnsafeRawBufferPointer, _ plan: MessagePlan?, depth: Int) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (number, type) = try reader.next() {
            guard sink.count < end else { throw .tooDeep }
            let field = plan?.field(number: UInt32(number))
            switch type {
            case .varint: varint(try reader.varint(), number, field, depth)
            case .fixed64:
                let bits = try reader.fixed64()
                name(number, field, depth)
                if field?.kind == .double { double(Double(bitPattern: bits)) } else { sink.append(": 0x" + Self.hexadecimal(bits, 16)) }
                sink.append(byte: 0x0a)
            case .fixed32:
                let bits = try reader.fixed32()
                name(number, field, depth)
                sink.append(": 0x\(Self.hexadecimal(UInt64(bits), 8))\n")
            case .bytes: try content(try reader.bytes(), number, field, depth)
            case .startGroup, .endGroup: throw .invalidTag
            }
        }
    }

    private func content(_ content: UnsafeRawBufferPointer, _ number: Int, _ field: FieldPlan?, _ depth: Int) throws(ProtobufError) {
        switch field?.kind {
        case .message:
            try message(content, number, field, field!.plan, depth)
        case .string: string(content, number, field, depth, keepsText: true)
        case .bytes: string(content, number, field, depth, keepsText: false)
        case .int32, .int64, .bool:
            var packed = ProtobufReader(content)
            while !packed.isAtEnd { varint(try packed.varint(), number, field, depth) }
        case .double:
            var packed = ProtobufReader(content)
            while !packed.isAtEnd {
                name(number, field, depth)
                double(Double(bitPattern: try packed.fixed64()))
                sink.append(byte: 0x0a)
            }
        case nil:
            if !content.isEmpty, depth < DecoderLimits.guessDepthMax, !Self.isPrintable(content), Self.looksLikeMessage(content) {
                try message(content, number, nil, nil, depth)
            } else {
                string(content, number, nil, depth, keepsText: Self.isPrintable(content))
            }
        }
    }

    private func message(
        _ content: UnsafeRawBufferPointer, _ number: Int, _ field: FieldPlan?, _ plan: MessagePlan?, _ depth: Int
    ) throws(ProtobufError) {
        name(number, field, depth)
        sink.append(" {\n" as StaticString)
        try fields(content, plan, depth: depth + 1)
        indent(depth)
        sink.append("}\n" as StaticString)
    }

    // MARK: Lines

    private func indent(_ depth: Int) {
        for _ in 0..<depth { sink.append("  " as StaticString) }
    }

    private func name(_ number: Int, _ field: FieldPlan?, _ depth: Int) {
        indent(depth)
        sink.append(field?.name ?? "\(number)")
    }

    private func varint(_ value: UInt64, _ number: Int, _ field: FieldPlan?, _ depth: Int) {
        name(number, field, depth)
        sink.append(": " as StaticString)
        switch field?.kind {
        case .bool: sink.append(value != 0 ? "true" as StaticString : "false")
        case .int32: sink.decimal(Int64(Int32(truncatingIfNeeded: value)))
        case .int64: sink.decimal(Int64(bitPattern: value))
        default: sink.decimal(value)
        }
        sink.append(byte: 0x0a)
    }

    private func double(_ value: Double) {
        sink.append(": " as StaticString)
        if value.isFinite { FloatText.appendJSON(value, to: sink) } else { sink.append(value.isNaN ? "nan" : value < 0 ? "-inf" : "inf") }
    }

    /// - Parameter keepsText: characters outside ASCII stay as they are, where they are UTF-8.
    private func string(_ bytes: UnsafeRawBufferPointer, _ number: Int, _ field: FieldPlan?, _ depth: Int, keepsText: Bool) {
        name(number, field, depth)
        sink.append(": \"" as StaticString)
        var at = 0
        while at < bytes.count {
            let byte = bytes[at]
            let length = keepsText && byte >= 0x80 ? UTF8Check.lengthOfScalar(bytes, at) : 0
            if length > 0 {
                sink.append(UnsafeRawBufferPointer(rebasing: bytes[at..<at + length]))
                at += length
                continue
            }
            switch byte {
            case 0x0a: sink.append("\\n" as StaticString)
            case 0x0d: sink.append("\\r" as StaticString)
            case 0x09: sink.append("\\t" as StaticString)
            case 0x22, 0x27, 0x5c:
                sink.append(byte: 0x5c)
                sink.append(byte: byte)
            case 0x20...0x7e: sink.append(byte: byte)
            default:
                sink.append(byte: 0x5c)
                for shift: UInt8 in [6, 3, 0] { sink.append(byte: UInt8(ascii: "0") + (byte >> shift & 7)) }
            }
            at += 1
        }
        sink.append("\"\n" as StaticString)
    }

    private static func hexadecimal(_ bits: UInt64, _ width: Int) -> String {
        let digits = String(bits, radix: 16)
        return String(repeating: "0", count: width - digits.count) + digits
    }

    // MARK: Guesses

    /// UTF-8 without control characters but tab and line ends.
    static func isPrintable(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var at = 0
        while at < bytes.count {
            let byte = bytes[at]
            if byte < 0x20 || byte == 0x7f, byte != 0x09, byte != 0x0a, byte != 0x0d { return false }
            let length = UTF8Check.lengthOfScalar(bytes, at)
            guard length > 0 else { return false }
            at += length
        }
        return true
    }

    /// Whether bytes are fields from end to end.
    private static func looksLikeMessage(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var reader = ProtobufReader(bytes)
        do throws(ProtobufError) {
            while let (number, type) = try reader.next() {
                guard number < 10_000, type != .startGroup, type != .endGroup else { return false }
                try reader.skip(type, field: number)
            }
        } catch {
            return false
        }
        return true
    }
}
