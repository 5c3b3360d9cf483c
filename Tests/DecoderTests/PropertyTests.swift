// Random objects of every kind in the schema, there and back. MARTLET_SEED repeats a run, MARTLET_SOAK=n makes n rounds.

import Testing
import Wire

@testable import Decoder

#if canImport(Glibc)
import Glibc
#endif

enum TestRandomness {
    static let soak = getenv("MARTLET_SOAK").flatMap { Int(String(cString: $0)) } ?? 1
    static let firstSeed = getenv("MARTLET_SEED").flatMap { UInt64(String(cString: $0)) } ?? 1
}

@Suite struct PropertyTests {
    private let schema = KubernetesSchema.shared
    private var kinds: [KubernetesKind] {
        schema.kinds.sorted { ($0.apiVersion, $0.kind) < ($1.apiVersion, $1.kind) }
    }

    /// Stored form, JSON, stored form; and by way of YAML; each equal to the byte to what the tables say.
    @Test func everyKindAndFieldThereAndBack() throws {
        for round in 0..<UInt64(TestRandomness.soak) {
            let seed = TestRandomness.firstSeed + round
            var objects = RandomObjects(seed: seed)
            let decoder = ObjectDecoder()
            let encoder = ObjectEncoder()
            let json = ByteSink(), stored = ByteSink(), yaml = ByteSink(), back = ByteSink()
            for kind in kinds {
                let plan = try #require(schema.plan(kind.message))
                let (expected, expectedJSON) = objects.object(kind, plan)
                let name: Comment = "\(kind.apiVersion) \(kind.kind), seed \(seed)"
                json.clear()
                try expected.withUnsafeBytes { try decoder.appendJSON($0, to: json) }
                #expect(String(decoding: json.bytes, as: UTF8.self) == expectedJSON, name)
                #expect(decoder.warnings.texts.isEmpty, name)
                guard plan.hasTypeMeta else { continue }
                stored.clear()
                try encoder.append(json: json.bytes, to: stored)
                #expect(stored.array() == expected, name)
                #expect(encoder.warnings.texts.isEmpty, name)
                yaml.clear()
                back.clear()
                try YAMLWriter.append(json: json.bytes, to: yaml)
                try YAMLReader.appendJSON(yaml.bytes, to: back)
                stored.clear()
                try encoder.append(json: back.bytes, to: stored)
                #expect(stored.array() == expected, "\(name), by way of YAML")
                // Text format: every value takes it.
                back.clear()
                try expected.withUnsafeBytes { try decoder.appendProtobufText($0, to: back) }
            }
            #expect(missing(objects.covered).isEmpty, "seed \(seed)")
        }
    }

    /// Fields that lie below a kind and never had content.
    private func missing(_ covered: Set<String>) -> [String] {
        var seen: Set<String> = []
        var open = kinds.compactMap { schema.plan($0.message) }
        var missing: [String] = []
        while let plan = open.popLast() {
            guard seen.insert(plan.name).inserted else { continue }
            for field in plan.fields {
                if !covered.contains("\(plan.name) \(field.number)") { missing.append("\(plan.name) \(field.jsonName)") }
                if field.kind == .message { open.append(field.plan) }
            }
        }
        return missing
    }

    /// Fields and kinds that the schema has not, anywhere in a message, come back as they were.
    @Test func unknownFieldsThereAndBack() throws {
        let seed = TestRandomness.firstSeed
        var objects = RandomObjects(seed: seed)
        var random = SeededGenerator(seed: seed)
        let decoder = ObjectDecoder()
        let encoder = ObjectEncoder()
        for kind in kinds.filter({ $0.role == .object }) {
            let plan = try #require(schema.plan(kind.message))
            let stored = objects.object(kind, plan).stored
            for isUnknownKind in [false, true] {
                let kindName = isUnknownKind ? "Gadget" : kind.kind
                let envelope = try stored.withUnsafeBytes { Array(try Envelope($0).raw) }
                let wire = isUnknownKind ? envelope : envelope.withUnsafeBytes { Self.withUnknown($0, plan, &random) }
                let sink = ByteSink()
                sink.append(StoredForm.magic)
                sink.message(1) {
                    $0.always(1, kind.apiVersion)
                    $0.always(2, kindName)
                }
                wire.withUnsafeBytes { sink.always(2, $0) }
                sink.always(3, "")
                sink.always(4, "")
                let json = ByteSink(), back = ByteSink()
                try decoder.appendJSON(sink.bytes, to: json)
                #expect(!decoder.warnings.texts.isEmpty)
                try encoder.append(json: json.bytes, to: back)
                #expect(back.array() == sink.array(), "\(kind.apiVersion) \(kindName), seed \(seed)")
            }
        }
    }

    /// The same message with unknown fields in between, here and in the messages below that have a place for them.
    private static func withUnknown(_ bytes: UnsafeRawBufferPointer, _ plan: MessagePlan, _ random: inout SeededGenerator) -> [UInt8] {
        var parts: [(Int, [UInt8])] = []
        var reader = ProtobufReader(bytes)
        while !reader.isAtEnd {
            let start = bytes.count - reader.remaining
            guard let (number, type) = try? reader.next() else { break }
            let field = plan.field(number: UInt32(number))
            if type == .bytes, let field, field.kind == .message, field.label != .map, field.plan.special == nil, let inner = try? reader.bytes() {
                let sink = ByteSink()
                withUnknown(inner, field.plan, &random).withUnsafeBytes { sink.always(number, $0) }
                parts.append((number, sink.array()))
            } else {
                try? reader.skip(type, field: number)
                parts.append((number, Array(bytes[start..<bytes.count - reader.remaining])))
            }
        }
        for _ in 0..<(parts.isEmpty ? 1 : random.below(3)) {
            let number = 1 + random.below(random.chance(3) ? 500_000 : 60)
            guard plan.field(number: UInt32(number)) == nil else { continue }
            let sink = ByteSink()
            switch random.below(5) {
            case 0: sink.always(number, random.next())
            case 1: sink.always(number, random.one(of: ["", "text\n", "ü\u{0}"]))
            case 2: [UInt8(0xff), 0, 0x80].withUnsafeBytes { sink.always(number, $0) }
            case 3:
                sink.tag(number, .fixed32)
                withUnsafeBytes(of: UInt32.max) { sink.append($0) }
            default:
                sink.tag(number, .fixed64)
                withUnsafeBytes(of: UInt64.max) { sink.append($0) }
            }
            parts.append((number, sink.array()))
        }
        // One at least in the object itself.
        if !parts.contains(where: { plan.field(number: UInt32($0.0)) == nil }) { parts.append((400_000, [0x80, 0xa8, 0xc3, 0x01, 0x07])) }
        return parts.enumerated().sorted { ($0.element.0, $0.offset) < ($1.element.0, $1.offset) }.flatMap(\.element.1)
    }
}
