// `get -o k8s`: stored objects as YAML and JSON; what is encrypted, damaged or no object.

import Client
import CommandLineTools
import Decoder
import Testing
import Wire

@testable import Control

struct ObjectViewTests {
    private let pod = "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"c\",\"namespace\":\"d\"},\"data\":{\"a\":\"1\"}}"

    private func stored() throws -> [UInt8] {
        let sink = ByteSink()
        try Array(pod.utf8).withUnsafeBytes { try ObjectEncoder().append(json: $0, to: sink) }
        return sink.array()
    }

    private func response(_ values: [(String, [UInt8])]) -> GetResponse {
        var response = GetResponse()
        response.header.revision = 9
        response.kvs = values.map { key, value in
            var kv = OutputTests.keyValue(key, "")
            kv.value = value
            return kv
        }
        response.count = Int64(values.count)
        return response
    }

    private func values() throws -> [(String, [UInt8])] {
        [
            ("/registry/configmaps/d/c", try stored()), ("/registry/secrets/d/s", Array("k8s:enc:aescbc:v1:key1:\u{1}\u{2}".utf8)),
            ("/registry/crd/x", Array("{\"apiVersion\":\"a/v1\",\"kind\":\"X\",\"size\":1}".utf8)), ("plain", Array("just text".utf8)),
            ("other json", Array("{\"a\":1}".utf8)),
        ]
    }

    @Test func yaml() throws {
        let console = Console(inMemory: ())
        let damaged = ObjectView().showYAML(response(try values()).kvs, console, withKeys: true)
        let text = String(decoding: console.output, as: UTF8.self)
        #expect(damaged.isEmpty)
        let documents = text.components(separatedBy: "---\n")
        #expect(documents.count == 5)
        #expect(documents[0].hasPrefix("# /registry/configmaps/d/c\napiVersion: v1\ndata:\n  a: \"1\"\nkind: ConfigMap\nmetadata:\n"))
        #expect(documents[1].contains("# encrypted by aescbc v1 with the key key1"))
        #expect(documents[2] == "# /registry/crd/x\napiVersion: a/v1\nkind: X\nsize: 1\n")
        #expect(documents[3] == "# plain\njust text\n")
        #expect(documents[4] == "# \"other json\"\n{\"a\":1}\n")
    }

    @Test func json() throws {
        let console = Console(inMemory: ())
        _ = ObjectView().showJSON(response(try values()), Printer(format: .json, isHex: false, console: console))
        let document = try JSONDocument(console.output.copied)
        func text(_ path: String...) -> String? { document.node(path).map { String(decoding: document.bytes($0), as: UTF8.self) } }
        #expect(text("header", "revision") == "9" && text("count") == "5")
        #expect(text("kvs", "0", "object", "metadata", "name") == "\"c\"" && text("kvs", "0", "value") == nil)
        #expect(text("kvs", "0", "mod_revision") == "2")
        #expect(text("kvs", "1", "encrypted", "key") == "\"key1\"" && text("kvs", "1", "object") == nil)
        #expect(text("kvs", "2", "object", "size") == "1")
        #expect(text("kvs", "3", "value") == "\"anVzdCB0ZXh0\"")
        #expect(text("kvs", "4", "value") == "\"eyJhIjoxfQ==\"")
    }

    /// Cut anywhere: never a crash, and told, unless the cut leaves whole fields of the envelope.
    @Test func damage() throws {
        let whole = try stored()
        var boundaries: Set<Int> = []
        try whole.withUnsafeBytes { bytes in
            var reader = ProtobufReader(UnsafeRawBufferPointer(rebasing: bytes[4...]))
            while let (field, type) = try reader.next() {
                try reader.skip(type, field: field)
                boundaries.insert(bytes.count - reader.remaining)
            }
        }
        for length in 5..<whole.count {
            let console = Console(inMemory: ())
            let damaged = ObjectView().showYAML(response([("k", Array(whole[..<length]))]).kvs, console, withKeys: false)
            #expect(damaged == (boundaries.contains(length) ? [] : ["k"]), "cut to \(length) bytes")
            #expect(String(decoding: console.output, as: UTF8.self).hasPrefix("# damaged") == !damaged.isEmpty)
        }
    }
}

extension [UInt8] {
    /// For views that outlive the array; a test's memory may leak.
    fileprivate var copied: UnsafeRawBufferPointer {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: Swift.max(1, count), alignment: 1)
        copy.copyBytes(from: self)
        return UnsafeRawBufferPointer(rebasing: copy[..<count])
    }
}

extension String {
    fileprivate func components(separatedBy mark: String) -> [String] { split(separator: mark, omittingEmptySubsequences: false).map(String.init) }
}
