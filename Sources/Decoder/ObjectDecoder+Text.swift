// Protobuf's text format of stored values.

import Wire

extension ObjectDecoder {
    /// Appends a stored protobuf value in protobuf's text format: a comment that names the object, then its fields by the
    /// schema's names, in the order of the wire.
    ///
    /// A value stored as JSON whose kind the schema has is shown as it would be in protobuf.
    ///
    /// - Throws: for values that are no protobuf and cannot become it, with offset and field; then nothing is appended.
    public func appendProtobufText(_ bytes: UnsafeRawBufferPointer, to sink: ByteSink) throws(DecodingError) {
        warnings = Warnings()
        try Self.checkSize(bytes)
        switch StoredForm(bytes) {
        case .protobuf: break
        case .json, .cbor:
            let json = ByteSink()
            try appendAnyJSON(bytes, to: json)
            let encoder = ObjectEncoder(schema: schema)
            let stored = ByteSink()
            try encoder.append(json: json.bytes, to: stored)
            try appendProtobufText(stored.bytes, to: sink)
            warnings = encoder.warnings
            return
        case let form: throw Self.refusal(form)
        }
        let envelope = try Envelope(bytes)
        let entry = entry(envelope)
        guard envelope.holdsProtobuf else {
            throw DecodingError("content of type '\(String(decoding: envelope.contentType, as: UTF8.self))' is no protobuf")
        }
        let base = envelope.raw.baseAddress.map { $0 - bytes.baseAddress! } ?? bytes.count
        try WireCheck.check(envelope.raw, entry.plan, base: base)
        let mark = sink.count
        sink.append("# apiVersion: " as StaticString)
        sink.jsonString(envelope.apiVersion)
        sink.append(", kind: " as StaticString)
        sink.jsonString(envelope.kind)
        sink.append(entry.isKnown ? ", message: \(entry.plan.name)\n" : ", message unknown\n")
        do throws(DecodingError) {
            try ProtobufText.append(envelope.raw, entry.plan, to: sink)
        } catch {
            sink.truncate(to: mark)
            throw error
        }
    }
}
