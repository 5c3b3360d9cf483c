// Fields that the schema does not know, as a member of their message, so that nothing is lost and all of it can be written back.

import CProtobufC
import Wire

/// The members that Kubernetes has not: no JSON name of the schema begins with a dollar sign but `$ref` and `$schema`.
enum ReservedMember {
    /// A list of `{"field":44,"text":"…"}`, in wire order. Instead of `text`: `bytes` (base64), `varint`, `fixed32`, `fixed64`.
    /// `in` names the inline message that has the field, if it is not the object's own.
    static let unknown = "$unknown"
    /// Base64 of an object that is no protobuf message, with the envelope's `$contentType` and `$contentEncoding`.
    static let raw = "$raw"
    static let contentType = "$contentType"
    static let contentEncoding = "$contentEncoding"

    static let all = [unknown, raw, contentType, contentEncoding]
}

extension JSONPrinter {
    /// Appends the member `$unknown` with the fields of a message and of those that stand inline in it.
    mutating func appendUnknown(of value: MessageValue, _ plan: MessagePlan, _ start: Int) {
        if sink.count != start { sink.append(byte: UInt8(ascii: ",")) }
        sink.append("\"\(ReservedMember.unknown)\":[")
        let first = sink.count
        appendFields(value, plan, place: "", first)
        sink.append(byte: UInt8(ascii: "]"))
    }

    private mutating func appendFields(_ value: MessageValue, _ plan: MessagePlan, place: String, _ first: Int) {
        if value.unknownCount > 0 { warnings.unknown(value, plan) }
        for unknown in value.unknown {
            if sink.count != first { sink.append(byte: UInt8(ascii: ",")) }
            sink.append(byte: UInt8(ascii: "{"))
            if !place.isEmpty { sink.append("\"in\":\"\(place)\",") }
            sink.append("\"field\":\(unknown.tag),")
            append(unknown)
            sink.append(byte: UInt8(ascii: "}"))
        }
        for field in plan.fields where field.isInline {
            guard let inner = value.message(field) else { continue }
            appendFields(inner, field.plan, place: place.isEmpty ? field.name : "\(place).\(field.name)", first)
        }
    }

    private mutating func append(_ field: ProtobufCMessageUnknownField) {
        var reader = ProtobufReader(UnsafeRawBufferPointer(start: field.data, count: field.len))
        switch WireType(rawValue: UInt8(field.wire_type.rawValue)) {
        case .varint:
            sink.append("\"varint\":" as StaticString)
            // As libprotobuf-c reads it: bits beyond the sixty-fourth do not count.
            var number: UInt64 = 0
            for index in 0..<min(field.len, 10) { number |= UInt64(field.data[index] & 0x7f) << UInt64(7 * index) }
            sink.decimal(number)
        case .fixed32:
            sink.append("\"fixed32\":" as StaticString)
            sink.decimal(UInt64((try? reader.fixed32()) ?? 0))
        case .fixed64:
            sink.append("\"fixed64\":" as StaticString)
            sink.decimal((try? reader.fixed64()) ?? 0)
        default:
            let bytes = (try? reader.bytes()) ?? UnsafeRawBufferPointer(start: nil, count: 0)
            if ProtobufText.isPrintable(bytes) {
                sink.append("\"text\":" as StaticString)
                sink.jsonString(bytes)
            } else {
                sink.append("\"bytes\":" as StaticString)
                sink.jsonBase64(bytes)
            }
        }
    }
}
