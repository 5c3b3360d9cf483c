// `$unknown` back onto the wire: a message with fields that its schema has not is built from a descriptor that has them.

import CProtobufC
import Wire

/// An element of `$unknown`.
struct UnknownField {
    enum Content {
        case varint(UInt64), fixed32(UInt32), fixed64(UInt64)
        case bytes(UnsafeRawBufferPointer)
    }

    /// The inline message that has the field, from the object inwards.
    let place: String
    let number: UInt32
    let content: Content
    let node: Int
}

extension MessageBuilder {
    func unknownFields(_ list: Int) throws(DecodingError) -> [UnknownField] {
        guard document.kind(list) == .array else { throw error("\(ReservedMember.unknown) must be a list", list) }
        var fields: [UnknownField] = []
        try document.forEachElement(list) { node throws(DecodingError) in fields.append(try unknownField(node)) }
        return fields
    }

    private func unknownField(_ node: Int) throws(DecodingError) -> UnknownField {
        guard let numberNode = document.member(node, "field") else { throw error("an element of \(ReservedMember.unknown) needs a field", node) }
        let number = try integer(numberNode, bits: 64)
        guard number > 0, number < 1 << 29 else { throw error("no field has the number \(number)", numberNode) }
        var place = ""
        if let placeNode = document.member(node, "in") { place = String(decoding: try string(placeNode), as: UTF8.self) }
        let content: UnknownField.Content
        if let text = document.member(node, "text") {
            content = .bytes(kept(try string(text)))
        } else if let bytes = document.member(node, "bytes") {
            content = .bytes(kept(try base64(bytes)))
        } else if let varint = document.member(node, "varint") {
            content = .varint(try unsigned(varint))
        } else if let fixed = document.member(node, "fixed64") {
            content = .fixed64(try unsigned(fixed))
        } else if let fixed = document.member(node, "fixed32"), let value = UInt32(exactly: try unsigned(fixed)) {
            content = .fixed32(value)
        } else {
            throw error("an element of \(ReservedMember.unknown) needs text, bytes, varint, fixed64 or fixed32", node)
        }
        return UnknownField(place: place, number: UInt32(number), content: content, node: node)
    }

    private func unsigned(_ node: Int) throws(DecodingError) -> UInt64 {
        guard document.kind(node) == .number, let value = UInt64(String(decoding: document.bytes(node), as: UTF8.self)) else {
            throw error("expected a whole number of 64 bits", node)
        }
        return value
    }

    /// A message of a plan, with room for further fields that are set already.
    func message(_ plan: MessagePlan, with unknown: [UnknownField]) throws(DecodingError) -> MessageValue {
        if unknown.isEmpty { return MessageValue(arena.allocate(plan)) }
        for field in unknown {
            if let known = plan.field(number: field.number) { throw error("field \(field.number) is known as \(known.jsonName)", field.node) }
        }
        let known = Int(plan.descriptor.pointee.n_fields)
        let stride = MemoryLayout<ProtobufCFieldDescriptor>.stride
        let fields = arena.allocate((known + unknown.count) * stride).bindMemory(to: ProtobufCFieldDescriptor.self, capacity: known + unknown.count)
        let descriptor = arena.allocate(MemoryLayout<ProtobufCMessageDescriptor>.stride).bindMemory(to: ProtobufCMessageDescriptor.self, capacity: 1)
        let slots = plan.size
        let size = slots + unknown.count * 24
        descriptor.initialize(to: plan.descriptor.pointee)
        descriptor.pointee.sizeof_message = size
        descriptor.pointee.n_fields = UInt32(known + unknown.count)
        descriptor.pointee.fields = UnsafePointer(fields)
        let base = arena.allocate(size)
        base.copyMemory(from: plan.empty, byteCount: slots)
        (base + slots).initializeMemory(as: UInt8.self, repeating: 0, count: size - slots)
        base.storeBytes(of: UnsafePointer(descriptor), as: UnsafePointer<ProtobufCMessageDescriptor>.self)

        // Both lists ascending; unknown fields of one number stay in their order.
        let sorted = unknown.enumerated().sorted { ($0.element.number, $0.offset) < ($1.element.number, $1.offset) }.map(\.element)
        var next = 0
        var at = 0
        for field in sorted {
            while next < known, plan.descriptor.pointee.fields[next].id < field.number {
                (fields + at).initialize(to: plan.descriptor.pointee.fields[next])
                next += 1
                at += 1
            }
            let slot = slots + (at - next) * 24
            (fields + at).initialize(to: descriptorOf(field, slot))
            set(field, base + slot)
            at += 1
        }
        while next < known {
            (fields + at).initialize(to: plan.descriptor.pointee.fields[next])
            next += 1
            at += 1
        }
        return MessageValue(base)
    }

    private func descriptorOf(_ field: UnknownField, _ slot: Int) -> ProtobufCFieldDescriptor {
        var descriptor = ProtobufCFieldDescriptor()
        descriptor.id = field.number
        descriptor.label = PROTOBUF_C_LABEL_OPTIONAL
        descriptor.type =
            switch field.content {
            case .varint: PROTOBUF_C_TYPE_UINT64
            case .fixed32: PROTOBUF_C_TYPE_FIXED32
            case .fixed64: PROTOBUF_C_TYPE_FIXED64
            case .bytes: PROTOBUF_C_TYPE_BYTES
            }
        descriptor.quantifier_offset = UInt32(slot)
        descriptor.offset = UInt32(slot + 8)
        return descriptor
    }

    private func set(_ field: UnknownField, _ slot: UnsafeMutableRawPointer) {
        slot.storeBytes(of: 1, as: Int32.self)
        switch field.content {
        case .varint(let value), .fixed64(let value): slot.storeBytes(of: value, toByteOffset: 8, as: UInt64.self)
        case .fixed32(let value): slot.storeBytes(of: value, toByteOffset: 8, as: UInt32.self)
        case .bytes(let bytes): slot.storeBytes(of: MessageValue.data(bytes), toByteOffset: 8, as: ProtobufCBinaryData.self)
        }
    }
}
