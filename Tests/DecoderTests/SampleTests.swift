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
}
