// A message as JSON: the API server's order of members and its rules about what is left out.

import CProtobufC
import Wire

/// Prints messages into a buffer. Not thread-safe.
struct JSONPrinter {
    let sink: ByteSink
    let schema: KubernetesSchema
    /// How many objects this one lies in.
    let depth: Int
    /// The text may grow to here; what is longer is cut, and `isOverfull` says so.
    private let end: Int
    private(set) var isOverfull = false
    /// What was seen that a reader should know.
    var warnings = Warnings()

    init(_ sink: ByteSink, schema: KubernetesSchema, depth: Int = 0) {
        self.sink = sink
        self.schema = schema
        self.depth = depth
        end = sink.count + DecoderLimits.textBytesMax
    }

    /// Appends an object.
    ///
    /// - Parameter head: the members that stand in front: `"kind":"Pod","apiVersion":"v1"`; nil for none.
    mutating func append(_ value: MessageValue, _ plan: MessagePlan, head: UnsafeRawBufferPointer? = nil) {
        if let special = plan.special { return append(value, plan, special) }
        sink.append(byte: UInt8(ascii: "{"))
        if let head { sink.append(head) }
        let start = head == nil ? sink.count : -1
        if appendMembers(value, plan, start) { appendUnknown(of: value, plan, start) }
        sink.append(byte: UInt8(ascii: "}"))
    }

    /// - Parameter start: where the first member stands without a comma in front; −1 if there is one already.
    /// - Returns: whether the message, or one that stands inline in it, has unknown fields.
    private mutating func appendMembers(_ value: MessageValue, _ plan: MessagePlan, _ start: Int) -> Bool {
        var hasUnknown = value.unknownCount > 0
        guard var field = plan.fields.baseAddress else { return hasUnknown }
        let end = field + plan.fields.count
        while field < end {
            defer { field += 1 }
            if value.isAbsent(field.pointee), field.pointee.isSkippedWhenAbsent { continue }
            switch field.pointee.label {
            case .single:
                if field.pointee.kind == .message {
                    if appendMessage(value, field.pointee, start) { hasUnknown = true }
                } else {
                    appendScalar(value, field.pointee, start)
                }
            case .repeated: appendList(value, field.pointee, start)
            case .map: appendMap(value, field.pointee, start)
            }
        }
        return hasUnknown
    }

    @inline(__always)
    private func key(_ field: FieldPlan, _ start: Int) {
        sink.append(sink.count == start ? UnsafeRawBufferPointer(rebasing: field.key[1...]) : field.key)
    }

    private func null(_ field: FieldPlan, _ start: Int) {
        key(field, start)
        sink.append("null" as StaticString)
    }

    private mutating func appendScalar(_ value: MessageValue, _ field: FieldPlan, _ start: Int) {
        let omits = field.json != .always
        switch field.kind {
        case .message: break
        case .string:
            let bytes = value.bytes(field)
            if field.wire != .pointer, omits, bytes.isEmpty { return }
            if field.wire != .value, !value.has(field) { return omits ? () : null(field, start) }
            key(field, start)
            sink.jsonString(bytes)
        case .bytes:
            let bytes = value.bytes(field)
            if bytes.isEmpty {
                if omits { return }
                if !value.has(field) { return null(field, start) }
            }
            key(field, start)
            sink.jsonBase64(bytes)
        case .int32, .int64:
            let number = value.integer(field)
            guard isShown(value, field, isZero: number == 0, start) else { return }
            key(field, start)
            sink.decimal(number)
        case .bool:
            let flag = value.bool(field)
            guard isShown(value, field, isZero: !flag, start) else { return }
            key(field, start)
            sink.append(flag ? "true" as StaticString : "false")
        case .double:
            let number = value.double(field)
            guard isShown(value, field, isZero: number == 0, start) else { return }
            key(field, start)
            appendDouble(number, field)
        }
    }

    private mutating func appendDouble(_ number: Double, _ field: FieldPlan) {
        if number.isFinite { return FloatText.appendJSON(number, to: sink) }
        warnings.add("\(field.jsonName) is no finite number")
        sink.append("null" as StaticString)
    }

    /// Writes `null` itself for a pointer that must be there and is not.
    @inline(__always)
    private func isShown(_ value: MessageValue, _ field: FieldPlan, isZero: Bool, _ start: Int) -> Bool {
        let omits = field.json != .always
        if field.wire == .value { return !(omits && isZero) }
        if value.has(field) { return field.wire == .pointer || !(omits && isZero) }
        if !omits { null(field, start) }
        return false
    }

    /// - Returns: whether the message stands inline and has unknown fields.
    private mutating func appendMessage(_ value: MessageValue, _ field: FieldPlan, _ start: Int) -> Bool {
        field.withPlan { appendMessage(value, field, $0, start) }
    }

    private mutating func appendMessage(_ value: MessageValue, _ field: FieldPlan, _ plan: MessagePlan, _ start: Int) -> Bool {
        let present = value.message(field)
        if field.isInline {
            guard let inner = present ?? (field.wire == .value ? MessageValue(plan.empty) : nil) else { return false }
            return appendMembers(inner, plan, start)
        }
        switch field.wire {
        case .value:
            let inner = present ?? MessageValue(plan.empty)
            if field.json == .omitZero, Self.isZeroTime(inner, plan) { return false }
            key(field, start)
            append(inner, plan)
        case .pointer:
            if let present {
                key(field, start)
                append(present, plan)
            } else if field.json == .always {
                null(field, start)
            }
        case .nilable:
            if let present, present.count(plan.fields[0]) > 0 {
                key(field, start)
                append(present, plan)
            } else if field.json == .always {
                key(field, start)
                sink.append(present == nil ? "null" as StaticString : "[]")
            }
        }
        return false
    }

    private mutating func appendList(_ value: MessageValue, _ field: FieldPlan, _ start: Int) {
        let count = value.count(field)
        guard count > 0 else { return field.json == .always ? null(field, start) : () }
        key(field, start)
        appendElements(value, field, count)
    }

    mutating func appendElements(_ value: MessageValue, _ field: FieldPlan, _ count: Int) {
        sink.append(byte: UInt8(ascii: "["))
        for index in 0..<count {
            guard hasRoom() else { break }
            if index > 0 { sink.append(byte: UInt8(ascii: ",")) }
            switch field.kind {
            case .message: field.withPlan { append(value.elementMessage(field, index), $0) }
            case .string: sink.jsonString(MessageValue.bytes(value.element(field, index, as: ProtobufCBinaryData.self)))
            case .bytes: sink.jsonBase64(MessageValue.bytes(value.element(field, index, as: ProtobufCBinaryData.self)))
            case .int32: sink.decimal(Int64(value.element(field, index, as: Int32.self)))
            case .int64: sink.decimal(value.element(field, index, as: Int64.self))
            case .bool: sink.append(value.element(field, index, as: Int32.self) != 0 ? "true" as StaticString : "false")
            case .double: appendDouble(value.element(field, index, as: Double.self), field)
            }
        }
        sink.append(byte: UInt8(ascii: "]"))
    }

    private mutating func hasRoom() -> Bool {
        if sink.count < end { return true }
        isOverfull = true
        return false
    }

    // MARK: Maps

    private mutating func appendMap(_ value: MessageValue, _ field: FieldPlan, _ start: Int) {
        let count = value.count(field)
        guard count > 0 else { return field.json == .always ? null(field, start) : () }
        key(field, start)
        sink.append(byte: UInt8(ascii: "{"))
        let entry = field.plan
        let keyField = entry.fields[0]
        if Self.isAscending(value, field, keyField, count) {
            for index in 0..<count { appendEntry(value.elementMessage(field, index), entry, isFirst: index == 0) }
        } else {
            var entries = (0..<count).map { (value.elementMessage(field, $0), $0) }
            entries.sort {
                let (left, right) = ($0.0.bytes(keyField), $1.0.bytes(keyField))
                return equalBytes(left, right) ? $0.1 < $1.1 : left.lexicographicallyPrecedes(right)
            }
            var isFirst = true
            for index in 0..<count {
                // The last of several entries with one key counts.
                let next = index + 1 < count ? entries[index + 1].0 : nil
                if let next, equalBytes(next.bytes(keyField), entries[index].0.bytes(keyField)) { continue }
                appendEntry(entries[index].0, entry, isFirst: isFirst)
                isFirst = false
            }
        }
        sink.append(byte: UInt8(ascii: "}"))
    }

    private static func isAscending(_ value: MessageValue, _ field: FieldPlan, _ key: FieldPlan, _ count: Int) -> Bool {
        for index in 1..<max(count, 1) {
            let before = value.elementMessage(field, index - 1).bytes(key)
            guard before.lexicographicallyPrecedes(value.elementMessage(field, index).bytes(key)) else { return false }
        }
        return true
    }

    private mutating func appendEntry(_ entry: MessageValue, _ plan: MessagePlan, isFirst: Bool) {
        guard hasRoom() else { return }
        if entry.unknownCount > 0 { warnings.unknown(entry, plan) }
        if !isFirst { sink.append(byte: UInt8(ascii: ",")) }
        sink.jsonString(entry.bytes(plan.fields[0]))
        sink.append(byte: UInt8(ascii: ":"))
        let field = plan.fields[1]
        switch field.kind {
        case .string: sink.jsonString(entry.bytes(field))
        case .bytes: if entry.has(field) { sink.jsonBase64(entry.bytes(field)) } else { sink.append("null" as StaticString) }
        case .int32, .int64: sink.decimal(entry.integer(field))
        case .bool: sink.append(entry.bool(field) ? "true" as StaticString : "false")
        case .double: appendDouble(entry.double(field), field)
        case .message:
            let plan = field.plan
            let value = entry.message(field) ?? MessageValue(plan.empty)
            // As a map's value Go makes an empty list of nothing.
            if plan.special == .items, value.count(plan.fields[0]) == 0 { sink.append("[]" as StaticString) } else { append(value, plan) }
        }
    }
}

/// What was seen in a value that is shown incompletely or oddly.
public struct Warnings: Sendable {
    public private(set) var texts: [String] = []
    /// Beyond those kept.
    public private(set) var dropped = 0

    mutating func add(_ text: String) {
        if texts.count < DecoderLimits.warningsMax { texts.append(text) } else { dropped += 1 }
    }

    mutating func unknown(_ value: MessageValue, _ plan: MessagePlan) {
        for field in value.unknown {
            let shown = UnsafeRawBufferPointer(start: field.data, count: min(field.len, 32)).map { byte in
                (byte < 16 ? "0" : "") + String(byte, radix: 16)
            }
            add("\(plan.name) has no field \(field.tag): \(shown.joined())\(field.len > 32 ? "…" : "") (\(field.len) bytes)")
        }
    }
}
