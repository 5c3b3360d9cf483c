// A message's bytes walked by the table, without building anything: finds what libprotobuf-c only refuses, says where
// it is, and bounds the depth before anything recurses.

import Wire

/// One pass over a message.
struct WireCheck {
    private let start: UnsafeRawPointer
    private let base: Int
    private var path: [String] = []

    /// - Parameters:
    ///   - base: where the bytes begin in the input, for the offsets of errors.
    static func check(_ bytes: UnsafeRawBufferPointer, _ plan: MessagePlan, base: Int) throws(DecodingError) {
        guard let start = bytes.baseAddress else { return }
        var check = WireCheck(start: start, base: base)
        try check.walk(bytes, plan, depth: 1)
    }

    private init(start: UnsafeRawPointer, base: Int) {
        self.start = start
        self.base = base
    }

    private mutating func walk(_ bytes: UnsafeRawBufferPointer, _ plan: MessagePlan, depth: Int) throws(DecodingError) {
        guard depth <= DecoderLimits.depthMax else { throw error("messages lie more than \(DecoderLimits.depthMax) deep in each other", bytes, 0) }
        var at = 0
        var counts: [UInt32: Int] = [:]
        while at < bytes.count {
            let fieldStart = at
            let tag = try varint(bytes, &at)
            guard tag >> 3 > 0, tag >> 3 < 1 << 29 else { throw error("no field has the number \(tag >> 3)", bytes, fieldStart) }
            let number = UInt32(tag >> 3)
            let field = plan.field(number: number)
            // The members of a message that stands inline are the parent's.
            let isStep = field.map { !$0.isInline } ?? false
            if let field, isStep {
                let index = counts[number, default: 0]
                counts[number] = index + 1
                path.append(field.label == .single ? field.jsonName : "\(field.jsonName)[\(index)]")
            }
            let isPacked = field?.label == .repeated && field!.isNumber
            switch tag & 7 {
            case 0:
                _ = try varint(bytes, &at)
                if let field, field.kind == .string || field.kind == .bytes || field.kind == .message || field.kind == .double {
                    throw error("a number where the field is none", bytes, fieldStart)
                }
            case 1, 5:
                let length = tag & 7 == 1 ? 8 : 4
                guard bytes.count - at >= length else { throw error("the bytes end inside a number", bytes, fieldStart) }
                at += length
                if let field, field.kind != .double || length != 8 { throw error("a number of fixed length where the field is none", bytes, fieldStart) }
            case 2:
                let length = try varint(bytes, &at)
                guard length <= UInt64(bytes.count - at) else {
                    throw error("a length of \(length) where \(bytes.count - at) bytes are left", bytes, fieldStart)
                }
                let content = UnsafeRawBufferPointer(rebasing: bytes[at..<at + Int(length)])
                if let field {
                    switch field.kind {
                    case .message: try walk(content, field.plan, depth: depth + 1)
                    case .string, .bytes: break
                    case .int32, .int64, .bool, .double:
                        guard isPacked else { throw error("bytes where the field is a number", bytes, fieldStart) }
                        try checkPacked(content, field)
                    }
                }
                at += Int(length)
            default:
                throw error("no field has the wire type \(tag & 7)", bytes, fieldStart)
            }
            if isStep { path.removeLast() }
        }
    }

    private func checkPacked(_ content: UnsafeRawBufferPointer, _ field: FieldPlan) throws(DecodingError) {
        if field.kind == .double {
            guard content.count % 8 == 0 else { throw error("packed numbers that end too early", content, 0) }
            return
        }
        var at = 0
        while at < content.count { _ = try varint(content, &at) }
    }

    private func varint(_ bytes: UnsafeRawBufferPointer, _ at: inout Int) throws(DecodingError) -> UInt64 {
        let start = at
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while at < bytes.count, shift < 70 {
            let byte = bytes[at]
            at += 1
            value |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
        throw error(shift < 70 ? "the bytes end inside a number" : "a number of more than ten bytes", bytes, start)
    }

    private func error(_ reason: String, _ bytes: UnsafeRawBufferPointer, _ at: Int) -> DecodingError {
        let offset = bytes.baseAddress.map { $0 - start } ?? 0
        return DecodingError(reason, offset: base + offset + at, path: FieldPath.text(path))
    }
}
