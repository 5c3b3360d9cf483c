// JSON as the API server stores objects without a schema: members sorted by the bytes of their names, strings and
// floating-point numbers as Go writes them.

import Wire

enum UntypedJSON {
    /// Appends a document on one line.
    static func append(_ document: JSONDocument, to sink: ByteSink) { append(document.root, document, to: sink) }

    private static func append(_ node: Int, _ document: JSONDocument, to sink: ByteSink) {
        switch document.kind(node) {
        case .null, .bool: sink.append(document.bytes(node))
        case .string: document.stringBytes(node).withUnsafeBytes { sink.jsonString($0) }
        case .number: appendNumber(document.bytes(node), to: sink)
        case .array:
            sink.append(byte: UInt8(ascii: "["))
            let first = sink.count
            document.forEachElement(node) { element in
                if sink.count != first { sink.append(byte: UInt8(ascii: ",")) }
                append(element, document, to: sink)
            }
            sink.append(byte: UInt8(ascii: "]"))
        case .object: appendObject(node, document, to: sink)
        }
    }

    private static func appendObject(_ node: Int, _ document: JSONDocument, to sink: ByteSink) {
        // The last of several members with one name counts.
        var members: [[UInt8]: Int] = [:]
        document.forEachMember(node) { name, value in members[document.stringBytes(name)] = value }
        sink.append(byte: UInt8(ascii: "{"))
        let first = sink.count
        for (name, value) in members.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
            if sink.count != first { sink.append(byte: UInt8(ascii: ",")) }
            name.withUnsafeBytes { sink.jsonString($0) }
            sink.append(byte: UInt8(ascii: ":"))
            append(value, document, to: sink)
        }
        sink.append(byte: UInt8(ascii: "}"))
    }

    /// Whole numbers of 64 bits stay; all others become floating-point ones.
    private static func appendNumber(_ bytes: UnsafeRawBufferPointer, to sink: ByteSink) {
        let text = String(decoding: bytes, as: UTF8.self)
        if let value = Int64(text) { return sink.decimal(value) }
        if let value = Double(text), value.isFinite { return FloatText.appendJSON(value, to: sink) }
        sink.append(bytes)
    }
}
