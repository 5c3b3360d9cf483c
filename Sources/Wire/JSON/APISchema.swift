// What the v3 API's messages look like, for translating them from and to JSON: shapes read once from the generated table.

/// What a field holds.
enum FieldKind: UInt8 {
    case bytes, string, bool, int32, int64, uint32, uint64, enumeration, message

    /// As protobuf names it in error texts.
    var name: String {
        switch self {
        case .bytes: "bytes"
        case .string: "string"
        case .bool: "bool"
        case .int32: "int32"
        case .int64: "int64"
        case .uint32: "uint32"
        case .uint64: "uint64"
        case .enumeration: "enum"
        case .message: "message"
        }
    }
}

/// One field. Plain data with memory that lives as long as the process, so that a walk over a message retains nothing.
struct FieldShape {
    let number: Int
    let kind: FieldKind
    let isRepeated: Bool
    /// Position of its oneof in the message's list, -1 for none.
    let union: Int
    /// The proto name, and its lowerCamel form, which JSON may use instead.
    let name: UnsafeRawBufferPointer
    let camelName: UnsafeRawBufferPointer
    /// `"name":`
    let key: UnsafeRawBufferPointer
    /// Kind `message`: its shape. Set when all shapes are known.
    fileprivate(set) var message: UnsafePointer<MessageShape>?
    fileprivate(set) var enumeration: UnsafePointer<EnumerationShape>?
}

struct MessageShape {
    let name: UnsafeRawBufferPointer
    /// In the order of their numbers, which is the order of JSON answers.
    let fields: UnsafeMutableBufferPointer<FieldShape>
    /// By number: a position in `fields` plus one, or 0.
    let positions: UnsafeBufferPointer<UInt8>
    let unions: UnsafeBufferPointer<UnsafeRawBufferPointer>

    @inline(__always)
    func field(number: Int) -> UnsafePointer<FieldShape>? {
        guard number < positions.count, positions[number] > 0 else { return nil }
        return UnsafePointer(fields.baseAddress.unsafelyUnwrapped + Int(positions[number] - 1))
    }

    /// A field by either of its names.
    func field(name: UnsafeRawBufferPointer) -> UnsafePointer<FieldShape>? {
        for index in 0..<fields.count {
            let field = UnsafePointer(fields.baseAddress.unsafelyUnwrapped + index)
            if equalBytes(field.pointee.camelName, name) || equalBytes(field.pointee.name, name) { return field }
        }
        return nil
    }
}

struct EnumerationShape {
    struct Value {
        let number: Int32
        let name: UnsafeRawBufferPointer
    }
    let values: UnsafeBufferPointer<Value>

    func name(of number: Int32) -> UnsafeRawBufferPointer? { values.first { $0.number == number }?.name }
    func number(of name: UnsafeRawBufferPointer) -> Int32? { values.first { equalBytes($0.name, name) }?.number }
}

/// A message type of the API.
public struct MessageType: @unchecked Sendable {
    // Unchecked: shapes are never changed after `APISchema.shared` was made.
    let shape: UnsafePointer<MessageShape>

    /// With the package, e.g. "etcdserverpb.PutRequest".
    public var name: String { String(decoding: shape.pointee.name, as: UTF8.self) }
}

/// The messages and HTTP routes of the v3 API.
public final class APISchema: Sendable {
    public enum CallKind: String, Sendable {
        case unary
        case serverStreaming = "server-stream"
        case bidirectional = "bidi-stream"
    }

    /// A path of the gateway and the method behind it.
    public struct Route: Sendable {
        public let path: String
        public let service: String
        public let method: String
        public let kind: CallKind
        public let request: MessageType
        public let response: MessageType
    }

    /// Made at first use; some tens of microseconds.
    public static let shared = APISchema()

    public let routes: [Route]
    private let messages: [String: MessageType]

    public func message(_ name: String) -> MessageType? { messages[name] }
    /// In no particular order.
    public var messageNames: [String] { Array(messages.keys) }

    private init() {
        let text = String(
            decoding: UnsafeBufferPointer(start: APISchemaText.text.utf8Start, count: APISchemaText.text.utf8CodeUnitCount), as: UTF8.self)
        let lines = text.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
        var enumerations: [String: UnsafePointer<EnumerationShape>] = [:]
        var shapes: [String: UnsafeMutablePointer<MessageShape>] = [:]
        for line in lines where line[0] == "enum" { enumerations[line[1]] = Self.enumeration(line[2...]) }
        for line in lines where line[0] == "message" { shapes[line[1]] = Self.message(line[1], line[2...]) }
        for line in lines where line[0] == "message" {
            let fields = shapes[line[1]]!.pointee.fields
            for (index, field) in line[2...].enumerated() {
                let type = Self.type(of: field).type
                fields[index].message = shapes[type].map { UnsafePointer($0) }
                fields[index].enumeration = enumerations[type]
                precondition(fields[index].kind != .message || fields[index].message != nil, "no message \(type)")
                precondition(fields[index].kind != .enumeration || fields[index].enumeration != nil, "no enumeration \(type)")
            }
        }
        let messages = shapes.mapValues { MessageType(shape: UnsafePointer($0)) }
        self.messages = messages
        routes = lines.filter { $0[0] == "route" }.map {
            Route(
                path: $0[1], service: $0[2], method: $0[3], kind: CallKind(rawValue: $0[4])!, request: messages[$0[5]]!,
                response: messages[$0[6]]!)
        }
    }

    // MARK: Reading the table

    private static func permanent(_ text: some StringProtocol) -> UnsafeRawBufferPointer {
        let bytes = Array(text.utf8)
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: max(bytes.count, 1), alignment: 1)
        memory.copyBytes(from: bytes)
        return UnsafeRawBufferPointer(start: memory.baseAddress, count: bytes.count)
    }

    private static func permanent<T>(_ values: [T]) -> UnsafeMutableBufferPointer<T> {
        let memory = UnsafeMutableBufferPointer<T>.allocate(capacity: values.count)
        _ = memory.initialize(from: values)
        return memory
    }

    private static func enumeration(_ values: ArraySlice<String>) -> UnsafePointer<EnumerationShape> {
        let shapes = values.map { value in
            let parts = value.split(separator: "=")
            return EnumerationShape.Value(number: Int32(parts[1])!, name: permanent(parts[0]))
        }
        let memory = UnsafeMutablePointer<EnumerationShape>.allocate(capacity: 1)
        memory.initialize(to: EnumerationShape(values: UnsafeBufferPointer(permanent(shapes))))
        return UnsafePointer(memory)
    }

    /// The parts of `number:name:type`, with `*` and `|union` taken off the type.
    private static func type(of field: String) -> (number: Int, name: String, type: String, isRepeated: Bool, union: String?) {
        let parts = field.split(separator: ":").map(String.init)
        let isRepeated = parts[2].hasPrefix("*")
        let type = (isRepeated ? String(parts[2].dropFirst()) : parts[2]).split(separator: "|").map(String.init)
        return (Int(parts[0])!, parts[1], type[0], isRepeated, type.count > 1 ? type[1] : nil)
    }

    private static func message(_ name: String, _ list: ArraySlice<String>) -> UnsafeMutablePointer<MessageShape> {
        var unions: [String] = []
        let fields = list.map { text in
            let field = type(of: text)
            if let union = field.union, !unions.contains(union) { unions.append(union) }
            let kind: FieldKind
            switch field.type {
            case "bytes": kind = .bytes
            case "string": kind = .string
            case "bool": kind = .bool
            case "int32": kind = .int32
            case "int64": kind = .int64
            case "uint32": kind = .uint32
            case "uint64": kind = .uint64
            default: kind = isEnumeration(field.type) ? .enumeration : .message
            }
            return FieldShape(
                number: field.number, kind: kind, isRepeated: field.isRepeated,
                union: field.union.map { unions.firstIndex(of: $0)! } ?? -1, name: permanent(field.name),
                camelName: permanent(camelCase(field.name)), key: permanent("\"\(field.name)\":"))
        }
        var positions = [UInt8](repeating: 0, count: (fields.last?.number ?? 0) + 1)
        for (index, field) in fields.enumerated() { positions[field.number] = UInt8(index + 1) }
        let memory = UnsafeMutablePointer<MessageShape>.allocate(capacity: 1)
        memory.initialize(
            to: MessageShape(
                name: permanent(name), fields: permanent(fields), positions: UnsafeBufferPointer(permanent(positions)),
                unions: UnsafeBufferPointer(permanent(unions.map { permanent("\(name).\($0)") }))))
        return memory
    }

    private static func isEnumeration(_ type: String) -> Bool { enumerationNames.contains(type) }

    private static let enumerationNames: Set<String> = {
        let text = String(
            decoding: UnsafeBufferPointer(start: APISchemaText.text.utf8Start, count: APISchemaText.text.utf8CodeUnitCount), as: UTF8.self)
        return Set(text.split(separator: "\n").filter { $0.hasPrefix("enum ") }.map { String($0.split(separator: " ")[1]) })
    }()

    /// protoc's rule: underscores go, and the letter behind each becomes a capital.
    private static func camelCase(_ name: String) -> String {
        var result = ""
        var raises = false
        for character in name {
            if character == "_" {
                raises = true
            } else {
                result += raises ? character.uppercased() : String(character)
                raises = false
            }
        }
        return result
    }
}
