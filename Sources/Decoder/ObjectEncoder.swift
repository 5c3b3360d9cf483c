// From JSON to a stored value, byte for byte as the API server writes it.

import CProtobufC
import Wire

/// Writes stored values. Keeps its memory between values; not thread-safe.
public final class ObjectEncoder {
    private let schema: KubernetesSchema
    private let arena = Arena()
    /// What was in the last object that its message has no place for.
    public private(set) var warnings = Warnings()

    public init(schema: KubernetesSchema = .shared) { self.schema = schema }

    /// Appends the stored form of an object: the envelope with protobuf.
    ///
    /// - Parameter json: one object with its `apiVersion` and `kind`.
    /// - Throws: with the offset and the field of what does not fit.
    public func append(json: UnsafeRawBufferPointer, to sink: ByteSink) throws(DecodingError) {
        guard json.count <= DecoderLimits.valueBytesMax else { throw DecodingError("a document of more than \(DecoderLimits.valueBytesMax) bytes") }
        warnings = Warnings()
        let document = try JSONDocument(json)
        guard document.kind(document.root) == .object else { throw DecodingError("this is no object", offset: document.offset(document.root)) }
        func text(_ name: String) throws(DecodingError) -> String {
            guard let node = document.member(document.root, name), document.kind(node) == .string else {
                throw DecodingError("the object has no \(name)")
            }
            return document.string(node)
        }
        let apiVersion = try text("apiVersion")
        let kindName = try text("kind")
        guard let kind = schema.kind(apiVersion: apiVersion, kind: kindName), let plan = schema.plan(kind.message) else {
            throw DecodingError("the kind \(kindName) of \(apiVersion) is not known")
        }
        arena.reset()
        var builder = MessageBuilder(document: document, arena: arena)
        let value = try builder.message(document.root, plan)
        warnings = builder.warnings
        let message = value.base.assumingMemoryBound(to: ProtobufCMessage.self)
        let size = protobuf_c_message_get_packed_size(message)
        sink.append(StoredForm.magic)
        sink.message(1) {
            $0.always(1, apiVersion)
            $0.always(2, kindName)
        }
        sink.tag(2, .bytes)
        sink.varint(UInt64(size))
        sink.append(uninitializedCapacity: size) { buffer in
            protobuf_c_message_pack(message, buffer.baseAddress!.assumingMemoryBound(to: UInt8.self))
        }
        sink.always(3, "")
        sink.always(4, "")
    }
}

/// Fills messages from a document.
struct MessageBuilder {
    let document: JSONDocument
    let arena: Arena
    var warnings = Warnings()
    private var path: [String] = []

    init(document: JSONDocument, arena: Arena) {
        self.document = document
        self.arena = arena
    }

    func error(_ reason: String, _ node: Int?) -> DecodingError {
        DecodingError(reason, offset: node.map(document.offset), path: path.joined(separator: "."))
    }

    /// - Parameter node: nil for a message that is written with nothing in it.
    mutating func message(_ node: Int?, _ plan: MessagePlan) throws(DecodingError) -> MessageValue {
        let node = node.flatMap { document.kind($0) == .null ? nil : $0 }
        let value = MessageValue(arena.allocate(plan))
        if let special = plan.special, special != .unknown {
            try fill(value, node, plan, special)
            return value
        }
        var members: [String: Int] = [:]
        if let node {
            guard document.kind(node) == .object else { throw error("expected an object", node) }
            document.forEachMember(node) { name, member in members[document.string(name)] = member }
        }
        var used = 0
        try fill(value, members, plan, &used)
        if used < members.count { warnAboutStrangers(members, plan) }
        return value
    }

    private mutating func fill(_ value: MessageValue, _ members: [String: Int], _ plan: MessagePlan, _ used: inout Int) throws(DecodingError) {
        for field in plan.fields {
            if field.isInline {
                let inner = MessageValue(arena.allocate(field.plan))
                try fill(inner, members, field.plan, &used)
                value.set(field, message: inner)
                continue
            }
            let given = members[field.jsonName]
            if given != nil { used += 1 }
            let node = given.flatMap { document.kind($0) == .null ? nil : $0 }
            path.append(field.jsonName)
            switch field.label {
            case .single: try fillSingle(value, field, node)
            case .repeated: if let node { try fillList(value, field, node) }
            case .map: if let node { try fillMap(value, field, node) }
            }
            path.removeLast()
        }
    }

    private mutating func warnAboutStrangers(_ members: [String: Int], _ plan: MessagePlan) {
        let known = memberNames(of: plan).union(plan.hasTypeMeta ? ["kind", "apiVersion"] : [])
        for name in members.keys.sorted() where !known.contains(name) {
            warnings.add("unknown field \((path + [name]).joined(separator: "."))")
        }
    }

    // MARK: Fields

    private mutating func fillSingle(_ value: MessageValue, _ field: FieldPlan, _ node: Int?) throws(DecodingError) {
        if field.kind == .message {
            guard node != nil || field.wire == .value else { return }
            return value.set(field, message: try message(node, field.plan))
        }
        guard let node else {
            guard field.wire == .value else { return }
            switch field.kind {
            case .string, .bytes: value.set(field, bytes: UnsafeRawBufferPointer(start: nil, count: 0))
            case .int32, .bool: value.set(field, 0 as Int32)
            case .int64: value.set(field, 0 as Int64)
            case .double: value.set(field, 0 as Double)
            case .message: break
            }
            return
        }
        switch field.kind {
        case .string: value.set(field, bytes: kept(try string(node)))
        case .bytes: value.set(field, bytes: kept(try base64(node)))
        case .int32: value.set(field, Int32(truncatingIfNeeded: try integer(node, bits: 32)))
        case .int64: value.set(field, try integer(node, bits: 64))
        case .bool: value.set(field, try bool(node) ? 1 : 0 as Int32)
        case .double: value.set(field, try double(node))
        case .message: break
        }
    }

    private mutating func fillList(_ value: MessageValue, _ field: FieldPlan, _ node: Int) throws(DecodingError) {
        guard document.kind(node) == .array else { throw error("expected a list", node) }
        var elements: [Int] = []
        document.forEachElement(node) { elements.append($0) }
        guard !elements.isEmpty else { return }
        let memory = arena.allocate(elements.count * 16)
        for (index, element) in elements.enumerated() {
            path.append("[\(index)]")
            let isNull = document.kind(element) == .null
            switch field.kind {
            case .message:
                let inner = try message(element, field.plan)
                memory.storeBytes(of: inner.base, toByteOffset: index * 8, as: UnsafeMutableRawPointer.self)
            case .string:
                let bytes = kept(isNull ? [] : try string(element))
                memory.storeBytes(of: MessageValue.data(bytes), toByteOffset: index * 16, as: ProtobufCBinaryData.self)
            case .bytes:
                let bytes = kept(isNull ? [] : try base64(element))
                memory.storeBytes(of: MessageValue.data(bytes), toByteOffset: index * 16, as: ProtobufCBinaryData.self)
            case .int32:
                memory.storeBytes(of: isNull ? 0 : Int32(truncatingIfNeeded: try integer(element, bits: 32)), toByteOffset: index * 4, as: Int32.self)
            case .int64: memory.storeBytes(of: isNull ? 0 : try integer(element, bits: 64), toByteOffset: index * 8, as: Int64.self)
            case .bool: memory.storeBytes(of: isNull ? 0 : try bool(element) ? 1 : 0, toByteOffset: index * 4, as: Int32.self)
            case .double: memory.storeBytes(of: isNull ? 0 : try double(element), toByteOffset: index * 8, as: Double.self)
            }
            path.removeLast()
        }
        value.set(field, elements: memory, count: elements.count)
    }

    private mutating func fillMap(_ value: MessageValue, _ field: FieldPlan, _ node: Int) throws(DecodingError) {
        guard document.kind(node) == .object else { throw error("expected an object", node) }
        var members: [[UInt8]: Int] = [:]
        document.forEachMember(node) { name, member in members[document.stringBytes(name)] = member }
        guard !members.isEmpty else { return }
        let entryPlan = field.plan
        let memory = arena.allocate(members.count * 8)
        let ordered = members.sorted { $0.key.lexicographicallyPrecedes($1.key) }
        for (index, member) in ordered.enumerated() {
            path.append("[\(String(decoding: member.key, as: UTF8.self))]")
            let entry = MessageValue(arena.allocate(entryPlan))
            entry.set(entryPlan.fields[0], bytes: kept(member.key))
            let isNull = document.kind(member.value) == .null
            // Nil bytes are told apart from empty ones by having no value part.
            try fillSingle(entry, entryPlan.fields[1], isNull ? nil : member.value)
            memory.storeBytes(of: entry.base, toByteOffset: index * 8, as: UnsafeMutableRawPointer.self)
            path.removeLast()
        }
        value.set(field, elements: memory, count: ordered.count)
    }

    // MARK: Values

    /// Bytes that live as long as the message.
    func kept(_ bytes: [UInt8]) -> UnsafeRawBufferPointer {
        guard !bytes.isEmpty else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        let memory = arena.allocate(bytes.count)
        bytes.withUnsafeBytes { memory.copyMemory(from: $0.baseAddress!, byteCount: bytes.count) }
        return UnsafeRawBufferPointer(start: memory, count: bytes.count)
    }

    func string(_ node: Int) throws(DecodingError) -> [UInt8] {
        guard document.kind(node) == .string else { throw error("expected a string", node) }
        return document.stringBytes(node)
    }

    private func base64(_ node: Int) throws(DecodingError) -> [UInt8] {
        // Go's decoder skips line ends.
        guard let bytes = Base64.decode(try string(node).filter { $0 != 0x0a && $0 != 0x0d }) else { throw error("expected base64", node) }
        return bytes
    }

    func integer(_ node: Int, bits: Int) throws(DecodingError) -> Int64 {
        guard document.kind(node) == .number else { throw error("expected a number", node) }
        let text = String(decoding: document.bytes(node), as: UTF8.self)
        // YAML and JavaScript write whole numbers as floating ones, too.
        let value = Int64(text) ?? Double(text).flatMap { Int64(exactly: $0) }
        guard let value, bits == 64 || Int32(exactly: value) != nil else { throw error("expected a whole number of \(bits) bits", node) }
        return value
    }

    private func bool(_ node: Int) throws(DecodingError) -> Bool {
        guard document.kind(node) == .bool else { throw error("expected true or false", node) }
        return document.isTrue(node)
    }

    private func double(_ node: Int) throws(DecodingError) -> Double {
        guard document.kind(node) == .number, let value = Double(String(decoding: document.bytes(node), as: UTF8.self)), value.isFinite else {
            throw error("expected a number", node)
        }
        return value
    }

    // MARK: Special forms

    private mutating func fill(_ value: MessageValue, _ node: Int?, _ plan: MessagePlan, _ special: SpecialForm) throws(DecodingError) {
        let first = plan.fields[0]
        switch special {
        case .time, .microtime:
            guard let node else { return }
            guard let (seconds, nanoseconds) = TimeText.parse(try string(node)) else { throw error("expected a time of RFC 3339", node) }
            guard seconds != TimeText.zeroSeconds else { return }
            value.set(first, seconds)
            value.set(plan.fields[1], special == .time ? 0 : nanoseconds / 1000 * 1000)
        case .duration:
            guard let node else { return value.set(first, 0 as Int64) }
            guard let duration = DurationText.parse(String(decoding: try string(node), as: UTF8.self)) else { throw error("expected a duration", node) }
            value.set(first, duration)
        case .intorstring:
            let isString = node.map { document.kind($0) == .string } ?? false
            value.set(first, isString ? 1 : 0 as Int64)
            value.set(plan.fields[1], Int32(truncatingIfNeeded: isString || node == nil ? 0 : try integer(node!, bits: 32)))
            value.set(plan.fields[2], bytes: kept(isString ? try string(node!) : []))
        case .quantity:
            var text = "0"
            if let node {
                let given = document.kind(node) == .string ? document.string(node) : String(decoding: document.bytes(node), as: UTF8.self)
                guard document.kind(node) == .string || document.kind(node) == .number, let canonical = QuantityText.canonical(given) else {
                    throw error("expected a quantity", node)
                }
                text = canonical
            }
            value.set(first, bytes: kept(Array(text.utf8)))
        case .rawjson, .rawext:
            guard let node else { return }
            value.set(first, bytes: document.bytes(node))
        case .items:
            if let node { try fillList(value, first, node) }
        case .schemaorbool:
            let isBool = node.map { document.kind($0) == .bool } ?? false
            value.set(first, node == nil || (isBool && !document.isTrue(node!)) ? 0 : 1 as Int32)
            if let node, !isBool { value.set(plan.fields[1], message: try message(node, plan.fields[1].plan)) }
        case .schemaorarray, .schemaorstrings:
            guard let node else { return }
            if document.kind(node) == .array {
                try fillList(value, plan.fields[1], node)
            } else {
                value.set(first, message: try message(node, first.plan))
            }
        case .unknown: preconditionFailure("the envelope is no field of an object")
        }
    }
}

/// JSON names of a message's members, with those of the messages that stand inline.
private func memberNames(of plan: MessagePlan) -> Set<String> {
    plan.fields.reduce(into: []) { names, field in
        if field.isInline { names.formUnion(memberNames(of: field.plan)) } else { names.insert(field.jsonName) }
    }
}
