// Texts that nobody sane would send: the scanner agrees with a plain parser about what is JSON, however the text is cut, and neither it
// nor the reader ever crashes.

import Testing

@testable import Wire

private let soak = UInt64(EnvironmentFactor.soak)

@Suite struct HostileJSONTests {
    private func outcome(_ bytes: [UInt8], cutting random: inout SeededGenerator) -> (JSONScanner.Outcome, end: Int) {
        var scanner = JSONScanner()
        var position = 0
        while position < bytes.count {
            let size = min(bytes.count - position, [1, 2, 5, .max].randomElement(using: &random)!)
            let outcome = bytes[position..<position + size].withUnsafeBytes { scanner.scan($0) }
            switch outcome {
            case .unfinished: position += size
            case .complete(let end): return (outcome, position + end)
            case .malformed: return (outcome, position)
            }
        }
        return (scanner.finish(), bytes.count)
    }

    private let pieces = [
        "{", "}", "[", "]", ",", ":", "\"", "\\", "\"a\"", "\"key\"", "true", "false", "null", "0", "1", "-", "-1", ".5", "e3", "1.5e-3", "01", " ", "\n",
        "\\u12", "\"\\u00e9\"", "\"\\ud83d\\ude00\"", "\"\\ud800\"", "é", "\u{1}", "\u{feff}", "{}", "[]", "{\"key\":", "\"success\":[", "\"request_txn\":{",
        "\"YQ==\"", "9223372036854775808", "1e999999999999",
    ]

    @Test(arguments: 1...(40 * soak)) func scannerAgreesWithTheParser(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<500 {
            var bytes = (0..<Int.random(in: 1...12, using: &random)).flatMap { _ in Array(pieces.randomElement(using: &random)!.utf8) }
            if Int.random(in: 0..<8, using: &random) == 0, let at = bytes.indices.randomElement(using: &random) {
                bytes[at] = UInt8.random(in: 0...255, using: &random)
            }
            let (outcome, end) = outcome(bytes, cutting: &random)
            guard case .complete = outcome else {
                // The parser reads a whole text, and knows more of characters than the scanner does: what it takes is complete.
                if let value = try? JSONValue(parsing: bytes) { Issue.record("seed \(seed): \(value) was not seen in \(bytes)") }
                continue
            }
            let text = Array(bytes[..<end])
            do {
                _ = try JSONValue(parsing: text)
            } catch {
                #expect(error.reason == "invalid UTF-8", "seed \(seed): \(String(decoding: text, as: UTF8.self)): \(error)")
            }
            // A value of sound syntax is a message, or is refused with a text; both is fine.
            let start = text.firstIndex { $0 != 0x20 && $0 != 0x0a } ?? 0
            let sink = ByteSink(capacity: 16)
            for name in ["etcdserverpb.TxnRequest", "etcdserverpb.PutRequest", "etcdserverpb.WatchRequest"] {
                try? text[start...].withUnsafeBytes { try JSONProtobufReader.read($0, as: APISchema.shared.message(name)!, to: sink) }
            }
        }
    }

    @Test func depthIsBounded() {
        var random = SeededGenerator(seed: 1)
        let deep = Array(repeating: UInt8(ascii: "["), count: JSONScanner.depthMax)
        let closed = deep + Array(repeating: UInt8(ascii: "]"), count: JSONScanner.depthMax)
        #expect(outcome(closed, cutting: &random).0 == .complete(end: closed.count) || outcome(closed, cutting: &random).end == closed.count)
        #expect(outcome(deep + [UInt8(ascii: "[")], cutting: &random).0 == .malformed("invalid character '[' exceeded max depth"))
        // What is passed over does not recurse either.
        let sink = ByteSink(capacity: 16)
        let inside = Array(#"{"bogus":"#.utf8) + closed.dropFirst().dropLast() + Array("}".utf8)
        #expect(throws: Never.self) {
            try inside.withUnsafeBytes { try JSONProtobufReader.read($0, as: APISchema.shared.message("etcdserverpb.PutRequest")!, to: sink) }
        }
    }

    @Test(arguments: [
        ("", .unfinished), (" \n", .unfinished), ("1", .complete(end: 0)), ("{", .malformed("unexpected EOF")), ("\"a", .malformed("unexpected EOF")),
        ("-", .malformed("unexpected EOF")), ("nul", .malformed("unexpected EOF")), ("{}", .complete(end: 2)), ("{} x", .complete(end: 2)),
        ("1 2", .complete(end: 1)), ("x", .malformed("invalid character 'x' looking for beginning of value")),
        ("{\"a\"}", .malformed("invalid character '}' after object key")), ("{\"a\":1 2", .malformed("invalid character '2' after object key:value pair")),
        ("[1 2", .malformed("invalid character '2' after array element")), ("{1", .malformed("invalid character '1' looking for beginning of object key string")),
        ("\"\n\"", .malformed("invalid character '\\n' in string literal")), ("\"\\x", .malformed("invalid character 'x' in string escape code")),
        ("\"\\u1g", .malformed("invalid character 'g' in \\u hexadecimal character escape")), ("-a", .malformed("invalid character 'a' in numeric literal")),
        ("1.a", .malformed("invalid character 'a' after decimal point in numeric literal")), ("1ea", .malformed("invalid character 'a' in exponent of numeric literal")),
        ("trap", .malformed("invalid character 'a' in literal true (expecting 'u')")), ("[01]", .malformed("invalid character '1' after array element")),
    ] as [(String, JSONScanner.Outcome)])
    func verdictsAreGos(text: String, expected: JSONScanner.Outcome) {
        var scanner = JSONScanner()
        var outcome = Array(text.utf8).withUnsafeBytes { scanner.scan($0) }
        if outcome == .unfinished { outcome = scanner.finish() }
        #expect(outcome == expected)
    }

    @Test(arguments: [
        (#"{"key":5}"#, "proto: (line 1:8): invalid value for bytes field key: 5"),
        (#"null"#, "proto: syntax error (line 1:1): unexpected token null"),
        ("{\n \"key\":\"é\",\"lease\":true}", "proto: (line 2:8): invalid value for bytes field key: \"é\""),
        (#"{"prevKv":true,"prev_kv":true}"#, #"proto: (line 1:16): duplicate field "prev_kv""#),
        (#"{"bogus":"\ud800 and more"}"#, #"proto: syntax error (line 1:10): invalid escape code " and m" in string"#),
    ]) func errorsSayWhere(text: String, expected: String) {
        let type = APISchema.shared.message("etcdserverpb.PutRequest")!
        let sink = ByteSink(capacity: 16)
        #expect(throws: JSONMessageError(expected)) {
            try Array(text.utf8).withUnsafeBytes { try JSONProtobufReader.read($0, as: type, to: sink) }
        }
    }
}
