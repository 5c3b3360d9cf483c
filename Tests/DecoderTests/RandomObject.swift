// Random objects made from the schema: what an API server would store, and beside it the JSON that it would show, both
// written down from the rules of the tables without the decoder's help.

import Wire

@testable import Decoder

/// SplitMix64.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 | 1 }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &self) }
    mutating func chance(_ of: Int) -> Bool { below(of) == 0 }
    mutating func one<T>(of values: [T]) -> T { values[below(values.count)] }
}

/// Makes objects; remembers which fields had content in any of them.
struct RandomObjects {
    /// A message: its bytes, and its JSON; nil for a message whose JSON is `null`.
    struct Made {
        var wire: [UInt8] = []
        var json = ""
    }

    var random: SeededGenerator
    /// `message number` of every field that had content.
    private(set) var covered: Set<String> = []
    private static let depthMax = 14

    init(seed: UInt64) { random = SeededGenerator(seed: seed) }

    mutating func object(_ kind: KubernetesKind, _ plan: MessagePlan) -> (stored: [UInt8], json: String) {
        let head = plan.hasTypeMeta ? "\"kind\":\"\(kind.kind)\",\"apiVersion\":\"\(kind.apiVersion)\"" : ""
        let (wire, members) = fields(plan, depth: 0)
        let sink = ByteSink()
        sink.append(StoredForm.magic)
        sink.message(1) {
            $0.always(1, kind.apiVersion)
            $0.always(2, kind.kind)
        }
        wire.withUnsafeBytes { sink.always(2, $0) }
        sink.always(3, "")
        sink.always(4, "")
        return (sink.array(), "{" + ([head].filter { !$0.isEmpty } + members).joined(separator: ",") + "}")
    }

    // MARK: Messages

    /// - Parameter isShown: the message must be something else than `null`, which could not be told from its absence.
    private mutating func message(_ plan: MessagePlan, depth: Int, isShown: Bool) -> Made {
        if let special = plan.special { return self.special(special, plan, depth: depth, isShown: isShown) }
        let (wire, members) = fields(plan, depth: depth)
        return Made(wire: wire, json: "{" + members.joined(separator: ",") + "}")
    }

    private mutating func fields(_ plan: MessagePlan, depth: Int) -> (wire: [UInt8], members: [String]) {
        var parts: [(UInt32, [UInt8])] = []
        var members: [String] = []
        for field in plan.fields {
            let sink = ByteSink()
            if field.isInline {
                if field.wire == .pointer, random.chance(3) { continue }
                let inner = fields(field.plan, depth: depth + 1)
                // A message behind a pointer that shows nothing could not be told from none.
                if field.wire == .pointer, inner.members.isEmpty { continue }
                covered.insert("\(plan.name) \(field.number)")
                inner.wire.withUnsafeBytes { sink.always(Int(field.number), $0) }
                members += inner.members
            } else if let json = self.field(field, plan, depth: depth, to: sink) {
                members.append("\"\(field.jsonName)\":\(json)")
            }
            parts.append((field.number, sink.array()))
        }
        return (parts.sorted { $0.0 < $1.0 }.flatMap(\.1), members)
    }

    private enum Content { case none, some, first }

    /// Whether a field gets content: one that never had any does, unless it lies too deep.
    private mutating func content(_ field: FieldPlan, _ plan: MessagePlan, depth: Int) -> Content {
        if depth > Self.depthMax { return .none }
        if covered.insert("\(plan.name) \(field.number)").inserted { return .first }
        return random.chance(depth < 4 ? 3 : 6) ? .some : .none
    }

    /// - Returns: the member's value; nil if it is left out.
    private mutating func field(_ field: FieldPlan, _ plan: MessagePlan, depth: Int, to sink: ByteSink) -> String? {
        let number = Int(field.number)
        let content = content(field, plan, depth: depth)
        let isFull = content != .none
        func maybeZero(_ of: Int) -> Bool { content != .first && random.chance(of) }
        let nothing = field.json == .always ? "null" : nil
        switch field.label {
        case .repeated:
            guard isFull else { return nothing }
            var elements: [String] = []
            for _ in 0...random.below(3) { elements.append(value(field, depth: depth, isZero: maybeZero(4), isShown: false, number, to: sink)) }
            return "[" + elements.joined(separator: ",") + "]"
        case .map:
            guard isFull else { return nothing }
            return map(field, depth: depth, isFirst: content == .first, to: sink)
        case .single: break
        }
        switch field.wire {
        case .value:
            let json = value(field, depth: depth, isZero: !isFull, isShown: isFull, number, to: sink)
            if isFull || field.json == .always { return json }
            if field.kind == .message { return field.json == .omitZero ? nil : json }
            return nil
        case .pointer:
            guard isFull else { return nothing }
            return value(field, depth: depth, isZero: maybeZero(3), isShown: true, number, to: sink)
        case .nilable:
            guard isFull else { return nothing }
            let isZero = field.kind == .bytes && field.json == .always && random.chance(3)
            return value(field, depth: depth, isZero: isZero, isShown: true, number, to: sink)
        }
    }

    private mutating func map(_ field: FieldPlan, depth: Int, isFirst: Bool, to sink: ByteSink) -> String {
        var keys: Set<String> = []
        for _ in 0...random.below(4) { keys.insert(text()) }
        let sorted = keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        let valueField = field.plan.fields[1]
        covered.formUnion(["\(field.plan.name) 1", "\(field.plan.name) 2"])
        var members: [String] = []
        for key in sorted {
            let entry = ByteSink()
            entry.always(1, key)
            var json = "null"
            let isNil = valueField.kind == .bytes && !isFirst && random.chance(4)
            if !isNil { json = value(valueField, depth: depth, isZero: !isFirst && random.chance(3), isShown: false, 2, to: entry) }
            sink.always(Int(field.number), entry.bytes)
            if valueField.kind == .message, valueField.plan.special == .items, json == "null" { json = "[]" }
            members.append(Self.quoted(key) + ":" + json)
        }
        return "{" + members.joined(separator: ",") + "}"
    }

    /// Writes one value with its tag; returns its JSON.
    private mutating func value(_ field: FieldPlan, depth: Int, isZero: Bool, isShown: Bool, _ number: Int, to sink: ByteSink) -> String {
        switch field.kind {
        case .string:
            var text = isZero ? "" : self.text()
            while !isZero, text.isEmpty { text = self.text() }
            sink.always(number, text)
            return Self.quoted(text)
        case .bytes:
            let bytes = isZero ? [] : (0...random.below(40)).map { _ in UInt8.random(in: 0...255, using: &random) }
            bytes.withUnsafeBytes { sink.always(number, $0) }
            return "\"" + Base64.encode(bytes) + "\""
        case .int32:
            let value = isZero ? 0 : random.one(of: [1, -1, .min, .max, Int32.random(in: .min ... -1, using: &random)])
            sink.always(number, UInt64(bitPattern: Int64(value)))
            return "\(value)"
        case .int64:
            let value = isZero ? 0 : random.one(of: [1, -1, .min, .max, 1 << 53 + 1, Int64.random(in: 1 ... .max, using: &random)])
            sink.always(number, UInt64(bitPattern: value))
            return "\(value)"
        case .bool:
            sink.always(number, isZero ? 0 : 1)
            return isZero ? "false" : "true"
        case .double:
            let (value, text) = isZero ? (0, "0") : random.one(of: [(1, "1"), (-0.5, "-0.5"), (1e-7, "1e-7"), (1e21, "1e+21"), (123456789.25, "123456789.25")])
            sink.tag(number, .fixed64)
            withUnsafeBytes(of: value.bitPattern.littleEndian) { sink.append($0) }
            return text
        case .message:
            let made = isZero ? empty(field.plan, depth: depth, isShown: isShown) : message(field.plan, depth: depth + 1, isShown: isShown)
            made.wire.withUnsafeBytes { sink.always(number, $0) }
            return made.json
        }
    }

    /// A message in which nothing is set, as Go writes it.
    private mutating func empty(_ plan: MessagePlan, depth: Int, isShown: Bool) -> Made {
        guard let special = plan.special else {
            // Without content everywhere below.
            let (wire, members) = fields(plan, depth: Self.depthMax + 1)
            return Made(wire: wire, json: "{" + members.joined(separator: ",") + "}")
        }
        if isShown { return self.special(special, plan, depth: Self.depthMax + 1, isShown: true) }
        switch special {
        case .time, .microtime, .rawjson, .rawext, .items, .schemaorarray, .schemaorstrings, .unknown: return Made(json: "null")
        case .duration: return Made(wire: [0x08, 0], json: "\"0s\"")
        case .intorstring: return Made(wire: [0x08, 0, 0x10, 0, 0x1a, 0], json: "0")
        case .quantity: return Made(wire: [0x0a, 1, UInt8(ascii: "0")], json: "\"0\"")
        case .schemaorbool: return Made(wire: [0x08, 0], json: "false")
        }
    }

    // MARK: Special messages

    private mutating func special(_ special: SpecialForm, _ plan: MessagePlan, depth: Int, isShown: Bool) -> Made {
        for field in plan.fields { covered.insert("\(plan.name) \(field.number)") }
        let sink = ByteSink()
        var json = ""
        switch special {
        case .time:
            let (seconds, text): (Int64, String) = random.one(of: [
                (0, "1970-01-01T00:00:00Z"), (1_136_214_245, "2006-01-02T15:04:05Z"), (-62_135_596_799, "0001-01-01T00:00:01Z"),
                (253_402_300_799, "9999-12-31T23:59:59Z"), (951_782_400, "2000-02-29T00:00:00Z"), (-1, "1969-12-31T23:59:59Z"),
            ])
            sink.always(1, UInt64(bitPattern: seconds))
            sink.always(2, 0)
            json = "\"\(text)\""
        case .microtime:
            let (seconds, nanoseconds, text): (Int64, UInt64, String) = random.one(of: [
                (0, 0, "1970-01-01T00:00:00.000000Z"), (1_136_214_245, 1000, "2006-01-02T15:04:05.000001Z"), (-1, 999_999_000, "1969-12-31T23:59:59.999999Z"),
            ])
            sink.always(1, UInt64(bitPattern: seconds))
            sink.always(2, nanoseconds)
            json = "\"\(text)\""
        case .duration:
            let (nanoseconds, text): (Int64, String) = random.one(of: [
                (0, "0s"), (1, "1ns"), (-1500, "-1.5µs"), (90_000_000_000, "1m30s"), (.max, "2562047h47m16.854775807s"), (3_600_000_000_000, "1h0m0s"),
            ])
            sink.always(1, UInt64(bitPattern: nanoseconds))
            json = "\"\(text)\""
        case .intorstring:
            let isString = random.chance(2)
            let number = Int32.random(in: -5...70_000, using: &random)
            let text = self.text()
            sink.always(1, isString ? 1 : 0)
            sink.always(2, isString ? 0 : UInt64(bitPattern: Int64(number)))
            sink.always(3, isString ? text : "")
            json = isString ? Self.quoted(text) : "\(number)"
        case .quantity:
            let text = random.one(of: ["0", "500m", "1Gi", "1e6", "-2", "100k", "9223372036854775807", "1n", "1536Mi", "1.500", "12E"])
            sink.always(1, text)
            json = Self.quoted(text)
        case .rawjson, .rawext:
            json = raw(depth: 0)
            sink.always(1, json)
        case .items:
            let texts = (0...random.below(3)).map { _ in text() }
            for text in texts { sink.always(1, text) }
            json = "[" + texts.map(Self.quoted).joined(separator: ",") + "]"
        case .schemaorbool: json = schema(plan.fields[1], depth: depth, to: sink) { $0.always(1, $1 == nil ? 0 : 1) } ?? "false"
        case .schemaorarray, .schemaorstrings:
            if random.chance(2) || depth > Self.depthMax {
                let (first, list) = (plan.fields[0], plan.fields[1])
                if list.kind == .string || depth <= Self.depthMax {
                    let elements = (0...random.below(2)).map { _ in value(list, depth: depth, isZero: false, isShown: true, 2, to: sink) }
                    json = "[" + elements.joined(separator: ",") + "]"
                } else {
                    json = value(first, depth: depth, isZero: true, isShown: true, 1, to: sink)
                }
            } else {
                json = value(plan.fields[0], depth: depth, isZero: false, isShown: true, 1, to: sink)
            }
        case .unknown:
            covered.formUnion(["runtime.TypeMeta 1", "runtime.TypeMeta 2"])
            json = raw(depth: 0)
            sink.message(1) {
                $0.always(1, "")
                $0.always(2, "")
            }
            sink.always(2, json)
            sink.always(3, "")
            sink.always(4, "application/json")
        }
        return Made(wire: sink.array(), json: json)
    }

    /// A schema or a truth value.
    private mutating func schema(_ field: FieldPlan, depth: Int, to sink: ByteSink, _ head: (ByteSink, String?) -> Void) -> String? {
        guard depth <= Self.depthMax, random.chance(2) else {
            head(sink, nil)
            return nil
        }
        let body = ByteSink()
        let json = value(field, depth: depth, isZero: false, isShown: true, 2, to: body)
        head(sink, json)
        sink.append(body.bytes)
        return json
    }

    /// JSON whose members have but one order.
    private mutating func raw(depth: Int) -> String {
        switch depth > 3 ? random.below(4) : random.below(7) {
        case 0: return Self.quoted(text())
        case 1: return random.one(of: ["0", "-1", "1.5", "18446744073709551615", "1e+21"])
        case 2: return random.one(of: ["true", "false"])
        case 3, 4: return depth == 0 || random.chance(2) ? "{}" : "[]"
        case 5: return "[\(raw(depth: depth + 1)),\(raw(depth: depth + 1))]"
        default: return "{\(Self.quoted(text())):\(raw(depth: depth + 1))}"
        }
    }

    // MARK: Texts

    private static let texts = [
        "", "a", "web-0", "true", "Null", "~", "1", "0x1F", "1e3", "2026-01-02", "1:30", ".5", "-", "- x", "key: value", "x #y", "#y", " a", "a ", "ü 漢 🧩",
        "<a href=\"b\">&amp;</a>", "line\nline", "line\n", "\n\nx\n\n", "  x\n y", "tab\there", "cr\r\nlf", "\u{0}\u{1}\u{7f}\u{85}", "\u{2028}\u{2029}\u{feff}", "\\\"'`",
        "{}", "[]", "*a", "&a", "!a", "|", ">", "%", "@", "? x", "it's", "x:", "---", "...", "=", "<<", "a long text of many words that goes on and on behind the eightieth column so that it folds",
        "app.kubernetes.io/name", "v10", "v1beta1", "v2", "é",
    ]

    private mutating func text() -> String {
        if random.chance(12) { return (0..<random.below(30)).map { _ in random.one(of: Self.texts) }.joined(separator: random.one(of: ["", " ", "\n"])) }
        return random.one(of: Self.texts)
    }

    /// As Go's encoder writes it.
    static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case "\u{8}": result += "\\b"
            case "\u{c}": result += "\\f"
            case "<", ">", "&", "\u{2028}", "\u{2029}", "\u{0}"..<" ":
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
