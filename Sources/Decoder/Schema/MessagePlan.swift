// How one message lies in memory and looks in JSON: the descriptor that libprotobuf-c works from, and beside it what
// the printer and the encoder need of each field.

import CProtobufC

/// A message whose JSON form is not the plain mapping of its fields.
enum SpecialForm: String {
    case time, microtime, duration, intorstring, rawjson, rawext, quantity, schemaorbool, schemaorarray, schemaorstrings, items,
        unknown
}

enum FieldKind: UInt8 { case string, bytes, int32, int64, bool, double, message }
enum FieldLabel: UInt8 { case single, repeated, map }

/// When a field without content has a place in JSON.
enum JSONPresence: UInt8 {
    /// Always there.
    case always
    /// Left out when empty.
    case omitEmpty
    /// Left out when zero, though a message of its own.
    case omitZero
    /// The message's special form says it.
    case special
}

/// How Go holds the field, which decides about the wire.
enum WirePresence: UInt8 {
    /// Always on the wire.
    case value
    /// There exactly when set.
    case pointer
    /// A list, map or bytes: there when it has something.
    case nilable
}

/// Plain data with memory that lives as long as the process, so that a walk over a message retains nothing.
struct FieldPlan {
    let number: UInt32
    let kind: FieldKind
    let label: FieldLabel
    let json: JSONPresence
    let wire: WirePresence
    /// The members of this message stand in the parent object.
    let isInline: Bool
    /// Of the value in the struct; of the pointer to the elements for a list.
    let offset: Int
    /// Of the `has` flag, or the number of elements.
    let quantifier: Int
    /// Eight bytes of the struct that are zero when the field is absent.
    let presence: Int
    /// An absent field leaves nothing in JSON.
    let isSkippedWhenAbsent: Bool
    private let nameText: UnsafePointer<CChar>
    /// `,"jsonName":`
    let key: UnsafeRawBufferPointer
    /// The message of the field; for a map the entry's, whose second field is the value.
    let message: Unmanaged<MessagePlan>?

    @inline(__always)
    var plan: MessagePlan { message.unsafelyUnwrapped._withUnsafeGuaranteedRef { $0 } }

    /// The same without counting a reference.
    @inline(__always)
    func withPlan<R>(_ body: (MessagePlan) -> R) -> R { message.unsafelyUnwrapped._withUnsafeGuaranteedRef { body($0) } }

    var name: String { String(cString: nameText) }
    var jsonName: String { String(decoding: UnsafeRawBufferPointer(rebasing: key[2..<key.count - 2]), as: UTF8.self) }

    fileprivate init(
        number: UInt32, kind: FieldKind, label: FieldLabel, presence: (json: JSONPresence, wire: WirePresence), isInline: Bool, slot: Int,
        name: UnsafePointer<CChar>, key: UnsafeRawBufferPointer, message: MessagePlan?
    ) {
        self.number = number
        self.kind = kind
        self.label = label
        json = presence.json
        wire = presence.wire
        self.isInline = isInline
        quantifier = slot
        offset = slot + 8
        let isMessage = label == .single && kind == .message
        self.presence = isMessage ? slot + 8 : slot
        isSkippedWhenAbsent = isInline ? presence.wire != .value : presence.json != .always && !(isMessage && presence.wire == .value)
        nameText = name
        self.key = key
        self.message = message.map { .passUnretained($0) }
    }
}

/// Lives as long as the process, as do the descriptors that it holds.
final class MessagePlan: @unchecked Sendable {
    // Unchecked: written by the builder before anybody else has it.
    let name: String
    let special: SpecialForm?
    let descriptor: UnsafeMutablePointer<ProtobufCMessageDescriptor>
    /// In JSON order.
    fileprivate(set) var fields = UnsafeBufferPointer<FieldPlan>(start: nil, count: 0)
    /// The JSON name of each.
    fileprivate(set) var jsonNames: [String] = []
    /// The object's own apiVersion and kind stand in front.
    fileprivate(set) var hasTypeMeta = false
    /// Something in it may hold its own type, so that only the bytes bound the depth.
    fileprivate(set) var nestsWithoutBound = false
    /// All fields absent.
    let empty: UnsafeMutableRawPointer

    fileprivate init(name: String, special: SpecialForm?, descriptor: UnsafeMutablePointer<ProtobufCMessageDescriptor>, size: Int) {
        self.name = name
        self.special = special
        self.descriptor = descriptor
        empty = .allocate(byteCount: size, alignment: 16)
        empty.initializeMemory(as: UInt8.self, repeating: 0, count: size)
        empty.storeBytes(of: UnsafePointer(descriptor), as: UnsafePointer<ProtobufCMessageDescriptor>.self)
    }

    /// The field with this number on the wire.
    func field(number: UInt32) -> FieldPlan? { fields.first { $0.number == number } }

    var size: Int { Int(descriptor.pointee.sizeof_message) }
}

/// Turns rows of the table into plans, with all messages that they lead to.
enum PlanBuilder {
    private struct Pending {
        let plan: MessagePlan
        let rows: [Row]
    }

    private struct Row {
        let number: UInt32
        let name: String
        let json: String
        let type: String
        let label: FieldLabel
        let presence: (JSONPresence, WirePresence)
        let isInline: Bool

        init(_ cells: [String]) {
            number = UInt32(cells[0])!
            name = cells[1]
            json = cells[2].isEmpty ? cells[1] : cells[2]
            type = cells[3]
            let marks = Array(cells[4])
            label = marks[0] == "r" ? .repeated : marks[0] == "m" ? .map : .single
            let first: JSONPresence =
                switch marks[1] {
                case "a": .always
                case "e": .omitEmpty
                case "z": .omitZero
                default: .special
                }
            presence = (first, marks[2] == "v" ? .value : marks[2] == "p" ? .pointer : .nilable)
            isInline = marks.count > 3 && marks[3] == "i"
        }
    }

    static func build(
        _ name: String, known: inout [String: MessagePlan], rows: (String) -> [[String]]?
    ) -> MessagePlan {
        var pending: [Pending] = []
        let plan = declare(name, &known, &pending, rows)
        var built: [MessagePlan] = []
        while let next = pending.popLast() {
            complete(next, &known, &pending, rows)
            built.append(next.plan)
        }
        let recursive = Set(built.filter { plan in reaches(plan) { $0 === plan } }.map(ObjectIdentifier.init))
        for plan in built {
            plan.nestsWithoutBound = reaches(plan) { recursive.contains(ObjectIdentifier($0)) || $0.nestsWithoutBound }
        }
        return plan
    }

    /// The plan without its fields' plans, so that messages may hold themselves.
    private static func declare(
        _ name: String, _ known: inout [String: MessagePlan], _ pending: inout [Pending], _ rows: (String) -> [[String]]?
    ) -> MessagePlan {
        if let plan = known[name] { return plan }
        guard let cells = rows(name) else { preconditionFailure("the schema names a message \(name) that it has not") }
        return declare(
            name, special: cells[0].count > 2 ? SpecialForm(rawValue: cells[0][2]) : nil,
            rows: cells.dropFirst().map { Row($0) }, &known, &pending)
    }

    private static func declare(
        _ name: String, special: SpecialForm?, rows: [Row], _ known: inout [String: MessagePlan], _ pending: inout [Pending]
    ) -> MessagePlan {
        let descriptor = UnsafeMutablePointer<ProtobufCMessageDescriptor>.allocate(capacity: 1)
        descriptor.initialize(to: ProtobufCMessageDescriptor())
        let onWire = rows.count { $0.number > 0 }
        let size = MemoryLayout<ProtobufCMessage>.stride + onWire * fieldStride
        descriptor.pointee.magic = UInt32(PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC)
        descriptor.pointee.name = constant(name)
        descriptor.pointee.short_name = descriptor.pointee.name
        descriptor.pointee.c_name = descriptor.pointee.name
        descriptor.pointee.package_name = constant("")
        descriptor.pointee.sizeof_message = size
        let plan = MessagePlan(name: name, special: special, descriptor: descriptor, size: size)
        known[name] = plan
        // Plans and descriptors refer to each other and are never taken away.
        _ = Unmanaged.passRetained(plan)
        pending.append(Pending(plan: plan, rows: rows))
        return plan
    }

    /// A flag or count, and a value of at most a length and a pointer.
    private static let fieldStride = 24

    private static func complete(
        _ next: Pending, _ known: inout [String: MessagePlan], _ pending: inout [Pending], _ rows: (String) -> [[String]]?
    ) {
        let plan = next.plan
        let wire = next.rows.filter { $0.number > 0 }.sorted { $0.number < $1.number }
        let descriptors = UnsafeMutablePointer<ProtobufCFieldDescriptor>.allocate(capacity: max(1, wire.count))
        // libprotobuf-c looks at the first even where there is none.
        descriptors.initialize(repeating: ProtobufCFieldDescriptor(), count: max(1, wire.count))
        var plans: [UInt32: FieldPlan] = [:]
        for (index, row) in wire.enumerated() {
            var message: MessagePlan?
            let kind = kind(of: row.type)
            if row.label == .map {
                message = entry(of: row.type, kind, &known, &pending, rows)
            } else if kind == .message {
                message = declare(row.type, &known, &pending, rows)
            }
            let quantifier = MemoryLayout<ProtobufCMessage>.stride + index * fieldStride
            let name = constant(row.name)
            let field = FieldPlan(
                number: row.number, kind: row.label == .map ? .message : kind, label: row.label, presence: row.presence, isInline: row.isInline,
                slot: quantifier, name: name, key: key(row.json), message: message)
            plans[row.number] = field
            descriptors[index] = descriptor(of: field, name, message)
        }
        plan.descriptor.pointee.n_fields = UInt32(wire.count)
        plan.descriptor.pointee.fields = UnsafePointer(descriptors)
        plan.descriptor.pointee.fields_sorted_by_name = nil
        setRanges(plan.descriptor, wire.map(\.number))
        plan.hasTypeMeta = next.rows.contains { $0.number == 0 && $0.type == "meta/v1.TypeMeta" }
        let ordered = next.rows.compactMap { plans[$0.number] }
        let buffer = UnsafeMutableBufferPointer<FieldPlan>.allocate(capacity: max(1, ordered.count))
        _ = buffer.initialize(from: ordered)
        plan.fields = UnsafeBufferPointer(start: buffer.baseAddress, count: ordered.count)
        plan.jsonNames = ordered.map(\.jsonName)
    }

    private static func kind(of type: String) -> FieldKind {
        switch type {
        case "string": .string
        case "bytes": .bytes
        case "int32": .int32
        case "int64": .int64
        case "bool": .bool
        case "double": .double
        default: .message
        }
    }

    /// A map is a list of entries of a key and a value.
    private static func entry(
        of type: String, _ kind: FieldKind, _ known: inout [String: MessagePlan], _ pending: inout [Pending],
        _ rows: (String) -> [[String]]?
    ) -> MessagePlan {
        let name = "map of \(type)"
        if let plan = known[name] { return plan }
        return declare(
            name, special: nil,
            rows: [
                Row(["1", "key", "", "string", "oav"]),
                Row(["2", "value", "", type, kind == .bytes ? "oan" : "oav"]),
            ], &known, &pending)
    }

    private static func descriptor(
        of field: FieldPlan, _ name: UnsafePointer<CChar>, _ message: MessagePlan?
    ) -> ProtobufCFieldDescriptor {
        var descriptor = ProtobufCFieldDescriptor()
        descriptor.name = name
        descriptor.id = field.number
        descriptor.label = field.label == .single ? PROTOBUF_C_LABEL_OPTIONAL : PROTOBUF_C_LABEL_REPEATED
        // Strings are held as bytes: they may contain zero bytes.
        descriptor.type =
            switch field.kind {
            case .string, .bytes: PROTOBUF_C_TYPE_BYTES
            case .int32: PROTOBUF_C_TYPE_INT32
            case .int64: PROTOBUF_C_TYPE_INT64
            case .bool: PROTOBUF_C_TYPE_BOOL
            case .double: PROTOBUF_C_TYPE_DOUBLE
            case .message: PROTOBUF_C_TYPE_MESSAGE
            }
        descriptor.quantifier_offset = UInt32(field.quantifier)
        descriptor.offset = UInt32(field.offset)
        if let message { descriptor.descriptor = UnsafeRawPointer(message.descriptor) }
        return descriptor
    }

    /// Runs of field numbers without gaps, which is how libprotobuf-c finds a field.
    private static func setRanges(_ descriptor: UnsafeMutablePointer<ProtobufCMessageDescriptor>, _ numbers: [UInt32]) {
        var ranges: [ProtobufCIntRange] = []
        for (index, number) in numbers.enumerated() where index == 0 || numbers[index - 1] + 1 != number {
            ranges.append(ProtobufCIntRange(start_value: Int32(number), orig_index: UInt32(index)))
        }
        descriptor.pointee.n_field_ranges = UInt32(ranges.count)
        ranges.append(ProtobufCIntRange(start_value: 0, orig_index: UInt32(numbers.count)))
        let memory = UnsafeMutableBufferPointer<ProtobufCIntRange>.allocate(capacity: ranges.count)
        _ = memory.initialize(from: ranges)
        descriptor.pointee.field_ranges = UnsafePointer(memory.baseAddress!)
    }

    private static func constant(_ text: String) -> UnsafePointer<CChar> {
        let bytes = Array(text.utf8CString)
        let memory = UnsafeMutablePointer<CChar>.allocate(capacity: bytes.count)
        memory.initialize(from: bytes, count: bytes.count)
        return UnsafePointer(memory)
    }

    private static func key(_ name: String) -> UnsafeRawBufferPointer {
        let bytes = Array(",\"\(name)\":".utf8)
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
        memory.copyBytes(from: bytes)
        return UnsafeRawBufferPointer(memory)
    }

    /// Whether a message below this one is such.
    private static func reaches(_ from: MessagePlan, _ isSuch: (MessagePlan) -> Bool) -> Bool {
        var seen: Set<ObjectIdentifier> = []
        var open = [from]
        while let plan = open.popLast() {
            for field in plan.fields where field.message != nil {
                let next = field.plan
                if isSuch(next) { return true }
                if seen.insert(ObjectIdentifier(next)).inserted { open.append(next) }
            }
        }
        return false
    }
}
