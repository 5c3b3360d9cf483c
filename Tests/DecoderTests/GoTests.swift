// Against Kubernetes' own code: objects of scripts/peers/go-objects in the file that MARTLET_GO_OBJECTS names.
// Run by scripts/check-decoder-against-go.

import Foundation
import Testing
import Wire

@testable import Decoder

@Suite struct GoTests {
    private static let file = ProcessInfo.processInfo.environment["MARTLET_GO_OBJECTS"]

    @Test(.enabled(if: Self.file != nil)) func objects() throws {
        let text = try String(contentsOfFile: try #require(Self.file), encoding: .utf8)
        let decoder = ObjectDecoder(), encoder = ObjectEncoder()
        let json = ByteSink(), yaml = ByteSink(), stored = ByteSink()
        var count = 0
        for line in text.split(separator: "\n") {
            let cells = line.split(separator: "\t", omittingEmptySubsequences: false)
            let name: Comment = "\(cells[0]) \(cells[1]), line \(count + 1)"
            let values = try cells[2...].map { try #require(Base64.decode($0.utf8)) }
            json.clear()
            yaml.clear()
            stored.clear()
            // What the documentation tells as a departure.
            let hasNilBytes = cells[1].hasPrefix("Secret") || cells[1].hasPrefix("ConfigMap")
            try values[0].withUnsafeBytes { try decoder.appendJSON($0, to: json) }
            if !hasNilBytes || json.array() == values[1] {
                #expect(String(decoding: json.bytes, as: UTF8.self) == String(decoding: values[1], as: UTF8.self), name)
                try YAMLWriter.append(json: json.bytes, to: yaml)
                #expect(String(decoding: yaml.bytes, as: UTF8.self) == String(decoding: values[2], as: UTF8.self), name)
            }
            try values[1].withUnsafeBytes { try encoder.append(json: $0, to: stored) }
            #expect(stored.array() == values[3], name)
            #expect(decoder.warnings.texts.isEmpty && encoder.warnings.texts.isEmpty, name)
            count += 1
        }
        #expect(count > 100)
    }
}
