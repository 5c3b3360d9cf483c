// Values encrypted by other implementations (Vectors/make-vectors), and what must not open.

import Decoder
import Foundation
import Testing
import Wire

@testable import DecoderEncryption

private struct Vector: CustomTestStringConvertible {
    let provider: String
    let name: String
    let secret: String
    let key: String
    let value: [UInt8]
    let plain: [UInt8]
    var testDescription: String { "\(provider) \(name) \(key)" }

    static let all: [Vector] = {
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Vectors/vectors.tsv")
        let text = (try? String(contentsOf: file, encoding: .utf8)) ?? ""
        return text.split(separator: "\n").map { line in
            let cells = line.split(separator: "\t").map(String.init)
            return Vector(
                provider: cells[0], name: cells[1], secret: cells[2], key: cells[3], value: [UInt8](Data(base64Encoded: cells[4])!),
                plain: [UInt8](Data(base64Encoded: cells[5])!))
        }
    }()

    func configuration(secret: String? = nil, name: String? = nil) -> String {
        """
        apiVersion: apiserver.config.k8s.io/v1
        kind: EncryptionConfiguration
        resources:
        - resources: [secrets]
          providers:
          - \(provider):
              keys:
              - {name: other, secret: \(Data(repeating: 7, count: 32).base64EncodedString())}
              - name: \(name ?? self.name)
                secret: \(secret ?? self.secret)
          - identity: {}
        """
    }
}

@Suite struct EncryptionTests {
    private func configuration(_ text: String) throws -> EncryptionConfiguration {
        try Array(text.utf8).withUnsafeBytes { try EncryptionConfiguration($0) }
    }

    private func open(_ value: [UInt8], _ key: String, _ configuration: EncryptionConfiguration) throws -> [UInt8] {
        try value.withUnsafeBytes { value in try Array(key.utf8).withUnsafeBytes { try configuration.open(value, key: $0) } }
    }

    @Test func thereAreVectors() { #expect(Vector.all.count == 28) }

    @Test(arguments: Vector.all)
    fileprivate func opens(_ vector: Vector) throws {
        #expect(try open(vector.value, vector.key, try configuration(vector.configuration())) == vector.plain)
    }

    @Test(arguments: Vector.all)
    fileprivate func refusesWhatIsWrong(_ vector: Vector) throws {
        let good = try configuration(vector.configuration())
        // Another key of the same name and size, and no such key.
        let size = Data(base64Encoded: vector.secret)!.count
        let wrong = try configuration(vector.configuration(secret: Data(repeating: 1, count: size).base64EncodedString()))
        #expect(throws: DecodingError.self) { try open(vector.value, vector.key, wrong) }
        #expect(throws: DecodingError.self) { try open(vector.value, vector.key, try configuration(vector.configuration(name: "none"))) }
        if vector.provider == "aesgcm" { #expect(throws: DecodingError.self) { try open(vector.value, "/registry/secrets/a/b", good) } }
        // Cut, at every place where that is short; changed, where the cipher can tell.
        for length in 0..<min(vector.value.count, 120) { _ = try? open(Array(vector.value[..<length]), vector.key, good) }
        if vector.provider != "aescbc" {
            for index in stride(from: 32, to: vector.value.count, by: 97) {
                var changed = vector.value
                changed[index] ^= 1
                #expect(throws: DecodingError.self) { try open(changed, vector.key, good) }
            }
        }
    }

    @Test func othersAreNamed() throws {
        let none = try configuration(#"{"resources":[{"resources":["secrets"],"providers":[{"kms":{"name":"vault"}},{"identity":{}}]}]}"#)
        let error = #expect(throws: DecodingError.self) { try open(Array("k8s:enc:kms:v2:vault:xxxx".utf8), "/k", none) }
        #expect(error?.reason.contains("kms v2") == true && error?.reason.contains("vault") == true)
        #expect(try open(Array("{}".utf8), "/k", none) == Array("{}".utf8))
    }

    @Test(arguments: [
        ("{}", ""), ("resources: 1", ""), ("resources: [{}]", "resources[0]"), ("resources: [{providers: [{aescbc: {}}]}]", "resources[0].providers[0].aescbc"),
        ("resources: [{providers: [{aescbc: {keys: [{name: a}]}}]}]", "resources[0].providers[0].aescbc.keys[0].secret"),
        ("resources: [{providers: [{secretbox: {keys: [{name: a, secret: AAAA}]}}]}]", "resources[0].providers[0].secretbox.keys[0].secret"),
        ("resources: [{providers: [{aesgcm: {keys: [{name: a, secret: '!'}]}}]}]", "resources[0].providers[0].aesgcm.keys[0].secret"),
    ])
    func wrongConfigurations(_ text: String, _ path: String) {
        let error = #expect(throws: DecodingError.self) { try configuration(text) }
        #expect(error?.path == path)
    }
}
