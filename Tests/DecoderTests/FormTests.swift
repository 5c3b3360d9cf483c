// Values in other forms than protobuf, and YAML as input.

import Testing
import Wire

@testable import Decoder

@Suite struct FormTests {
    private func json(cbor: [UInt8]) throws -> String {
        let sink = ByteSink()
        try cbor.withUnsafeBytes { try CBORText.append($0, to: sink) }
        return String(decoding: sink.bytes, as: UTF8.self)
    }

    /// Examples of RFC 8949, appendix A, as far as they have a JSON form here.
    @Test(arguments: [
        ([0x00], "0"), ([0x18, 0x64], "100"), ([0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "18446744073709551615"),
        ([0x3b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "-18446744073709551616"), ([0x38, 0x63], "-100"), ([0xf9, 0x3e, 0x00], "1.5"),
        ([0xf9, 0x7b, 0xff], "65504"), ([0xf9, 0x00, 0x01], "5.960464477539063e-8"), ([0xf9, 0xc4, 0x00], "-4"),
        ([0xfa, 0x47, 0xc3, 0x50, 0x00], "100000"), ([0xfb, 0xc0, 0x10, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66], "-4.1"), ([0xf4], "false"), ([0xf6], "null"),
        ([0x44, 0x61, 0x62, 0x63, 0x64], #""abcd""#), ([0xd6, 0x43, 1, 2, 3], #""AQID""#), ([0x7f, 0x65, 0x73, 0x74, 0x72, 0x65, 0x61, 0x61, 0x6d, 0xff], #""stream""#),
        ([0x9f, 0x01, 0x82, 0x02, 0x03, 0x9f, 0x04, 0x05, 0xff, 0xff], "[1,[2,3],[4,5]]"), ([0xa2, 0x61, 0x62, 0x01, 0x41, 0x61, 0x80], #"{"a":[],"b":1}"#),
        ([0xd9, 0xd9, 0xf7, 0xa0], "{}"), ([0xc1, 0x1a, 0x51, 0x4b, 0x67, 0xb0], #""2013-03-21T20:04:00Z""#),
        ([0xc0, 0x64, 0x74, 0x69, 0x6d, 0x65], #""time""#),
    ] as [([UInt8], String)])
    func cbor(_ bytes: [UInt8], _ expected: String) throws {
        #expect(try json(cbor: bytes) == expected)
        for length in 0..<bytes.count { #expect(throws: DecodingError.self) { try json(cbor: Array(bytes[..<length])) } }
    }

    @Test(arguments: [[0xff], [0x1c], [0xa1, 0x01, 0x01], [0xa2, 0x61, 0x61, 1, 0x61, 0x61, 1], [0xf8, 0xff], [0x00, 0x00], [0x5f, 0x61, 0x61, 0xff],
                      Array(repeating: 0x81, count: 100_000), [0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]] as [[UInt8]])
    func noCBOR(_ bytes: [UInt8]) { #expect(throws: DecodingError.self) { try json(cbor: bytes) } }

    @Test func forms() {
        func form(_ text: String) -> StoredForm { Array(text.utf8).withUnsafeBytes { StoredForm($0) } }
        #expect(form("k8s\0...") == .protobuf)
        #expect(form(" {}") == .json)
        #expect(form("k8s:enc:aescbc:v1:key1:xxxx:yy") == .encrypted(provider: "aescbc", version: "v1", keyName: "key1"))
        #expect(form("k8s:enc:aescbc") == .other)
        #expect(form("17") == .other)
        #expect(form("") == .other)
        #expect([0xd9, 0xd9, 0xf7, 0xa0].withUnsafeBytes { StoredForm(UnsafeRawBufferPointer(rebasing: $0[0..<1])) } == .other)
    }

    /// As Go's yaml v2 writes the line ends of other scripts, and a key that YAML would merge.
    @Test(arguments: [
        (#"{"a":"x\n\u2028y\nz"}"#, "a: |-\n  x\n\u{2028}  y\n  z\n"), (#"{"a":{"b":"x\u2028y"}}"#, "a:\n  b: 'x\u{2028}    y'\n"),
        (#"{"a":"\n\n\u2029\u2029x\n"}"#, "a: |2\n\n\n\u{2029}\u{2029}  x\n"), (#"{"<<":"x"}"#, "<<: x\n"), (#"{"<<":{"a":1}}"#, "\"<<\":\n  a: 1\n"),
    ])
    func lineEndsOfOthers(_ json: String, _ expected: String) throws {
        let yaml = ByteSink(), back = ByteSink(), plain = ByteSink()
        try Array(json.utf8).withUnsafeBytes { try YAMLWriter.append(json: $0, to: yaml) }
        #expect(String(decoding: yaml.bytes, as: UTF8.self) == expected)
        try YAMLReader.appendJSON(yaml.bytes, to: back)
        try Array(json.utf8).withUnsafeBytes { UntypedJSON.append(try JSONDocument($0), to: plain) }
        #expect(back.array() == plain.array())
    }

    private func json(yaml: String) throws -> String {
        let sink = ByteSink()
        try Array(yaml.utf8).withUnsafeBytes { try YAMLReader.appendJSON($0, to: sink) }
        return String(decoding: sink.bytes, as: UTF8.self)
    }

    @Test(arguments: [
        ("a: 1\nb: [x, yes, ~, 1.50, 0x1F, 017, 1_000, '1', \"y\", 2026-01-02]\n", #"{"a":1,"b":["x",true,null,1.5,31,15,1000,"1","y","2026-01-02"]}"#),
        ("", "null"), ("x", #""x""#), ("a: &p {b: 1}\nc: *p\n", #"{"a":{"b":1},"c":{"b":1}}"#), ("a: |\n  x\n  y\n", #"{"a":"x\ny\n"}"#),
        ("1: a\n", #"{"1":"a"}"#), ("a: !!str 1\n", #"{"a":"1"}"#), ("-5", "-5"), ("1e3", "1000"), ("- 08\n- -0x1f\n", "[8,-31]"),
    ])
    func yaml(_ text: String, _ expected: String) throws { #expect(try json(yaml: text) == expected) }

    @Test(arguments: ["a: [", "a: b: c", "? [x]\n: 1", "*x", "a: 1\n\tb: 2", "x: &a [*a]", "<<: {a: 1}"])
    func noYAML(_ text: String) { #expect(throws: DecodingError.self) { try json(yaml: text) } }

    /// Each alias twice what it stands for, thirty times over.
    @Test func aBombIsRefused() {
        var text = "a0: &a0 [xxxxxxxxxx]\n"
        for index in 1...30 { text += "a\(index): &a\(index) [*a\(index - 1), *a\(index - 1)]\n" }
        #expect(throws: DecodingError.self) { try json(yaml: text) }
    }

    /// kubectl's YAML leads back to the stored bytes.
    @Test(arguments: Samples.all.filter(\.isProtobuf))
    func samplesFromYAML(_ sample: Samples.Sample) throws {
        let text = ByteSink()
        try sample.bytes(".yaml").withUnsafeBytes { try YAMLReader.appendJSON($0, to: text) }
        let sink = ByteSink()
        try ObjectEncoder().append(json: text.bytes, to: sink)
        // Raw JSON inside an object keeps the order of its members, which YAML does not; everything else is equal.
        let expected = try sample.bytes(".bin")
        #expect(sink.count == expected.count)
        let decoded = ByteSink()
        try ObjectDecoder().appendJSON(sink.bytes, to: decoded)
        let yaml = ByteSink()
        try YAMLWriter.append(json: decoded.bytes, to: yaml)
        #expect(String(decoding: yaml.bytes, as: UTF8.self) == (try sample.text(".yaml")))
    }
}
