// From a stored value to text.

import CProtobufC
import Wire

/// Reads stored values. Keeps its memory between values; not thread-safe.
public final class ObjectDecoder {
    private let schema: KubernetesSchema
    private let arena = Arena()
    /// What was odd about the last value.
    public private(set) var warnings = Warnings()
    private let head = ByteSink(capacity: 128)

    public init(schema: KubernetesSchema = .shared) { self.schema = schema }

    /// Appends a stored value as JSON on one line, without a line end, whatever form it is stored in.
    ///
    /// - Throws: for what is encrypted (the error names provider and key) and for what is no object.
    public func appendAnyJSON(_ bytes: UnsafeRawBufferPointer, to sink: ByteSink) throws(DecodingError) {
        warnings = Warnings()
        switch StoredForm(bytes) {
        case .protobuf: try appendJSON(bytes, to: sink)
        case .json:
            _ = try JSONDocument(bytes)
            JSONText.appendCompact(bytes, to: sink)
        case .cbor: try CBORText.append(bytes, to: sink)
        case .encrypted(let provider, let version, let keyName):
            throw DecodingError("the value is encrypted by \(provider) \(version) with the key \(keyName)", offset: 0)
        case .other: throw DecodingError("this is no object of Kubernetes", offset: 0)
        }
    }

    /// Appends a stored protobuf value as JSON on one line, without a line end: members in the API server's order.
    ///
    /// - Parameter bytes: envelope and object.
    /// - Throws: when it is no envelope, its kind is not known, or its bytes are not such a message.
    public func appendJSON(_ bytes: UnsafeRawBufferPointer, to sink: ByteSink) throws(DecodingError) {
        warnings = Warnings()
        guard StoredForm(bytes) == .protobuf else { throw DecodingError("this is no protobuf object of Kubernetes", offset: 0) }
        guard bytes.count <= DecoderLimits.valueBytesMax else { throw DecodingError("a value of more than \(DecoderLimits.valueBytesMax) bytes") }
        let envelope = try Envelope(bytes)
        guard let kind = schema.kind(apiVersion: envelope.apiVersion, kind: envelope.kind), let plan = schema.plan(kind.message) else {
            throw DecodingError("the kind \(envelope.kind) of \(envelope.apiVersion) is not known")
        }
        guard envelope.contentEncoding.isEmpty, envelope.contentType.isEmpty || envelope.contentType == "application/vnd.kubernetes.protobuf" else {
            throw DecodingError("content of type \(envelope.contentType) \(envelope.contentEncoding) is not known")
        }
        let base = envelope.raw.baseAddress.map { $0 - bytes.baseAddress! } ?? bytes.count
        let mark = sink.count
        arena.reset()
        let value = try unpack(envelope.raw, plan, base: base)
        var printer = JSONPrinter(sink)
        if plan.hasTypeMeta {
            head.clear()
            head.append("\"kind\":" as StaticString)
            envelope.kind.utf8.withContiguousStorageIfAvailable { JSONText.append(UnsafeRawBufferPointer($0), to: head) }
            head.append(",\"apiVersion\":" as StaticString)
            envelope.apiVersion.utf8.withContiguousStorageIfAvailable { JSONText.append(UnsafeRawBufferPointer($0), to: head) }
            printer.append(value, plan, head: head.bytes)
        } else {
            printer.append(value, plan)
        }
        warnings = printer.warnings
        precondition(sink.count > mark)
    }

    private func unpack(_ bytes: UnsafeRawBufferPointer, _ plan: MessagePlan, base: Int) throws(DecodingError) -> MessageValue {
        // libprotobuf-c recurses as deep as the bytes say.
        if plan.nestsWithoutBound { try WireCheck.check(bytes, plan, base: base) }
        var allocator = arena.allocator
        let message = protobuf_c_message_unpack(plan.descriptor, &allocator, bytes.count, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self))
        guard let message else {
            try WireCheck.check(bytes, plan, base: base)
            throw DecodingError("the object is damaged", offset: base)
        }
        return MessageValue(UnsafeMutableRawPointer(message))
    }
}
