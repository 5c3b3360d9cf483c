// Bytes and texts that nobody would write: an answer or an error, never a crash or a hang, and answers that hold together.
// MARTLET_SEED repeats a run, MARTLET_SOAK=n makes n times as many; scripts/fuzz runs these with new seeds.

import Testing
import Wire

@testable import Decoder

@Suite struct StoredValueFuzzTests {
    private static let rounds = 150 * TestRandomness.soak

    private func mutate(_ bytes: [UInt8], _ other: [UInt8], _ random: inout SeededGenerator, interesting: [UInt8]) -> [UInt8] {
        var bytes = bytes
        for _ in 0...random.below(4) {
            guard !bytes.isEmpty else { return [random.one(of: interesting)] }
            let at = random.below(bytes.count)
            switch random.below(8) {
            case 0: bytes[at] ^= 1 << UInt8(random.below(8))
            case 1: bytes[at] = random.one(of: interesting)
            case 2: bytes.insert(random.one(of: interesting), at: at)
            case 3: bytes.removeSubrange(at..<min(bytes.count, at + 1 + random.below(8)))
            case 4: bytes.insert(contentsOf: bytes[at..<min(bytes.count, at + 1 + random.below(40))], at: random.below(bytes.count))
            case 5: bytes.removeSubrange(at...)
            case 6: bytes.replaceSubrange(at..<min(bytes.count, at + 4), with: other.dropFirst(random.below(max(1, other.count))).prefix(12))
            default: for _ in 0..<(1 << random.below(9)) { bytes.insert(bytes[at], at: at) }
            }
        }
        return bytes
    }

    /// Decodes in every way and checks that the ways agree.
    private func check(_ value: [UInt8], _ decoder: ObjectDecoder, _ name: String) {
        value.withUnsafeBytes { bytes in
            let strict = ByteSink(), readable = ByteSink(), text = ByteSink()
            var failure: DecodingError?
            do throws(DecodingError) { try decoder.appendAnyJSON(bytes, to: strict) } catch { failure = error }
            let errors = decoder.appendReadableJSON(bytes, to: readable)
            if let failure {
                #expect(strict.count == 0, "\(name)")
                #expect(!errors.isEmpty, "\(name)")
                #expect(failure.offset.map { $0 >= 0 && $0 <= value.count } ?? true, "\(name): \(failure)")
            } else {
                #expect(errors.isEmpty && equalBytes(strict.bytes, readable.bytes), "\(name)")
                _ = ObjectIdentity(bytes)
            }
            for error in errors { #expect(error.offset.map { $0 >= 0 && $0 <= value.count } ?? true, "\(name): \(error)") }
            if readable.count > 0 {
                #expect((try? JSONDocument(readable.bytes)) != nil, "\(name)")
                let yaml = ByteSink(), back = ByteSink()
                #expect((try? YAMLWriter.append(json: readable.bytes, to: yaml)) != nil, "\(name)")
                do { try YAMLReader.appendJSON(yaml.bytes, to: back) } catch { Issue.record("\(name): \(error)\n\(String(decoding: yaml.bytes, as: UTF8.self))") }
                _ = try? ObjectEncoder().appendStored(json: readable.bytes, to: back)
            }
            _ = try? decoder.appendProtobufText(bytes, to: text)
        }
    }

    @Test func protobuf() throws {
        var random = SeededGenerator(seed: TestRandomness.firstSeed)
        var objects = RandomObjects(seed: TestRandomness.firstSeed)
        let schema = KubernetesSchema.shared
        let kinds = schema.kinds.sorted { ($0.apiVersion, $0.kind) < ($1.apiVersion, $1.kind) }
        let samples = try Samples.all.filter(\.isProtobuf).map { try $0.bytes(".bin") }
        let decoder = ObjectDecoder()
        for round in 0..<Self.rounds {
            let kind = random.one(of: kinds)
            let whole = random.chance(3) ? objects.object(kind, schema.plan(kind.message)!).stored : random.one(of: samples)
            guard whole.count < 20_000 else { continue }
            let value = mutate(whole, random.one(of: samples), &random, interesting: [0, 1, 2, 8, 0x0a, 0x12, 0x7f, 0x80, 0xff])
            check(value, decoder, "seed \(TestRandomness.firstSeed), round \(round)")
        }
    }

    @Test func json() throws {
        var random = SeededGenerator(seed: TestRandomness.firstSeed)
        let samples = try Samples.all.map { try $0.bytes(".json") }
        let decoder = ObjectDecoder()
        for round in 0..<Self.rounds {
            let text = mutate(random.one(of: samples), random.one(of: samples), &random, interesting: Array("{}[]\",:\\u0-+.eE \nnt\u{0}".utf8) + [0xe2, 0x80, 0xa8, 0xff])
            let name = "seed \(TestRandomness.firstSeed), round \(round)"
            check(text, decoder, name)
            // Two readers of JSON, one verdict, and one place.
            text.withUnsafeBytes { bytes in
                var tree: DecodingError?, compact: DecodingError?
                let sink = ByteSink()
                do throws(DecodingError) { _ = try JSONDocument(bytes) } catch { tree = error }
                do throws(DecodingError) { try JSONCompactor.append(bytes, to: sink) } catch { compact = error }
                #expect((tree == nil) == (compact == nil), "\(name): \(String(describing: tree)), \(String(describing: compact))")
                #expect(tree?.offset == compact?.offset, "\(name): \(String(describing: tree)), \(String(describing: compact))")
            }
        }
    }

    @Test func yaml() throws {
        var random = SeededGenerator(seed: TestRandomness.firstSeed)
        let samples = try Samples.all.map { try $0.bytes(".yaml") }
        for round in 0..<Self.rounds {
            let text = mutate(random.one(of: samples), random.one(of: samples), &random, interesting: Array("{}[]\",:\\&*!|>-? \n\t#%@'~<0".utf8) + [0xe2, 0xff, 0])
            let sink = ByteSink()
            guard (try? text.withUnsafeBytes { try YAMLReader.appendJSON($0, to: sink) }) != nil else {
                #expect(sink.count == 0)
                continue
            }
            let name = "seed \(TestRandomness.firstSeed), round \(round)"
            #expect((try? JSONDocument(sink.bytes)) != nil, "\(name)")
            let yaml = ByteSink(), back = ByteSink(), again = ByteSink()
            try YAMLWriter.append(json: sink.bytes, to: yaml)
            try YAMLReader.appendJSON(yaml.bytes, to: back)
            try YAMLWriter.append(json: back.bytes, to: again)
            #expect(again.array() == yaml.array(), "\(name)")
        }
    }

    @Test func cbor() throws {
        var random = SeededGenerator(seed: TestRandomness.firstSeed)
        let samples = try Samples.all.filter { !$0.isProtobuf }.map { try TestCBOR.stored(json: try $0.bytes(".json")) }
        let decoder = ObjectDecoder()
        for round in 0..<Self.rounds {
            let value = mutate(random.one(of: samples), random.one(of: samples), &random, interesting: [0, 0x1b, 0x3b, 0x40, 0x5f, 0x7f, 0x9f, 0xbf, 0xc1, 0xd6, 0xf6, 0xf9, 0xfb, 0xff])
            check([0xd9, 0xd9, 0xf7] + value.dropFirst(3), decoder, "seed \(TestRandomness.firstSeed), round \(round)")
        }
    }

    // MARK: Blow-ups

    private func decode(_ wire: [UInt8], apiVersion: String = "v1", kind: String = "Pod") -> (ByteSink, DecodingError?) {
        let sink = ByteSink(), json = ByteSink()
        sink.append(StoredForm.magic)
        sink.message(1) {
            $0.always(1, apiVersion)
            $0.always(2, kind)
        }
        wire.withUnsafeBytes { sink.always(2, $0) }
        do throws(DecodingError) {
            try ObjectDecoder().appendJSON(sink.bytes, to: json)
            return (json, nil)
        } catch {
            return (json, error)
        }
    }

    /// Containers of two bytes each, which take hundreds each in memory and in JSON.
    @Test func manyEmptyMessages() {
        let inner = ByteSink()
        inner.tag(2, .bytes)
        inner.varint(UInt64(200_000))
        inner.append([[UInt8]](repeating: [0x12, 0], count: 100_000).flatMap { $0 })
        #expect(decode(inner.array()).1?.reason.contains("memory") == true)
    }

    /// A map whose keys come backwards, each twice: the last of each counts.
    @Test func unsortedMap() throws {
        let wire = ByteSink()
        wire.message(1) { metadata in
            for index in stride(from: 20_000, to: 0, by: -1) {
                for value in ["a", "b"] {
                    metadata.message(11) {
                        $0.always(1, "\(100_000 + index)")
                        $0.always(2, value)
                    }
                }
            }
        }
        let (json, error) = decode(wire.array(), kind: "Namespace")
        #expect(error == nil)
        let document = try JSONDocument(json.bytes)
        let labels = try #require(document.node(["metadata", "labels"]))
        var names: [String] = []
        document.forEachMember(labels) { name, value in
            names.append(document.string(name))
            if document.string(value) != "b" { Issue.record("\(document.string(name)) is \(document.string(value))") }
        }
        #expect(names == (1...20_000).map { "\(100_000 + $0)" })
    }

    /// Schemas in schemas, deeper than the stack.
    @Test func deepMessages() {
        var schema: [UInt8] = []
        for _ in 0..<400 {
            let outer = ByteSink()
            // not
            schema.withUnsafeBytes { outer.always(26, $0) }
            schema = outer.array()
        }
        let wire = ByteSink()
        wire.message(2) { spec in
            spec.message(7) { version in
                version.message(4) { validation in schema.withUnsafeBytes { validation.always(1, $0) } }
            }
        }
        let (_, error) = decode(wire.array(), apiVersion: "apiextensions.k8s.io/v1", kind: "CustomResourceDefinition")
        #expect(error?.reason.contains("deep") == true)
    }

    @Test(arguments: ["[", "{\"a\":", "- ", "{a: ", "? ", "[a, ", "&a ", "a:\n "])
    func deepTexts(_ piece: String) {
        let text = Array(String(repeating: piece, count: 50_000).utf8)
        let sink = ByteSink()
        text.withUnsafeBytes { bytes in
            #expect((try? JSONCompactor.append(bytes, to: sink)) == nil)
            #expect((try? JSONDocument(bytes)) == nil)
            _ = try? YAMLReader.appendJSON(bytes, to: sink)
            _ = JSONSalvage.append(bytes, to: sink)
        }
    }
}

/// Just enough of a CBOR writer: text and byte strings in turn, as API servers write both.
enum TestCBOR {
    static func stored(json: [UInt8]) throws -> [UInt8] {
        try json.withUnsafeBytes { bytes in
            let document = try JSONDocument(bytes)
            var result: [UInt8] = [0xd9, 0xd9, 0xf7]
            append(document.root, document, to: &result)
            return result
        }
    }

    private static func head(_ major: UInt8, _ value: UInt64, to result: inout [UInt8]) {
        switch value {
        case 0..<24: result.append(major << 5 | UInt8(value))
        case 0..<256: result += [major << 5 | 24, UInt8(value)]
        default:
            result.append(major << 5 | 27)
            withUnsafeBytes(of: value.bigEndian) { result += $0 }
        }
    }

    private static func append(_ node: Int, _ document: JSONDocument, to result: inout [UInt8]) {
        switch document.kind(node) {
        case .null: result.append(0xf6)
        case .bool: result.append(document.isTrue(node) ? 0xf5 : 0xf4)
        case .string: string(document.stringBytes(node), to: &result)
        case .number:
            let text = String(decoding: document.bytes(node), as: UTF8.self)
            if let value = Int64(text) {
                head(value < 0 ? 1 : 0, UInt64(bitPattern: value < 0 ? ~value : value), to: &result)
            } else {
                result.append(0xfb)
                withUnsafeBytes(of: (Double(text) ?? 0).bitPattern.bigEndian) { result += $0 }
            }
        case .array:
            var count: UInt64 = 0
            document.forEachElement(node) { _ in count += 1 }
            head(4, count, to: &result)
            document.forEachElement(node) { append($0, document, to: &result) }
        case .object:
            result.append(0xbf)
            document.forEachMember(node) { name, value in
                string(document.stringBytes(name), to: &result)
                append(value, document, to: &result)
            }
            result.append(0xff)
        }
    }

    private static func string(_ bytes: [UInt8], to result: inout [UInt8]) {
        head(bytes.count % 2 == 0 ? 2 : 3, UInt64(bytes.count), to: &result)
        result += bytes
    }
}
