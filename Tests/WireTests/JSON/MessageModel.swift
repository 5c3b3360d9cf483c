// A naive model of messages and of their two encodings: a tree, written straight from the descriptions of protobuf and its JSON mapping.

@testable import Wire

/// A value of a field as a tree.
indirect enum ModelValue: Equatable {
    case number(UInt64)
    case bytes([UInt8])
    case message(ModelMessage)
}

struct ModelMessage: Equatable {
    /// In the order of the fields' numbers; several values only where the field is repeated.
    var fields: [(number: Int, values: [ModelValue])] = []

    static func == (a: ModelMessage, b: ModelMessage) -> Bool {
        a.fields.count == b.fields.count && zip(a.fields, b.fields).allSatisfy { $0.number == $1.number && $0.values == $1.values }
    }
}

struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 | 1 }
    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state &* 0x2545_f491_4f6c_dd1d
    }
}

enum MessageModel {
    /// A message of the type with whatever its fields can hold.
    static func random(_ shape: UnsafePointer<MessageShape>, depth: Int = 0, using random: inout SeededGenerator) -> ModelMessage {
        var message = ModelMessage()
        var unions: Set<Int> = []
        for field in shape.pointee.fields {
            guard Int.random(in: 0..<3, using: &random) > 0, depth < 6 || field.kind != .message else { continue }
            if field.union >= 0, !unions.insert(field.union).inserted { continue }
            let count = field.isRepeated ? Int.random(in: 0...3, using: &random) : 1
            let values = (0..<count).map { _ in value(field, depth, &random) }
            // What is zero is not there, unless its place or its oneof says so.
            if values.isEmpty { continue }
            if !field.isRepeated, field.union < 0, values[0] == .number(0) || values[0] == .bytes([]) { continue }
            message.fields.append((field.number, values))
        }
        return message
    }

    private static func value(_ field: FieldShape, _ depth: Int, _ random: inout SeededGenerator) -> ModelValue {
        switch field.kind {
        case .message: return .message(self.random(field.message!, depth: depth + 1, using: &random))
        case .bytes: return .bytes((0..<Int.random(in: 0...40, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) })
        case .string:
            let characters = Array("ab<>&\"\\\u{1}\u{8}\n\u{7f}é語\u{1f600}\u{2028}")
            return .bytes(Array(String((0..<Int.random(in: 0...8, using: &random)).map { _ in characters.randomElement(using: &random)! }).utf8))
        case .bool: return .number(UInt64.random(in: 0...1, using: &random))
        case .enumeration:
            let known = field.enumeration!.pointee.values.map(\.number)
            return .number(UInt64(bitPattern: Int64((known + [99, -1, .max, .min]).randomElement(using: &random)!)))
        case .int32: return .number(UInt64(bitPattern: Int64(Int32.random(in: .min ... .max, using: &random))))
        case .uint32: return .number(UInt64(UInt32.random(in: 0 ... .max, using: &random)))
        case .int64, .uint64:
            return .number([0, 1, 300, 1 << 53, .max, 1 << 63, UInt64.random(in: 0 ... .max, using: &random)].randomElement(using: &random)!)
        }
    }

    // MARK: Protobuf

    static func protobuf(_ message: ModelMessage, packs: Bool = false, _ shape: UnsafePointer<MessageShape>) -> [UInt8] {
        var bytes: [UInt8] = []
        for (number, values) in message.fields {
            let field = shape.pointee.field(number: number)!.pointee
            if packs, field.isRepeated, case .number = values[0] {
                var run: [UInt8] = []
                for case .number(let value) in values { run += varint(value) }
                bytes += varint(UInt64(number << 3 | 2)) + varint(UInt64(run.count)) + run
                continue
            }
            for value in values {
                switch value {
                case .number(let value): bytes += varint(UInt64(number << 3)) + varint(value)
                case .bytes(let content): bytes += varint(UInt64(number << 3 | 2)) + varint(UInt64(content.count)) + content
                case .message(let inner):
                    let content = protobuf(inner, packs: packs, field.message!)
                    bytes += varint(UInt64(number << 3 | 2)) + varint(UInt64(content.count)) + content
                }
            }
        }
        return bytes
    }

    private static func varint(_ value: UInt64) -> [UInt8] {
        value < 0x80 ? [UInt8(value)] : [UInt8(truncatingIfNeeded: value) | 0x80] + varint(value >> 7)
    }

    /// The message that the bytes say, every field of which must be known.
    static func parse(_ bytes: ArraySlice<UInt8>, _ shape: UnsafePointer<MessageShape>) throws -> ModelMessage {
        var values: [Int: [ModelValue]] = [:]
        try Array(bytes).withUnsafeBytes { view in
            var reader = ProtobufReader(view)
            while let (number, type) = try reader.next() {
                guard let field = shape.pointee.field(number: number) else { throw ProtobufError.invalidTag }
                switch field.pointee.kind {
                case .message: values[number, default: []].append(.message(try parse(Array(try reader.bytes(type))[...], field.pointee.message!)))
                case .bytes, .string: values[number, default: []].append(.bytes(Array(try reader.bytes(type))))
                default: values[number, default: []].append(.number(try reader.uint64(type)))
                }
            }
        }
        return ModelMessage(fields: values.sorted { $0.key < $1.key }.map { ($0.key, $0.value) })
    }

    // MARK: JSON

    static func json(_ message: ModelMessage, _ shape: UnsafePointer<MessageShape>, escapesHTML: Bool = false) -> String {
        let members = message.fields.map { number, values in
            let field = shape.pointee.field(number: number)!.pointee
            let texts = values.map { json($0, field, escapesHTML) }
            let name = String(decoding: field.name, as: UTF8.self)
            return "\"\(name)\":" + (field.isRepeated ? "[" + texts.joined(separator: ",") + "]" : texts[0])
        }
        return "{" + members.joined(separator: ",") + "}"
    }

    private static func json(_ value: ModelValue, _ field: FieldShape, _ escapesHTML: Bool) -> String {
        switch (value, field.kind) {
        case (.message(let inner), _): return json(inner, field.message!, escapesHTML: escapesHTML)
        case (.bytes(let content), .string): return text(String(decoding: content, as: UTF8.self), escapesHTML)
        case (.bytes(let content), _): return "\"" + Base64.encode(content) + "\""
        case (.number(let number), .bool): return number == 0 ? "false" : "true"
        case (.number(let number), .int64): return "\"\(Int64(bitPattern: number))\""
        case (.number(let number), .uint64): return "\"\(number)\""
        case (.number(let number), .enumeration):
            let value = Int32(truncatingIfNeeded: number)
            return field.enumeration!.pointee.name(of: value).map { "\"\(String(decoding: $0, as: UTF8.self))\"" } ?? "\(value)"
        case (.number(let number), .uint32): return "\(number)"
        case (.number(let number), _): return "\(Int64(bitPattern: number))"
        }
    }

    private static func text(_ value: String, _ escapesHTML: Bool) -> String {
        var result = "\""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\u{8}": result += "\\b"
            case "\n": result += "\\n"
            case "<" where escapesHTML: result += "\\u003c"
            case ">" where escapesHTML: result += "\\u003e"
            case "&" where escapesHTML: result += "\\u0026"
            case _ where scalar.value < 0x20: result += "\\u00" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
