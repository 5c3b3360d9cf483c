// Messages whose JSON is not an object of their fields.

import CProtobufC
import Wire

enum RawContent {
    static let json = "application/json"
}

extension JSONPrinter {
    /// Go's zero time: nothing on the wire, or the first second of the year 1.
    static func isZeroTime(_ value: MessageValue, _ plan: MessagePlan) -> Bool {
        let seconds = plan.fields[0]
        let nanoseconds = plan.fields.count > 1 && value.has(plan.fields[1])
        guard value.has(seconds) else { return !nanoseconds }
        return value.integer(seconds) == TimeText.zeroSeconds
    }

    mutating func append(_ value: MessageValue, _ plan: MessagePlan, _ special: SpecialForm) {
        // Their JSON has no place for more.
        if value.unknownCount > 0 { warnings.unknown(value, plan) }
        let first = plan.fields[0]
        switch special {
        case .time:
            if Self.isZeroTime(value, plan) { return sink.append("null" as StaticString) }
            TimeText.append(seconds: value.integer(first), to: sink)
        case .microtime:
            if Self.isZeroTime(value, plan) { return sink.append("null" as StaticString) }
            TimeText.append(
                seconds: value.integer(first), nanoseconds: Int32(truncatingIfNeeded: value.integer(plan.fields[1])), to: sink)
        case .duration: DurationText.append(value.integer(first), to: sink)
        case .intorstring:
            switch value.integer(first) {
            case 0: sink.decimal(value.integer(plan.fields[1]))
            case 1: sink.jsonString(value.bytes(plan.fields[2]))
            default:
                warnings.add("an IntOrString is neither (type \(value.integer(first)))")
                sink.append("null" as StaticString)
            }
        case .quantity:
            let text = value.bytes(first)
            if text.isEmpty { sink.append("\"0\"" as StaticString) } else { sink.jsonString(text) }
        case .rawjson, .rawext: appendRaw(value.bytes(first), plan)
        case .items:
            let count = value.count(first)
            if count == 0 { sink.append("null" as StaticString) } else { appendElements(value, first, count) }
        case .schemaorbool:
            if let schema = value.message(plan.fields[1]) {
                append(schema, plan.fields[1].plan)
            } else {
                sink.append(value.bool(first) ? "true" as StaticString : "false")
            }
        case .schemaorarray, .schemaorstrings:
            let list = plan.fields[1]
            let count = value.count(list)
            if count > 0 {
                appendElements(value, list, count)
            } else if let schema = value.message(first) {
                append(schema, first.plan)
            } else {
                sink.append("null" as StaticString)
            }
        case .unknown:
            // In audit events alone: JSON as it came.
            let contentType = value.bytes(plan.fields[3])
            if contentType.isEmpty || contentType.elementsEqual(RawContent.json.utf8) { return appendRaw(value.bytes(plan.fields[1]), plan) }
            warnings.add("content of type '\(String(decoding: contentType, as: UTF8.self))' is shown as base64")
            sink.jsonBase64(value.bytes(plan.fields[1]))
        }
    }

    /// Bytes that hold JSON, or CBOR, or a whole stored object.
    private mutating func appendRaw(_ bytes: UnsafeRawBufferPointer, _ plan: MessagePlan) {
        if bytes.isEmpty { return sink.append("null" as StaticString) }
        if CBORText.isLikely(bytes, isFields: plan.name == "meta/v1.FieldsV1"), (try? CBORText.append(bytes, to: sink)) != nil { return }
        do throws(DecodingError) {
            return try JSONCompactor.append(bytes, to: sink)
        } catch {
            if plan.special == .rawext, bytes.starts(with: StoredForm.magic), nested(bytes) { return }
            warnings.add("\(plan.name) holds \(bytes.count) bytes that are no JSON (\(error.reason)); shown as base64")
        }
        sink.jsonBase64(bytes)
    }

    /// A stored object inside another.
    private mutating func nested(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard depth < DecoderLimits.nestedObjectsMax else { return false }
        let decoder = ObjectDecoder(schema: schema, depth: depth + 1)
        guard (try? decoder.appendJSON(bytes, to: sink)) != nil else { return false }
        warnings.add("an object in protobuf inside another is shown as JSON")
        for text in decoder.warnings.texts { warnings.add(text) }
        return true
    }
}
