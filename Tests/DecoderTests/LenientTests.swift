// Damaged values: what is still shown, and where the fault is said to be; objects in JSON storage.

import Testing
import Wire

@testable import Decoder

@Suite struct LenientTests {
    private func readable(_ bytes: [UInt8]) -> (json: String, errors: [DecodingError]) {
        let sink = ByteSink()
        let errors = bytes.withUnsafeBytes { ObjectDecoder().appendReadableJSON($0, to: sink) }
        return (String(decoding: sink.bytes, as: UTF8.self), errors)
    }

    /// Every prefix of a value: all that stands before the cut is there, and one fault, at the cut.
    @Test(arguments: Samples.all.filter(\.isProtobuf).prefix(20))
    func cutValues(_ sample: Samples.Sample) throws {
        let whole = try sample.bytes(".bin")
        let raw = try whole.withUnsafeBytes { whole in try Envelope(whole).raw.baseAddress! - whole.baseAddress! }
        var shown = 0
        for length in stride(from: raw + 1, to: whole.count - 4, by: max(1, whole.count / 60)) {
            let (json, errors) = readable(Array(whole[..<length]))
            let document = try Array(json.utf8).withUnsafeBytes { try JSONDocument($0).nodes.count }
            #expect(document > 4)
            #expect(errors.count == 1)
            let failure = #expect(throws: DecodingError.self) {
                try Array(whole[..<length]).withUnsafeBytes { try ObjectDecoder().appendAnyJSON($0, to: ByteSink()) }
            }
            #expect(failure == errors.first)
            #expect(errors.allSatisfy { $0.offset.map { $0 <= length } ?? false })
            shown = max(shown, json.utf8.count)
        }
        #expect(shown > whole.count / 4)
    }

    /// A length inside a Pod's metadata that is too large: the rest of the metadata is lost, the spec is not.
    @Test func damageInside() throws {
        let metadata = ByteSink(), spec = ByteSink(), object = ByteSink(), stored = ByteSink()
        metadata.always(1, "name")
        metadata.append([0x1a, 0x7f, 0x61])
        spec.always(10, "node-1")
        spec.append([0x28, 0x05])  // terminationGracePeriodSeconds is 4, activeDeadlineSeconds 5
        spec.append([0x55, 1, 2, 3, 4])  // nodeName as a fixed number
        metadata.withUnsafeBytes { object.always(1, $0) }
        spec.withUnsafeBytes { object.always(2, $0) }
        stored.append(StoredForm.magic)
        stored.message(1) {
            $0.always(1, "v1")
            $0.always(2, "Pod")
        }
        let base = stored.count + 2
        object.withUnsafeBytes { stored.always(2, $0) }
        let (json, errors) = readable(stored.array())
        #expect(json == #"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"name"},"spec":{"containers":null,"activeDeadlineSeconds":5,"nodeName":"node-1"},"status":{}}"#)
        #expect(errors.map(\.path) == ["metadata.namespace", "spec.nodeName"])
        #expect(errors.map(\.offset) == [base + 2 + 6, base + 2 + 9 + 2 + 10])
    }

    @Test(arguments: [
        (#"{"kind":"A","a":[1,2,{"b":"c"#, #"{"kind":"A","a":[1,2,{}]}"#), (#"{"a":tru}"#, "{}"), (#"{"a":1,"b":2 "c":3}"#, #"{"a":1,"b":2}"#),
        (#"{"a":{"b":"x"},"#, #"{"a":{"b":"x"}}"#), (#"{"a":12"#, "{}"), (#"{"a":"x","b"#, #"{"a":"x"}"#), (#"{"a":1}}"#, #"{"a":1}"#), ("{", "{}"),
    ])
    func brokenJSON(_ text: String, _ expected: String) {
        let (json, errors) = readable(Array(text.utf8))
        #expect(json == expected)
        #expect(errors.count == 1)
    }

    @Test func brokenCBOR() {
        // {"a": [1, 2, …
        let (json, errors) = readable([0xd9, 0xd9, 0xf7, 0xa2, 0x61, 0x61, 0x83, 0x01, 0x02])
        #expect(json == #"{"a":[1,2]}"#)
        #expect(errors.count == 1 && errors[0].offset == 9)
    }

    @Test(arguments: ["", "17", "k8s:enc:aescbc:v1:key1:xxxx", "k8s:enc:kms:v2:vault:xxxx"])
    func nothingToShow(_ text: String) {
        let (json, errors) = readable(Array(text.utf8))
        #expect(json.isEmpty)
        #expect(errors.count == 1)
        if text.hasPrefix("k8s:enc:") { #expect(errors[0].reason.contains(text.split(separator: ":")[4])) }
    }
}

@Suite struct JSONStorageTests {
    /// From kubectl's YAML, whose members are in another order, to the bytes that the API server stored.
    @Test(arguments: Samples.all.filter { !$0.isProtobuf })
    func storedFromYAML(_ sample: Samples.Sample) throws {
        let json = ByteSink(), stored = ByteSink()
        try sample.bytes(".yaml").withUnsafeBytes { try YAMLReader.appendJSON($0, to: json) }
        let encoder = ObjectEncoder()
        try encoder.appendStored(json: json.bytes, to: stored)
        #expect(String(decoding: stored.bytes, as: UTF8.self) == (try sample.text(".bin")))
        #expect(encoder.warnings.texts.isEmpty)
    }

    /// The same object in CBOR is shown as it is in JSON.
    @Test(arguments: Samples.all.filter { $0.name.hasPrefix("example.com") })
    func cbor(_ sample: Samples.Sample) throws {
        let sink = ByteSink()
        try TestCBOR.stored(json: try sample.bytes(".json")).withUnsafeBytes { try ObjectDecoder().appendAnyJSON($0, to: sink) }
        #expect(String(decoding: sink.bytes, as: UTF8.self) + "\n" == (try sample.text(".json")))
    }
}
