// Values of a live API server, next to what that server itself made of them.

import Foundation
import Testing
import Wire

@testable import Decoder

enum Samples {
    struct Sample: CustomTestStringConvertible {
        let name: String
        let isProtobuf: Bool
        var testDescription: String { name }

        func bytes(_ suffix: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: Samples.folder.appendingPathComponent(name + suffix))) }
        func text(_ suffix: String) throws -> String { String(decoding: try bytes(suffix), as: UTF8.self) }
    }

    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Samples")

    static let all: [Sample] = {
        let index = (try? String(contentsOf: folder.appendingPathComponent("index.tsv"), encoding: .utf8)) ?? ""
        return index.split(separator: "\n").dropFirst().map { line in
            let cells = line.split(separator: "\t", omittingEmptySubsequences: false)
            return Sample(name: String(cells[0]), isProtobuf: cells[3] == "pb")
        }
    }()
}

@Suite struct SampleTests {
    @Test func thereAreSamples() { #expect(Samples.all.count > 60) }

    @Test(arguments: Samples.all.filter(\.isProtobuf))
    func protobufToJSON(_ sample: Samples.Sample) throws {
        let decoder = ObjectDecoder()
        let sink = ByteSink()
        try sample.bytes(".bin").withUnsafeBytes { try decoder.appendJSON($0, to: sink) }
        #expect(String(decoding: sink.bytes, as: UTF8.self) + "\n" == (try sample.text(".json")))
        #expect(decoder.warnings.texts.isEmpty)
    }

    @Test(arguments: Samples.all.filter(\.isProtobuf))
    func jsonToProtobuf(_ sample: Samples.Sample) throws {
        let encoder = ObjectEncoder()
        let sink = ByteSink()
        try sample.bytes(".json").withUnsafeBytes { try encoder.append(json: $0, to: sink) }
        #expect(sink.array() == (try sample.bytes(".bin")))
        #expect(encoder.warnings.texts.isEmpty, "\(encoder.warnings.texts)")
    }

    @Test(arguments: Samples.all)
    func jsonToYAML(_ sample: Samples.Sample) throws {
        let sink = ByteSink()
        try sample.bytes(".json").withUnsafeBytes { try YAMLWriter.append(json: $0, to: sink) }
        #expect(String(decoding: sink.bytes, as: UTF8.self) == (try sample.text(".yaml")))
    }

    /// Servers up to 1.24 wrote `clusterName` and those up to 1.20 `readOnly`, empty ones too, which they did not show.
    @Test func whatOldServersWrote() throws {
        for (written, shown) in [([0x7a, 0x00], ""), ([0x7a, 0x01, 0x63], ",\"clusterName\":\"c\"")] as [([UInt8], String)] {
            let metadata: [UInt8] = [0x0a, 0x01, 0x61] + written
            let object = [0x0a, UInt8(metadata.count)] + metadata
            let type: [UInt8] = [0x0a, 2] + Array("v1".utf8) + [0x12, 9] + Array("ConfigMap".utf8)
            let stored = Array("k8s\0".utf8) + [0x0a, UInt8(type.count)] + type + [0x12, UInt8(object.count)] + object
            let sink = ByteSink()
            try stored.withUnsafeBytes { try ObjectDecoder().appendJSON($0, to: sink) }
            #expect(String(decoding: sink.bytes, as: UTF8.self) == "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"a\"\(shown)}}")
        }
    }
}
