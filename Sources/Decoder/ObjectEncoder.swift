// From JSON to a stored value, byte for byte as the API server writes it.

import CProtobufC
import Wire

/// Writes stored values. Keeps its memory between values; not thread-safe.
public final class ObjectEncoder {
    private let schema: KubernetesSchema
    private let arena = Arena()
    private let scratch = ByteSink()
    /// What was in the last object that its message has no place for.
    public private(set) var warnings = Warnings()

    public init(schema: KubernetesSchema = .shared) { self.schema = schema }

    /// Appends an object in the form in which an API server stores its kind: CustomResourceDefinitions, APIServices and
    /// what the schema has not, as custom resources, in JSON with a line end; all others in protobuf.
    ///
    /// - Parameter json: one object with its `apiVersion` and `kind`.
    /// - Throws: with the offset and the field of what does not fit; then nothing is appended.
    public func appendStored(json: UnsafeRawBufferPointer, to sink: ByteSink) throws(DecodingError) {
        let document = try read(json)
        let identity = try Self.identity(document)
        guard let kind = schema.kind(apiVersion: identity.apiVersion, kind: identity.kind) else {
            if Self.isReserved(document) { return try append(document, identity, to: sink) }
            UntypedJSON.append(document, to: sink)
            return sink.append(byte: 0x0a)
        }
        guard kind.isStoredAsJSON else { return try append(document, identity, to: sink) }
        // By way of protobuf, which puts the members in order.
        scratch.clear(keeping: DecoderLimits.arenaBytesKept)
        try append(document, identity, to: scratch)
        let decoder = ObjectDecoder(schema: schema)
        try decoder.appendJSON(scratch.bytes, to: sink)
        sink.append(byte: 0x0a)
    }

    /// Appends the protobuf form of an object: the envelope with its message.
    ///
    /// - Parameter json: one object with its `apiVersion` and `kind`.
    /// - Throws: with the offset and the field of what does not fit, and for kinds that the schema has not, unless the
    ///   object has a member `$unknown` or `$raw` from the decoder; then nothing is appended.
    public func append(json: UnsafeRawBufferPointer, to sink: ByteSink) throws(DecodingError) {
        let document = try read(json)
        try append(document, try Self.identity(document), to: sink)
    }

    private func read(_ json: UnsafeRawBufferPointer) throws(DecodingError) -> JSONDocument {
        guard json.count <= DecoderLimits.valueBytesMax else { throw DecodingError("a document of more than \(DecoderLimits.valueBytesMax) bytes") }
        warnings = Warnings()
        let document = try JSONDocument(json)
        guard document.kind(document.root) == .object else { throw DecodingError("this is no object", offset: document.offset(document.root)) }
        return document
    }

    private static func text(_ document: JSONDocument, _ name: String) throws(DecodingError) -> String? {
        guard let node = document.member(document.root, name), document.kind(node) != .null else { return nil }
        guard document.kind(node) == .string else { throw DecodingError("expected a string", offset: document.offset(node), path: name) }
        return document.string(node)
    }

    private static func identity(_ document: JSONDocument) throws(DecodingError) -> ObjectIdentity {
        guard let apiVersion = try text(document, "apiVersion") else { throw DecodingError("the object has no apiVersion") }
        guard let kind = try text(document, "kind") else { throw DecodingError("the object has no kind") }
        return ObjectIdentity(apiVersion: apiVersion, kind: kind)
    }

    private static func isReserved(_ document: JSONDocument) -> Bool {
        document.member(document.root, ReservedMember.unknown) != nil || document.member(document.root, ReservedMember.raw) != nil
    }

    private func append(_ document: JSONDocument, _ identity: ObjectIdentity, to sink: ByteSink) throws(DecodingError) {
        arena.reset()
        let contentEncoding = try Self.text(document, ReservedMember.contentEncoding) ?? ""
        let contentType = try Self.text(document, ReservedMember.contentType) ?? ""
        if let node = document.member(document.root, ReservedMember.raw) {
            let builder = MessageBuilder(document: document, arena: arena)
            let raw = try builder.base64(node)
            return Self.append(identity, contentEncoding, contentType, to: sink) { sink in raw.withUnsafeBytes { sink.always(2, $0) } }
        }
        let known = schema.kind(apiVersion: identity.apiVersion, kind: identity.kind).flatMap { schema.plan($0.message) }
        guard let plan = known ?? (Self.isReserved(document) ? schema.planWithoutFields : nil) else {
            throw DecodingError("the kind \(identity.kind) of \(identity.apiVersion) is not known")
        }
        var builder = MessageBuilder(document: document, arena: arena)
        let value = try builder.message(document.root, plan)
        warnings = builder.warnings
        let message = value.base.assumingMemoryBound(to: ProtobufCMessage.self)
        let size = protobuf_c_message_get_packed_size(message)
        Self.append(identity, contentEncoding, contentType, to: sink) {
            $0.tag(2, .bytes)
            $0.varint(UInt64(size))
            $0.append(uninitializedCapacity: size) { buffer in
                protobuf_c_message_pack(message, buffer.baseAddress!.assumingMemoryBound(to: UInt8.self))
            }
        }
    }

    private static func append(
        _ identity: ObjectIdentity, _ contentEncoding: String, _ contentType: String, to sink: ByteSink, _ object: (ByteSink) -> Void
    ) {
        sink.append(StoredForm.magic)
        sink.message(1) {
            $0.always(1, identity.apiVersion)
            $0.always(2, identity.kind)
        }
        object(sink)
        sink.always(3, contentEncoding)
        sink.always(4, contentType)
    }
}
