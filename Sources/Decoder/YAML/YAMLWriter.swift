// JSON as YAML in the style that kubectl prints: keys in natural order, block style, two spaces, dashes at the key's column.

import Wire

/// Writes one document. The style is that of Go's yaml v2 by way of JSON.
public struct YAMLWriter {
    private let document: JSONDocument
    private let sink: ByteSink
    private var column = 0
    private static let width = 80

    /// Appends a JSON value as YAML with a line end behind it.
    ///
    /// - Throws: when the text is no JSON, with the offset.
    public static func append(json: UnsafeRawBufferPointer, to sink: ByteSink) throws(DecodingError) {
        var writer = YAMLWriter(document: try JSONDocument(json), sink: sink)
        writer.node(writer.document.root, indent: -2, isInMapping: false)
        if writer.column > 0 { writer.newline() }
    }

    private init(document: JSONDocument, sink: ByteSink) {
        self.document = document
        self.sink = sink
    }

    // MARK: Characters

    private mutating func put(_ text: String) {
        sink.append(text)
        column += text.unicodeScalars.count
    }

    private mutating func put(_ scalar: Unicode.Scalar) {
        UTF8.encode(scalar)!.forEach { sink.append(byte: $0) }
        column += 1
    }

    private mutating func newline() {
        sink.append(byte: UInt8(ascii: "\n"))
        column = 0
    }

    /// A line end of the text itself; U+2028 and U+2029 are such as well.
    private mutating func lineBreak(_ scalar: Unicode.Scalar) {
        put(scalar)
        column = 0
    }

    private mutating func pad(to indent: Int) {
        while column < indent {
            sink.append(byte: UInt8(ascii: " "))
            column += 1
        }
    }

    /// To the beginning of a line's content, where the last dash has not led there already.
    private mutating func startLine(_ indent: Int) {
        if column > indent { newline() }
        pad(to: indent)
    }

    // MARK: Nodes

    /// - Parameters:
    ///   - indent: of the collection around; −2 for the document.
    ///   - isInMapping: whether the node is a mapping's value, in which lists are not indented.
    private mutating func node(_ node: Int, indent: Int, isInMapping: Bool) {
        switch document.kind(node) {
        case .object: mapping(node, indent: indent + 2, isInMapping)
        case .array: sequence(node, indent: isInMapping ? indent : indent + 2, isInMapping)
        case .string: string(document.string(node), indent: indent + 2, isSimpleKey: false)
        case .null: put("null")
        case .bool: put(document.isTrue(node) ? "true" : "false")
        case .number: number(node)
        }
    }

    private mutating func number(_ node: Int) {
        let text = String(decoding: document.bytes(node), as: UTF8.self)
        if Int64(text) != nil || UInt64(text) != nil { return put(text == "-0" ? "0" : text) }
        let digits = ByteSink(capacity: 32)
        let value = Double(text) ?? 0
        if value.isFinite { FloatText.appendGeneral(value, to: digits) } else { digits.append(value < 0 ? "-.inf" as StaticString : ".inf") }
        put(String(decoding: digits.bytes, as: UTF8.self))
    }

    private mutating func mapping(_ object: Int, indent: Int, _ isValue: Bool) {
        var members: [String: Int] = [:]
        document.forEachMember(object) { name, value in members[document.string(name)] = value }
        if members.isEmpty { return put("{}") }
        let ordered = members.map { (Array($0.key.unicodeScalars), $0.key, $0.value) }
            .sorted { NaturalOrder.precedes($0.0, $1.0) }
        if isValue { newline() }
        for (scalars, name, value) in ordered {
            startLine(indent)
            let isSimple = scalars.count <= 128 && name.utf8.count <= 128 && !ScalarAnalysis(scalars).isMultiline
            if isSimple {
                let isCollection = document.kind(value) == .object || document.kind(value) == .array
                // A mapping behind a plain `<<` would be merged into this one.
                if name == "<<", isCollection { put("\"<<\"") } else { string(name, indent: indent + 2, isSimpleKey: true) }
                put(":")
                let isBlock = isBlockCollection(value)
                if !isBlock { put(" ") }
                node(value, indent: indent, isInMapping: true)
            } else {
                put("? ")
                string(name, indent: indent + 2, isSimpleKey: false)
                if column > 0 { newline() }
                pad(to: indent)
                put(": ")
                // Behind such a colon a collection begins on the same line.
                node(value, indent: indent, isInMapping: false)
            }
        }
    }

    private func isBlockCollection(_ node: Int) -> Bool {
        switch document.kind(node) {
        case .object, .array: document.nodes[node].next > node + 1
        default: false
        }
    }

    private mutating func sequence(_ array: Int, indent: Int, _ isValue: Bool) {
        guard isBlockCollection(array) else { return put("[]") }
        if isValue { newline() }
        var elements: [Int] = []
        document.forEachElement(array) { elements.append($0) }
        for element in elements {
            startLine(indent)
            put("- ")
            node(element, indent: indent, isInMapping: false)
        }
    }

    // MARK: Strings

    /// - Parameter indent: of further lines.
    private mutating func string(_ text: String, indent: Int, isSimpleKey: Bool) {
        let scalars = Array(text.unicodeScalars)
        let style = ScalarAnalysis(scalars).style(
            isString: PlainScalars.isString(text), hasLineEnd: scalars.contains("\n"), isSimpleKey: isSimpleKey)
        switch style {
        case .plain: folded(scalars, indent, isSimpleKey, quote: nil)
        case .singleQuoted: folded(scalars, indent, isSimpleKey, quote: "'")
        case .doubleQuoted: doubleQuoted(scalars, indent, isSimpleKey)
        case .literal: literal(scalars, indent)
        }
    }

    /// Plain and single-quoted text goes on in the next line at a single space behind the width.
    private mutating func folded(_ scalars: [Unicode.Scalar], _ indent: Int, _ isSimpleKey: Bool, quote: Unicode.Scalar?) {
        if let quote { put(quote) }
        var isAfterSpace = false
        var isAtLineStart = false
        for (index, scalar) in scalars.enumerated() {
            if ScalarAnalysis.isBreak(scalar) {
                lineBreak(scalar)
                isAtLineStart = true
                continue
            }
            if isAtLineStart { pad(to: indent) }
            isAtLineStart = false
            guard scalar == " " else {
                if scalar == quote { put(scalar) }
                put(scalar)
                isAfterSpace = false
                continue
            }
            let isInside = quote == nil || (index > 0 && index < scalars.count - 1)
            let isBeforeSpace = index + 1 < scalars.count && scalars[index + 1] == " "
            if !isSimpleKey, !isAfterSpace, column > Self.width, isInside, !isBeforeSpace {
                newline()
                pad(to: indent)
            } else {
                put(scalar)
            }
            isAfterSpace = true
        }
        if let quote { put(quote) }
    }

    private mutating func doubleQuoted(_ scalars: [Unicode.Scalar], _ indent: Int, _ isSimpleKey: Bool) {
        put("\"")
        var isAfterSpace = false
        for (index, scalar) in scalars.enumerated() {
            if !ScalarAnalysis.isPrintable(scalar) || ScalarAnalysis.isBreak(scalar) || scalar == "\"" || scalar == "\\" {
                put(Self.escape(scalar))
                isAfterSpace = false
            } else if scalar == " " {
                if !isSimpleKey, !isAfterSpace, column > Self.width, index > 0, index < scalars.count - 1 {
                    newline()
                    pad(to: indent)
                    // The line's own space would be folded away.
                    if scalars[index + 1] == " " { put("\\") }
                } else {
                    put(scalar)
                }
                isAfterSpace = true
            } else {
                put(scalar)
                isAfterSpace = false
            }
        }
        put("\"")
    }

    private static func escape(_ scalar: Unicode.Scalar) -> String {
        switch scalar.value {
        case 0x00: return "\\0"
        case 0x07: return "\\a"
        case 0x08: return "\\b"
        case 0x09: return "\\t"
        case 0x0a: return "\\n"
        case 0x0b: return "\\v"
        case 0x0c: return "\\f"
        case 0x0d: return "\\r"
        case 0x1b: return "\\e"
        case 0x22: return "\\\""
        case 0x5c: return "\\\\"
        case 0x85: return "\\N"
        case 0xa0: return "\\_"
        case 0x2028: return "\\L"
        case 0x2029: return "\\P"
        default:
            let (prefix, width) = scalar.value <= 0xff ? ("\\x", 2) : scalar.value <= 0xffff ? ("\\u", 4) : ("\\U", 8)
            let digits = String(scalar.value, radix: 16, uppercase: true)
            return prefix + String(repeating: "0", count: width - digits.count) + digits
        }
    }

    private mutating func literal(_ scalars: [Unicode.Scalar], _ indent: Int) {
        put("|")
        if scalars[0] == " " || ScalarAnalysis.isBreak(scalars[0]) { put("2") }
        if !ScalarAnalysis.isBreak(scalars.last!) {
            put("-")
        } else if scalars.count == 1 || ScalarAnalysis.isBreak(scalars[scalars.count - 2]) {
            put("+")
        }
        newline()
        var isAtLineStart = true
        for scalar in scalars {
            if ScalarAnalysis.isBreak(scalar) {
                lineBreak(scalar)
                isAtLineStart = true
                continue
            }
            if isAtLineStart { pad(to: indent) }
            isAtLineStart = false
            put(scalar)
        }
        // The next node begins a line of its own: one that has begun is ended by it.
    }
}
