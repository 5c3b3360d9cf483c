// Messages made from a JSON document.

import CProtobufC
import Wire

/// Fills messages from a document.
struct MessageBuilder {
    let document: JSONDocument
    let arena: Arena
    var warnings = Warnings()
    private(set) var path: [String] = []

    init(document: JSONDocument, arena: Arena) {
        self.document = document
        self.arena = arena
    }

    func error(_ reason: String, _ node: Int?) -> DecodingError {
        DecodingError(reason, offset: node.map(document.offset), path: FieldPath.text(path))
    }

    /// - Parameter node: nil for a message that is written with nothing in it.
    mutating func message(_ node: Int?, _ plan: MessagePlan) throws(DecodingError) -> MessageValue {
        let node = node.flatMap { document.kind($0) == .null ? nil : $0 }
        if let special = plan.special {
            let value = MessageValue(arena.allocate(plan))
            try fill(value, node, plan, special)
            return value
        }
        var members: [String: Int] = [:]
        if let node {
            guard document.kind(node) == .object else { throw error("expected an object", node) }
            document.forEachMember(node) { name, member in members[document.string(name)] = member }
        }
        let unknown = try members[ReservedMember.unknown].map { node throws(DecodingError) in try unknownFields(node) } ?? []
        var used = unknown.isEmpty ? 0 : 1
        let value = try filled(plan, members, unknown, place: "", &used)
        if used < members.count { warnAboutStrangers(members, plan) }
        return value
    }

    /// - Parameter place: the inline fields that lead to this message, as `$unknown` names them.
    private mutating func filled(
        _ plan: MessagePlan, _ members: [String: Int], _ unknown: [UnknownField], place: String, _ used: inout Int
    ) throws(DecodingError) -> MessageValue {
        let value = try unknown.isEmpty ? MessageValue(arena.allocate(plan)) : message(plan, with: unknown.filter { $0.place == place })
        for (index, field) in plan.fields.enumerated() {
            if field.isInline {
                if field.wire != .value, !isGiven(field.plan, members) { continue }
                let innerPlace = place.isEmpty ? field.name : "\(place).\(field.name)"
                value.set(field, message: try filled(field.plan, members, unknown, place: innerPlace, &used))
                continue
            }
            let name = plan.jsonNames[index]
            let given = members[name]
            if given != nil { used += 1 }
            let node = given.flatMap { document.kind($0) == .null ? nil : $0 }
            guard node != nil || field.wire == .value else { continue }
            path.append(name)
            switch field.label {
            case .single: try fillSingle(value, field, node)
            case .repeated: try fillList(value, field, node.unsafelyUnwrapped)
            case .map: try fillMap(value, field, node.unsafelyUnwrapped)
            }
            path.removeLast()
        }
        return value
    }

    /// Whether one of the members belongs to a message that stands inline.
    private func isGiven(_ plan: MessagePlan, _ members: [String: Int]) -> Bool {
        plan.fields.indices.contains { index in
            let field = plan.fields[index]
            if field.isInline { return isGiven(field.plan, members) }
            return members[plan.jsonNames[index]].map { document.kind($0) != .null } ?? false
        }
    }

    private mutating func warnAboutStrangers(_ members: [String: Int], _ plan: MessagePlan) {
        let known = memberNames(of: plan).union(plan.hasTypeMeta ? ["kind", "apiVersion"] + ReservedMember.all : [])
        for name in members.keys.sorted() where !known.contains(name) {
            warnings.add("unknown field \(FieldPath.text(path + [name]))")
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

    mutating func fillList(_ value: MessageValue, _ field: FieldPlan, _ node: Int) throws(DecodingError) {
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

    func base64(_ node: Int) throws(DecodingError) -> [UInt8] {
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
}

/// JSON names of a message's members, with those of the messages that stand inline.
private func memberNames(of plan: MessagePlan) -> Set<String> {
    plan.fields.indices.reduce(into: []) { names, index in
        let field = plan.fields[index]
        if field.isInline { names.formUnion(memberNames(of: field.plan)) } else { names.insert(plan.jsonNames[index]) }
    }
}
