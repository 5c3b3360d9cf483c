// A message as JSON: the API server's order of members and its rules about what is left out.

import CProtobufC
import Wire

/// Prints messages into a buffer. Not thread-safe.
struct JSONPrinter {
    let sink: ByteSink
    /// What was seen that a reader should know.
    var warnings = Warnings()

    init(_ sink: ByteSink) { self.sink = sink }

    /// Appends an object.
    ///
    /// - Parameter head: the members that stand in front: `"kind":"Pod","apiVersion":"v1"`; nil for none.
    mutating func append(_ value: MessageValue, _ plan: MessagePlan, head: UnsafeRawBufferPointer? = nil) {
        if let special = plan.special, special != .unknown { return append(value, plan, special) }
        sink.append(byte: UInt8(ascii: "{"))
        if let head { sink.append(head) }
        let start = head == nil ? sink.count : -1
        appendMembers(value, plan, start: start)
        sink.append(byte: UInt8(ascii: "}"))
    }

    /// - Parameter start: where the first member stands without a comma in front; −1 if there is one already.
    private mutating func appendMembers(_ value: MessageValue, _ plan: MessagePlan, start: Int) {
        if value.unknownCount > 0 { warnings.unknown(value, plan) }
        for index in plan.fields.indices {
            let field = plan.fields[index]
            switch field.label {
            case .single: appendSingle(value, field, start)
            case .repeated: appendList(value, field, start)
            case .map: appendMap(value, field, start)
            }
        }
    }

    @inline(__always)
    private func key(_ field: FieldPlan, _ start: Int) {
        if sink.count != start { sink.append(byte: UInt8(ascii: ",")) }
        sink.append(field.key)
    }

    private func null(_ field: FieldPlan, _ start: Int) {
        key(field, start)
        sink.append("null" as StaticString)
    }

    private mutating func appendSingle(_ value: MessageValue, _ field: FieldPlan, _ start: Int) {
        let omits = field.json != .always
        switch field.kind {
        case .message: appendMessage(value, field, start)
        case .string:
            let bytes = value.bytes(field)
            if field.wire == .value {
                if omits, bytes.isEmpty { return }
            } else if !value.has(field) {
                return omits ? () : null(field, start)
            }
            key(field, start)
            JSONText.append(bytes, to: sink)
        case .bytes:
            let bytes = value.bytes(field)
            if bytes.isEmpty {
                if omits { return }
                if !value.has(field) { return null(field, start) }
            }
            key(field, start)
            Self.append(base64: bytes, to: sink)
        case .int32, .int64:
            let number = value.integer(field)
            guard isShown(value, field, isZero: number == 0, start) else { return }
            key(field, start)
            NumberText.append(number, to: sink)
        case .bool:
            let flag = value.bool(field)
            guard isShown(value, field, isZero: !flag, start) else { return }
            key(field, start)
            sink.append(flag ? "true" as StaticString : "false")
        case .double:
            let number = value.double(field)
            guard isShown(value, field, isZero: number == 0, start) else { return }
            key(field, start)
            if number.isFinite {
                NumberText.appendJSON(number, to: sink)
            } else {
                warnings.add("\(field.jsonName) is no finite number")
                sink.append("null" as StaticString)
            }
        }
    }

    /// Writes `null` itself for a pointer that must be there and is not.
    @inline(__always)
    private func isShown(_ value: MessageValue, _ field: FieldPlan, isZero: Bool, _ start: Int) -> Bool {
        let omits = field.json != .always
        if field.wire == .value { return !(omits && isZero) }
        if value.has(field) { return true }
        if !omits { null(field, start) }
        return false
    }

    private mutating func appendMessage(_ value: MessageValue, _ field: FieldPlan, _ start: Int) {
        let plan = field.plan
        let present = value.message(field)
        if field.isInline {
            if let inner = present ?? (field.wire == .value ? MessageValue(plan.empty) : nil) { appendMembers(inner, plan, start: start) }
            return
        }
        switch field.wire {
        case .value:
            let inner = present ?? MessageValue(plan.empty)
            if field.json == .omitZero, Self.isZeroTime(inner, plan) { return }
            key(field, start)
            append(inner, plan)
        case .pointer:
            guard let present else { return field.json == .always ? null(field, start) : () }
            key(field, start)
            append(present, plan)
        case .nilable:
            let isEmpty = present.map { $0.count(plan.fields[0]) == 0 } ?? true
            if isEmpty, field.json != .always { return }
            guard let present, !isEmpty else { return null(field, start) }
            key(field, start)
            append(present, plan)
        }
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
            if index > 0 { sink.append(byte: UInt8(ascii: ",")) }
            switch field.kind {
            case .message: append(value.elementMessage(field, index), field.plan)
            case .string: JSONText.append(MessageValue.bytes(value.element(field, index, as: ProtobufCBinaryData.self)), to: sink)
            case .bytes: Self.append(base64: MessageValue.bytes(value.element(field, index, as: ProtobufCBinaryData.self)), to: sink)
            case .int32: NumberText.append(Int64(value.element(field, index, as: Int32.self)), to: sink)
            case .int64: NumberText.append(value.element(field, index, as: Int64.self), to: sink)
            case .bool: sink.append(value.element(field, index, as: Int32.self) != 0 ? "true" as StaticString : "false")
            case .double: NumberText.appendJSON(value.element(field, index, as: Double.self), to: sink)
            }
        }
        sink.append(byte: UInt8(ascii: "]"))
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
            var entries: [MessageValue] = []
            for index in 0..<count {
                let next = value.elementMessage(field, index)
                // The last of several entries with one key counts.
                if let same = entries.firstIndex(where: { equalBytes($0.bytes(keyField), next.bytes(keyField)) }) {
                    entries[same] = next
                } else {
                    entries.append(next)
                }
            }
            entries.sort { $0.bytes(keyField).lexicographicallyPrecedes($1.bytes(keyField)) }
            for (index, next) in entries.enumerated() { appendEntry(next, entry, isFirst: index == 0) }
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
        if !isFirst { sink.append(byte: UInt8(ascii: ",")) }
        JSONText.append(entry.bytes(plan.fields[0]), to: sink)
        sink.append(byte: UInt8(ascii: ":"))
        let field = plan.fields[1]
        switch field.kind {
        case .string: JSONText.append(entry.bytes(field), to: sink)
        case .bytes:
            if entry.has(field) { Self.append(base64: entry.bytes(field), to: sink) } else { sink.append("null" as StaticString) }
        case .int32, .int64: NumberText.append(entry.integer(field), to: sink)
        case .bool: sink.append(entry.bool(field) ? "true" as StaticString : "false")
        case .double: NumberText.appendJSON(entry.double(field), to: sink)
        case .message: append(entry.message(field) ?? MessageValue(field.plan.empty), field.plan)
        }
    }

    // MARK: Bytes

    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    /// Standard base64 with padding, quoted.
    static func append(base64 bytes: UnsafeRawBufferPointer, to sink: ByteSink) {
        sink.append(byte: UInt8(ascii: "\""))
        sink.append(uninitializedCapacity: (bytes.count + 2) / 3 * 4) { out in
            alphabet.withUnsafeBufferPointer { alphabet in
                var at = 0
                var to = 0
                while at < bytes.count {
                    let a = bytes[at]
                    let b = at + 1 < bytes.count ? bytes[at + 1] : 0
                    let c = at + 2 < bytes.count ? bytes[at + 2] : 0
                    out[to] = alphabet[Int(a >> 2)]
                    out[to + 1] = alphabet[Int((a & 3) << 4 | b >> 4)]
                    out[to + 2] = at + 1 < bytes.count ? alphabet[Int((b & 15) << 2 | c >> 6)] : UInt8(ascii: "=")
                    out[to + 3] = at + 2 < bytes.count ? alphabet[Int(c & 63)] : UInt8(ascii: "=")
                    at += 3
                    to += 4
                }
                return to
            }
        }
        sink.append(byte: UInt8(ascii: "\""))
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
