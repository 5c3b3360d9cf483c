// A JSON text checked and indexed: one flat list of nodes that point into the text, so that spelling and order are kept
// and nothing is copied that nobody asks for. RFC 8259, bounded in depth.

/// One value of a document.
struct JSONNode {
    let kind: JSONDocument.Kind
    /// Its text, quotes and brackets included.
    let start: Int
    fileprivate(set) var end: Int
    /// The index behind the last node that lies in this one.
    fileprivate(set) var next: Int
}

/// A tree of values over a JSON text: what a decoded object is to a program. Values are named by numbers, the root's is 0.
public struct JSONDocument {
    public enum Kind: UInt8, Sendable { case null, bool, number, string, array, object }

    public let text: UnsafeRawBufferPointer
    /// In document order; a member's name is a string before the value.
    private(set) var nodes: [JSONNode] = []

    /// - Parameter text: must outlive the document.
    /// - Throws: with the offset of what is not JSON.
    public init(_ text: UnsafeRawBufferPointer) throws(DecodingError) {
        self.text = text
        var at = 0
        skipSpace(&at)
        try value(&at, depth: 1)
        skipSpace(&at)
        guard at == text.count else { throw DecodingError("text after the JSON value", offset: at) }
    }

    /// Where the first value of a text ends that may go on behind it; nil if the text begins with none.
    public static func prefix(_ text: UnsafeRawBufferPointer) -> Int? {
        var document = JSONDocument(unparsed: text)
        var at = 0
        document.skipSpace(&at)
        guard (try? document.value(&at, depth: 1)) != nil else { return nil }
        return at
    }

    private init(unparsed text: UnsafeRawBufferPointer) { self.text = text }

    // MARK: Asking

    public var root: Int { 0 }
    public func kind(_ node: Int) -> Kind { nodes[node].kind }
    /// The value's text as it stands there.
    public func bytes(_ node: Int) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: text[nodes[node].start..<nodes[node].end]) }
    /// Where its text begins.
    public func offset(_ node: Int) -> Int { nodes[node].start }

    /// Calls `body` with the name's node and the value's node of each member.
    public func forEachMember<E: Error>(_ object: Int, _ body: (_ name: Int, _ value: Int) throws(E) -> Void) throws(E) {
        var at = object + 1
        while at < nodes[object].next {
            try body(at, at + 1)
            at = nodes[at + 1].next
        }
    }

    public func forEachElement<E: Error>(_ array: Int, _ body: (Int) throws(E) -> Void) throws(E) {
        var at = array + 1
        while at < nodes[array].next {
            try body(at)
            at = nodes[at].next
        }
    }

    /// The value of the last member with this name.
    public func member(_ object: Int, _ name: String) -> Int? {
        guard kind(object) == .object else { return nil }
        var found: Int?
        forEachMember(object) { key, value in if string(key) == name { found = value } }
        return found
    }

    /// The value that names and indices lead to, as `["spec", "containers", "0", "image"]`.
    public func node(_ path: some Sequence<String>) -> Int? {
        var node = root
        for step in path {
            switch kind(node) {
            case .object:
                guard let next = member(node, step) else { return nil }
                node = next
            case .array:
                guard let index = Int(step), let next = element(node, index) else { return nil }
                node = next
            default: return nil
            }
        }
        return node
    }

    public func element(_ array: Int, _ index: Int) -> Int? {
        guard kind(array) == .array, index >= 0 else { return nil }
        var at = array + 1
        var left = index
        while at < nodes[array].next {
            if left == 0 { return at }
            left -= 1
            at = nodes[at].next
        }
        return nil
    }

    public func isTrue(_ node: Int) -> Bool { text[nodes[node].start] == UInt8(ascii: "t") }

    /// A string's content with its escapes undone; half a surrogate pair becomes U+FFFD.
    public func string(_ node: Int) -> String { String(decoding: stringBytes(node), as: UTF8.self) }

    func stringBytes(_ node: Int) -> [UInt8] {
        let quoted = UnsafeRawBufferPointer(rebasing: text[nodes[node].start + 1..<nodes[node].end - 1])
        guard quoted.contains(UInt8(ascii: "\\")) else { return Array(quoted) }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(quoted.count)
        var at = 0
        while at < quoted.count {
            guard quoted[at] == UInt8(ascii: "\\") else {
                bytes.append(quoted[at])
                at += 1
                continue
            }
            at += 1
            switch quoted[at] {
            case UInt8(ascii: "n"): bytes.append(0x0a)
            case UInt8(ascii: "r"): bytes.append(0x0d)
            case UInt8(ascii: "t"): bytes.append(0x09)
            case UInt8(ascii: "b"): bytes.append(0x08)
            case UInt8(ascii: "f"): bytes.append(0x0c)
            case UInt8(ascii: "u"):
                var unit = Self.hexadecimal(quoted, at + 1)
                at += 4
                if unit & 0xfc00 == 0xd800, at + 2 < quoted.count, quoted[at + 1] == UInt8(ascii: "\\"), quoted[at + 2] == UInt8(ascii: "u") {
                    let low = Self.hexadecimal(quoted, at + 3)
                    if low & 0xfc00 == 0xdc00 {
                        unit = 0x10000 + (unit - 0xd800) << 10 + (low - 0xdc00)
                        at += 6
                    }
                }
                let scalar = Unicode.Scalar(unit) ?? "\u{fffd}"
                bytes.append(contentsOf: Array(String(Character(scalar)).utf8))
            default: bytes.append(quoted[at])
            }
            at += 1
        }
        return bytes
    }

    private static func hexadecimal(_ text: UnsafeRawBufferPointer, _ at: Int) -> UInt32 {
        (0..<4).reduce(0) { $0 << 4 | UInt32(JSONSyntax.hexadecimalDigit(text[at + $1]) ?? 0) }
    }

    // MARK: Parsing

    private func skipSpace(_ at: inout Int) {
        while at < text.count, JSONSyntax.isSpace(text[at]) { at += 1 }
    }

    private mutating func value(_ at: inout Int, depth: Int) throws(DecodingError) {
        guard depth <= DecoderLimits.depthMax else { throw DecodingError("values lie more than \(DecoderLimits.depthMax) deep in each other", offset: at) }
        guard at < text.count else { throw DecodingError("the JSON text ends too early", offset: at) }
        let index = nodes.count
        let start = at
        switch text[at] {
        case UInt8(ascii: "{"):
            open(.object, start)
            at += 1
            try elements(&at, closing: UInt8(ascii: "}"), depth: depth, hasNames: true)
        case UInt8(ascii: "["):
            open(.array, start)
            at += 1
            try elements(&at, closing: UInt8(ascii: "]"), depth: depth, hasNames: false)
        case UInt8(ascii: "\""):
            open(.string, start)
            try JSONSyntax.string(text, &at)
        case UInt8(ascii: "t"): open(.bool, start); try JSONSyntax.word("true", text, &at)
        case UInt8(ascii: "f"): open(.bool, start); try JSONSyntax.word("false", text, &at)
        case UInt8(ascii: "n"): open(.null, start); try JSONSyntax.word("null", text, &at)
        default:
            open(.number, start)
            try JSONSyntax.number(text, &at)
        }
        nodes[index].end = at
        nodes[index].next = nodes.count
    }

    private mutating func open(_ kind: Kind, _ start: Int) {
        nodes.append(JSONNode(kind: kind, start: start, end: start, next: nodes.count + 1))
    }

    private mutating func elements(_ at: inout Int, closing: UInt8, depth: Int, hasNames: Bool) throws(DecodingError) {
        skipSpace(&at)
        if at < text.count, text[at] == closing {
            at += 1
            return
        }
        while true {
            skipSpace(&at)
            if hasNames {
                guard at < text.count, text[at] == UInt8(ascii: "\"") else { throw DecodingError("a member's name is missing", offset: at) }
                let index = nodes.count
                open(.string, at)
                try JSONSyntax.string(text, &at)
                nodes[index].end = at
                skipSpace(&at)
                guard at < text.count, text[at] == UInt8(ascii: ":") else { throw DecodingError("a colon is missing", offset: at) }
                at += 1
                skipSpace(&at)
            }
            try value(&at, depth: depth + 1)
            skipSpace(&at)
            guard at < text.count else { throw DecodingError("the JSON text ends too early", offset: at) }
            at += 1
            if text[at - 1] == closing { return }
            guard text[at - 1] == UInt8(ascii: ",") else { throw DecodingError("a comma is missing", offset: at - 1) }
        }
    }
}
