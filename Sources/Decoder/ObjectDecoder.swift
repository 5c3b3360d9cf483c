// From a stored value to text.

import CProtobufC
import Wire

/// Reads stored values. Keeps its memory between values; not thread-safe.
public final class ObjectDecoder {
    let schema: KubernetesSchema
    private let arena = Arena()
    private let depth: Int
    /// What was odd about the last value.
    public internal(set) var warnings = Warnings()
    /// Kinds met last, so that a value's kind is found by comparing bytes.
    private var recent: [KindEntry] = []

    public convenience init(schema: KubernetesSchema = .shared) { self.init(schema: schema, depth: 0) }

    /// - Parameter depth: how many objects the values lie in.
    init(schema: KubernetesSchema, depth: Int) {
        self.schema = schema
        self.depth = depth
    }

    /// Appends a stored value as JSON on one line, without a line end, whatever form it is stored in.
    ///
    /// - Throws: for what is encrypted (the error names provider and key) and for what is no object; then nothing is appended.
    public func appendAnyJSON(_ bytes: UnsafeRawBufferPointer, to sink: ByteSink) throws(DecodingError) {
        warnings = Warnings()
        try Self.checkSize(bytes)
        switch StoredForm(bytes) {
        case .protobuf: try appendJSON(bytes, to: sink)
        case .json: try JSONCompactor.append(bytes, to: sink)
        case .cbor: try CBORText.append(bytes, to: sink)
        case let form: throw Self.refusal(form)
        }
    }

    /// Appends a stored protobuf value as JSON on one line, without a line end: members in the API server's order.
    ///
    /// A kind or a field that the schema has not is shown as `$unknown`, content that is no protobuf as `$raw`
    /// (docs/decoder.md); `ObjectEncoder` writes both back.
    ///
    /// - Parameter bytes: envelope and object.
    /// - Throws: when it is no envelope, or its bytes are not such a message; then nothing is appended.
    public func appendJSON(_ bytes: UnsafeRawBufferPointer, to sink: ByteSink) throws(DecodingError) {
        warnings = Warnings()
        guard StoredForm(bytes) == .protobuf else { throw DecodingError("this is no protobuf object of Kubernetes", offset: 0) }
        try Self.checkSize(bytes)
        let envelope: Envelope
        do throws(DecodingError) { envelope = try Envelope(bytes) } catch { throw cut(bytes) ?? error }
        let base = envelope.raw.baseAddress.map { $0 - bytes.baseAddress! } ?? bytes.count
        try append(envelope, object: envelope.raw, base: base, to: sink)
    }

    static func checkSize(_ bytes: UnsafeRawBufferPointer) throws(DecodingError) {
        guard bytes.count <= DecoderLimits.valueBytesMax else { throw DecodingError("a value of more than \(DecoderLimits.valueBytesMax) bytes") }
    }

    static func refusal(_ form: StoredForm) -> DecodingError {
        guard case .encrypted(let provider, let version, let keyName) = form else { return DecodingError("this is no object of Kubernetes", offset: 0) }
        return DecodingError("the value is encrypted by \(provider) \(version) with the key \(keyName)", offset: 0)
    }

    // MARK: Protobuf

    /// - Parameter base: where the object's bytes begin in the value, for the offsets of errors.
    func append(_ envelope: Envelope, object: UnsafeRawBufferPointer, base: Int, to sink: ByteSink) throws(DecodingError) {
        let entry = self.entry(envelope)
        for number in envelope.unknown { warnings.add("the envelope has no field \(number); it is not shown") }
        guard envelope.holdsProtobuf else {
            warnings.add("content of type '\(String(decoding: envelope.contentType, as: UTF8.self))' is shown as \(ReservedMember.raw)")
            return appendRaw(envelope, object, to: sink)
        }
        let mark = sink.count
        let value: MessageValue
        do throws(DecodingError) {
            value = try unpack(object, entry.plan, base: base)
        } catch {
            guard !entry.isKnown else { throw error }
            warnings.add("the kind \(entry.kind) of \(entry.apiVersion) is not known, and no protobuf message; shown as \(ReservedMember.raw)")
            return appendRaw(envelope, object, to: sink)
        }
        if !entry.isKnown { warnings.add("the kind \(entry.kind) of \(entry.apiVersion) is not known; its fields are shown as \(ReservedMember.unknown)") }
        var printer = JSONPrinter(sink, schema: schema, depth: depth)
        printer.warnings = warnings
        if entry.plan.hasTypeMeta {
            let head = envelope.contentType.isEmpty ? entry.head : entry.head + [UInt8](Self.contentMembers(envelope).utf8)
            head.withUnsafeBytes { printer.append(value, entry.plan, head: $0) }
        } else {
            printer.append(value, entry.plan)
        }
        warnings = printer.warnings
        if printer.isOverfull {
            sink.truncate(to: mark)
            throw DecodingError("the object is more than \(DecoderLimits.textBytesMax) bytes in JSON")
        }
    }

    private func appendRaw(_ envelope: Envelope, _ object: UnsafeRawBufferPointer, to sink: ByteSink) {
        sink.append(byte: UInt8(ascii: "{"))
        sink.append(entry(envelope).head)
        sink.append(Self.contentMembers(envelope))
        sink.append(",\"\(ReservedMember.raw)\":")
        sink.jsonBase64(object)
        sink.append(byte: UInt8(ascii: "}"))
    }

    private static func contentMembers(_ envelope: Envelope) -> String {
        let sink = ByteSink()
        for (name, value) in [(ReservedMember.contentEncoding, envelope.contentEncoding), (ReservedMember.contentType, envelope.contentType)]
        where !value.isEmpty {
            sink.append(",\"\(name)\":")
            sink.jsonString(value)
        }
        return String(decoding: sink.bytes, as: UTF8.self)
    }

    func entry(_ envelope: Envelope) -> KindEntry {
        if let found = recent.first(where: { entry in entry.typeMeta.withUnsafeBytes { equalBytes($0, envelope.typeMeta) } }) { return found }
        let entry = KindEntry(envelope, schema)
        if recent.count == DecoderLimits.recentKindsMax { recent.removeFirst() }
        recent.append(entry)
        return entry
    }

    private func unpack(_ bytes: UnsafeRawBufferPointer, _ plan: MessagePlan, base: Int) throws(DecodingError) -> MessageValue {
        // libprotobuf-c recurses as deep as the bytes say.
        if plan.nestsWithoutBound { try WireCheck.check(bytes, plan, base: base) }
        arena.reset(limit: min(bytes.count * DecoderLimits.arenaBytesPerByte + (1 << 20), DecoderLimits.arenaBytesMax))
        var allocator = arena.allocator
        let message = protobuf_c_message_unpack(plan.descriptor, &allocator, bytes.count, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self))
        guard let message else {
            if arena.isExhausted { throw DecodingError("the object takes too much memory for its \(bytes.count) bytes", offset: base) }
            try WireCheck.check(bytes, plan, base: base)
            throw DecodingError("the object is damaged", offset: base)
        }
        return MessageValue(UnsafeMutableRawPointer(message))
    }
}

/// What is known about a kind once one of its values was met.
final class KindEntry {
    let typeMeta: [UInt8]
    let apiVersion: String
    let kind: String
    let plan: MessagePlan
    /// The schema has the kind.
    let isKnown: Bool
    /// `"kind":"Pod","apiVersion":"v1"`
    let head: [UInt8]

    init(_ envelope: Envelope, _ schema: KubernetesSchema) {
        typeMeta = Array(envelope.typeMeta)
        apiVersion = String(decoding: envelope.apiVersion, as: UTF8.self)
        kind = String(decoding: envelope.kind, as: UTF8.self)
        let known = schema.kind(apiVersion: apiVersion, kind: kind).flatMap { schema.plan($0.message) }
        isKnown = known != nil
        plan = known ?? schema.planWithoutFields
        let sink = ByteSink(capacity: 128)
        sink.append("\"kind\":" as StaticString)
        sink.jsonString(envelope.kind)
        sink.append(",\"apiVersion\":" as StaticString)
        sink.jsonString(envelope.apiVersion)
        head = sink.array()
    }
}
