// What can still be read of a damaged message: its bytes rewritten without the broken fields, and a list of those.

import Wire

/// One pass over a message that copies what libprotobuf-c will take. Damage inside a field of known length costs what
/// is left of that field's message only; damage of a length costs what is left of the message that it stands in.
struct WireSalvage {
    private let start: UnsafeRawPointer
    private let base: Int
    private var path: [String] = []
    private(set) var errors: [DecodingError] = []

    /// - Parameters:
    ///   - base: where the bytes begin in the input, for the offsets of errors.
    ///   - isCut: more bytes were to follow, so that a field without end is shown as far as it goes.
    static func salvage(
        _ bytes: UnsafeRawBufferPointer, _ plan: MessagePlan, base: Int, isCut: Bool
    ) -> (bytes: [UInt8], errors: [DecodingError]) {
        guard let start = bytes.baseAddress else { return ([], []) }
        var salvage = WireSalvage(start: start, base: base)
        let sink = ByteSink(capacity: max(bytes.count, 16))
        salvage.walk(bytes, plan, depth: 1, isCut: isCut, to: sink)
        return (sink.array(), salvage.errors)
    }

    private init(start: UnsafeRawPointer, base: Int) {
        self.start = start
        self.base = base
    }

    private mutating func note(_ reason: String, _ bytes: UnsafeRawBufferPointer, _ at: Int) {
        guard errors.count < DecoderLimits.warningsMax else { return }
        let offset = bytes.baseAddress.map { $0 - start } ?? 0
        errors.append(DecodingError(reason, offset: base + offset + at, path: FieldPath.text(path)))
    }

    private mutating func walk(_ bytes: UnsafeRawBufferPointer, _ plan: MessagePlan, depth: Int, isCut: Bool, to sink: ByteSink) {
        guard depth <= DecoderLimits.depthMax else { return note("messages lie more than \(DecoderLimits.depthMax) deep in each other", bytes, 0) }
        var reader = ProtobufReader(bytes)
        var counts: [Int: Int] = [:]
        while !reader.isAtEnd {
            let fieldStart = bytes.count - reader.remaining
            guard let (number, type) = try? reader.next() else { return note("no field begins here", bytes, fieldStart) }
            let field = plan.field(number: UInt32(number))
            // The members of a message that stands inline are the parent's.
            let isStep = field.map { !$0.isInline } ?? false
            if let field, isStep {
                path.append(field.label == .single ? field.jsonName : "\(field.jsonName)[\(counts[number, default: 0])]")
                counts[number, default: 0] += 1
            }
            defer { if isStep { path.removeLast() } }
            switch type {
            case .varint, .fixed64, .fixed32:
                do throws(ProtobufError) {
                    try reader.skip(type, field: number)
                } catch {
                    return note(error.words, bytes, fieldStart)
                }
                let fits = field.map { type == .varint ? $0.isNumber && $0.kind != .double : type == .fixed64 && $0.kind == .double } ?? true
                guard fits else {
                    note("a number where the field is none", bytes, fieldStart)
                    continue
                }
                sink.append(UnsafeRawBufferPointer(rebasing: bytes[fieldStart..<bytes.count - reader.remaining]))
            case .bytes:
                guard let length = try? reader.varint() else { return note("the bytes end inside a length", bytes, fieldStart) }
                let contentStart = bytes.count - reader.remaining
                let isOverlong = length > UInt64(reader.remaining)
                let fault = "a length of \(length) where \(reader.remaining) bytes are left"
                // A wrong length says nothing about where the field ends.
                if isOverlong, !isCut || field == nil { return note(fault, bytes, fieldStart) }
                let contentEnd = isOverlong ? bytes.count : contentStart + Int(length)
                let content = UnsafeRawBufferPointer(rebasing: bytes[contentStart..<contentEnd])
                reader = ProtobufReader(UnsafeRawBufferPointer(rebasing: bytes[contentEnd...]))
                let count = errors.count
                append(content, number, field, depth: depth, isCut: isOverlong, fieldStart: contentStart, bytes, to: sink)
                // One cut is one fault: the innermost field says best where it is.
                if isOverlong, errors.count == count { note(fault, bytes, fieldStart) }
            case .startGroup, .endGroup: return note("no field has the wire type \(type.rawValue)", bytes, fieldStart)
            }
        }
    }

    private mutating func append(
        _ content: UnsafeRawBufferPointer, _ number: Int, _ field: FieldPlan?, depth: Int, isCut: Bool, fieldStart: Int,
        _ bytes: UnsafeRawBufferPointer, to sink: ByteSink
    ) {
        switch field?.kind {
        case nil, .string, .bytes:
            sink.tag(number, .bytes)
            sink.varint(UInt64(content.count))
            sink.append(content)
        case .message:
            let inner = ByteSink(capacity: max(content.count, 16))
            walk(content, field!.plan, depth: depth + 1, isCut: isCut, to: inner)
            sink.tag(number, .bytes)
            sink.varint(UInt64(inner.count))
            sink.append(inner.bytes)
        case .int32, .int64, .bool, .double:
            guard field!.label == .repeated else { return note("bytes where the field is a number", bytes, fieldStart) }
            guard let packed = Self.unpacked(content, number, isDouble: field!.kind == .double) else {
                return note("packed numbers that end too early", bytes, fieldStart)
            }
            sink.append(packed)
        }
    }

    /// Packed numbers, a field each; nil if they are damaged.
    private static func unpacked(_ content: UnsafeRawBufferPointer, _ number: Int, isDouble: Bool) -> [UInt8]? {
        let sink = ByteSink(capacity: max(content.count * 2, 16))
        var reader = ProtobufReader(content)
        while !reader.isAtEnd {
            if isDouble {
                guard let bits = try? reader.fixed64() else { return nil }
                sink.tag(number, .fixed64)
                withUnsafeBytes(of: bits.littleEndian) { sink.append($0) }
            } else {
                guard let value = try? reader.varint() else { return nil }
                sink.tag(number, .varint)
                sink.varint(value)
            }
        }
        return sink.array()
    }
}

/// Names of fields from the object inwards.
enum FieldPath {
    /// `spec.containers[0].image`; a step in brackets belongs to the name before it.
    static func text(_ path: [String]) -> String {
        path.reduce(into: "") { text, step in
            if !text.isEmpty, !step.hasPrefix("[") { text += "." }
            text += step
        }
    }
}

extension FieldPlan {
    var isNumber: Bool { kind != .string && kind != .bytes && kind != .message }
}
