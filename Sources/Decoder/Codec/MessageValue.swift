// Fields of a message as libprotobuf-c has laid them out.

import CProtobufC

/// A struct made by libprotobuf-c from a plan's descriptor, or by the encoder for it.
struct MessageValue {
    let base: UnsafeMutableRawPointer

    @inline(__always)
    init(_ base: UnsafeMutableRawPointer) { self.base = base }

    @inline(__always)
    func has(_ field: FieldPlan) -> Bool { (base + field.quantifier).load(as: Int32.self) != 0 }

    /// Nothing of the field was on the wire.
    @inline(__always)
    func isAbsent(_ field: FieldPlan) -> Bool { (base + field.presence).load(as: Int.self) == 0 }

    @inline(__always)
    func count(_ field: FieldPlan) -> Int { (base + field.quantifier).load(as: Int.self) }

    @inline(__always)
    func bytes(_ field: FieldPlan) -> UnsafeRawBufferPointer { Self.bytes((base + field.offset).load(as: ProtobufCBinaryData.self)) }

    @inline(__always)
    static func bytes(_ data: ProtobufCBinaryData) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: data.data, count: data.len) }

    @inline(__always)
    func integer(_ field: FieldPlan) -> Int64 {
        field.kind == .int64 ? (base + field.offset).load(as: Int64.self) : Int64((base + field.offset).load(as: Int32.self))
    }

    @inline(__always)
    func bool(_ field: FieldPlan) -> Bool { (base + field.offset).load(as: Int32.self) != 0 }

    @inline(__always)
    func double(_ field: FieldPlan) -> Double { (base + field.offset).load(as: Double.self) }

    @inline(__always)
    func message(_ field: FieldPlan) -> MessageValue? {
        (base + field.offset).load(as: UnsafeMutableRawPointer?.self).map { MessageValue($0) }
    }

    @inline(__always)
    func element<T>(_ field: FieldPlan, _ index: Int, as type: T.Type) -> T {
        (base + field.offset).load(as: UnsafeRawPointer.self).load(fromByteOffset: index * MemoryLayout<T>.stride, as: type)
    }

    @inline(__always)
    func elementMessage(_ field: FieldPlan, _ index: Int) -> MessageValue {
        MessageValue(element(field, index, as: UnsafeMutableRawPointer.self))
    }

    var unknownCount: Int { Int(base.assumingMemoryBound(to: ProtobufCMessage.self).pointee.n_unknown_fields) }

    var unknown: UnsafeBufferPointer<ProtobufCMessageUnknownField> {
        let head = base.assumingMemoryBound(to: ProtobufCMessage.self).pointee
        return UnsafeBufferPointer(start: head.unknown_fields, count: Int(head.n_unknown_fields))
    }

    // MARK: Setting

    func set(_ field: FieldPlan, bytes: UnsafeRawBufferPointer) {
        setPresent(field)
        (base + field.offset).storeBytes(of: Self.data(bytes), as: ProtobufCBinaryData.self)
    }

    static func data(_ bytes: UnsafeRawBufferPointer) -> ProtobufCBinaryData {
        ProtobufCBinaryData(len: bytes.count, data: UnsafeMutablePointer(mutating: bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)))
    }

    func set<T>(_ field: FieldPlan, _ value: T) {
        setPresent(field)
        (base + field.offset).storeBytes(of: value, as: T.self)
    }

    func set(_ field: FieldPlan, message: MessageValue) {
        (base + field.offset).storeBytes(of: message.base, as: UnsafeMutableRawPointer.self)
    }

    func set(_ field: FieldPlan, elements: UnsafeMutableRawPointer, count: Int) {
        (base + field.quantifier).storeBytes(of: count, as: Int.self)
        (base + field.offset).storeBytes(of: elements, as: UnsafeMutableRawPointer.self)
    }

    private func setPresent(_ field: FieldPlan) { (base + field.quantifier).storeBytes(of: 1, as: Int32.self) }
}
