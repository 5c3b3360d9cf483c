// A JSON text checked and indexed: one flat list of nodes that point into the text, so that spelling and order are kept
// and nothing is copied that nobody asks for. RFC 8259, bounded in depth.

/// One value of a document.
struct JSONNode {
    enum Kind: UInt8 { case null, bool, number, string, array, object }

    let kind: Kind
    /// Its text, quotes and brackets included.
    let start: Int
    fileprivate(set) var end: Int
    /// The index behind the last node that lies in this one.
    fileprivate(set) var next: Int
}

/// The text and its nodes in document order; a member's name is a string node before the value.
struct JSONDocument {
    let text: UnsafeRawBufferPointer
    private(set) var nodes: [JSONNode] = []

    /// - Parameter text: must outlive the document.
    /// - Throws: with the offset of what is not JSON.
    init(_ text: UnsafeRawBufferPointer) throws(DecodingError) {
        self.text = text
        var at = 0
        skipSpace(&at)
        try value(&at, depth: 1)
        skipSpace(&at)
        guard at == text.count else { throw DecodingError("text after the JSON value", offset: at) }
    }

    /// Whether the bytes are one JSON value.
    static func isValid(_ text: UnsafeRawBufferPointer) -> Bool { (try? JSONDocument(text)) != nil }

    /// The first value in a text that may go on behind it, and where that ends.
    static func prefix(_ text: UnsafeRawBufferPointer) -> Int? {
        var document = JSONDocument(unparsed: text)
        var at = 0
        document.skipSpace(&at)
        guard (try? document.value(&at, depth: 1)) != nil else { return nil }
        return at
    }

    private init(unparsed text: UnsafeRawBufferPointer) { self.text = text }

    // MARK: Asking

    var root: Int { 0 }
    func kind(_ node: Int) -> JSONNode.Kind { nodes[node].kind }
    func bytes(_ node: Int) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: text[nodes[node].start..<nodes[node].end]) }
    func offset(_ node: Int) -> Int { nodes[node].start }

    /// Calls `body` with the name's node and the value's node of each member.
    func forEachMember<E: Error>(_ object: Int, _ body: (_ name: Int, _ value: Int) throws(E) -> Void) throws(E) {
        var at = object + 1
        while at < nodes[object].next {
            try body(at, at + 1)
            at = nodes[at + 1].next
        }
    }

    func forEachElement<E: Error>(_ array: Int, _ body: (Int) throws(E) -> Void) throws(E) {
        var at = array + 1
        while at < nodes[array].next {
            try body(at)
            at = nodes[at].next
        }
    }

    /// The value of the last member with this name.
    func member(_ object: Int, _ name: String) -> Int? {
        guard kind(object) == .object else { return nil }
        var found: Int?
        forEachMember(object) { key, value in if string(key) == name { found = value } }
        return found
    }

    func isTrue(_ node: Int) -> Bool { text[nodes[node].start] == UInt8(ascii: "t") }

    /// A string's content with its escapes undone; half a surrogate pair becomes U+FFFD.
    func string(_ node: Int) -> String { String(decoding: stringBytes(node), as: UTF8.self) }

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
        (0..<4).reduce(0) { $0 << 4 | UInt32(hexadecimalDigit(text[at + $1]) ?? 0) }
    }

    private static func hexadecimalDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    // MARK: Parsing

    private func skipSpace(_ at: inout Int) {
        while at < text.count, text[at] == 0x20 || text[at] == 0x0a || text[at] == 0x0d || text[at] == 0x09 { at += 1 }
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
            try string(&at)
        case UInt8(ascii: "t"): open(.bool, start); try word("true", &at)
        case UInt8(ascii: "f"): open(.bool, start); try word("false", &at)
        case UInt8(ascii: "n"): open(.null, start); try word("null", &at)
        default:
            open(.number, start)
            try number(&at)
        }
        nodes[index].end = at
        nodes[index].next = nodes.count
    }

    private mutating func open(_ kind: JSONNode.Kind, _ start: Int) {
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
                try string(&at)
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

    private func word(_ word: StaticString, _ at: inout Int) throws(DecodingError) {
        let length = word.utf8CodeUnitCount
        guard text.count - at >= length, (0..<length).allSatisfy({ text[at + $0] == word.utf8Start[$0] }) else {
            throw DecodingError("this is no JSON value", offset: at)
        }
        at += length
    }

    private func string(_ at: inout Int) throws(DecodingError) {
        let start = at
        at += 1
        while at < text.count {
            switch text[at] {
            case UInt8(ascii: "\""):
                at += 1
                return
            case UInt8(ascii: "\\"):
                guard at + 1 < text.count else { throw DecodingError("a string does not end", offset: start) }
                switch text[at + 1] {
                case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"), UInt8(ascii: "n"),
                    UInt8(ascii: "r"), UInt8(ascii: "t"):
                    at += 2
                case UInt8(ascii: "u"):
                    guard at + 5 < text.count, (2..<6).allSatisfy({ Self.hexadecimalDigit(text[at + $0]) != nil }) else {
                        throw DecodingError("an escape needs four hexadecimal digits", offset: at)
                    }
                    at += 6
                default: throw DecodingError("this is no escape", offset: at)
                }
            case 0..<0x20: throw DecodingError("a control character in a string", offset: at)
            default: at += 1
            }
        }
        throw DecodingError("a string does not end", offset: start)
    }

    private func number(_ at: inout Int) throws(DecodingError) {
        let start = at
        func digits() -> Bool {
            let before = at
            while at < text.count, text[at] >= UInt8(ascii: "0"), text[at] <= UInt8(ascii: "9") { at += 1 }
            return at > before
        }
        if at < text.count, text[at] == UInt8(ascii: "-") { at += 1 }
        if at < text.count, text[at] == UInt8(ascii: "0") {
            at += 1
        } else {
            guard digits() else { throw DecodingError("this is no JSON value", offset: start) }
        }
        if at < text.count, text[at] == UInt8(ascii: ".") {
            at += 1
            guard digits() else { throw DecodingError("a number ends in its point", offset: start) }
        }
        if at < text.count, text[at] | 0x20 == UInt8(ascii: "e") {
            at += 1
            if at < text.count, text[at] == UInt8(ascii: "+") || text[at] == UInt8(ascii: "-") { at += 1 }
            guard digits() else { throw DecodingError("a number has no exponent", offset: start) }
        }
    }
}
