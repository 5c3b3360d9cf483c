// Messages of every type to JSON and back, against the model and cut into pieces at random.

import Glibc
import Testing

@testable import Wire

private let schema = APISchema.shared
private let soak = UInt64(EnvironmentFactor.soak)

@Suite struct TranscodingTests {
    /// Protobuf to JSON, the input cut anywhere.
    private func write(_ bytes: [UInt8], _ type: MessageType, escapesHTML: Bool = false, cutting random: inout SeededGenerator) throws -> String {
        let sink = ByteSink(capacity: 16)
        var writer = ProtobufJSONWriter()
        writer.begin(type, length: bytes.count, escapesHTML: escapesHTML, to: sink)
        var rest = bytes[...]
        while !rest.isEmpty {
            let size = min(rest.count, [1, 2, 3, 7, 64, .max].randomElement(using: &random)!)
            try rest.prefix(size).withUnsafeBytes { try writer.write($0, to: sink) }
            rest = rest.dropFirst(size)
        }
        #expect(writer.isFinished)
        return String(decoding: sink.bytes, as: UTF8.self)
    }

    private func read(_ text: String, _ type: MessageType) throws -> [UInt8] {
        let sink = ByteSink(capacity: 16)
        try Array(text.utf8).withUnsafeBytes { try JSONProtobufReader.read($0, as: type, to: sink) }
        return sink.array()
    }

    private func scan(_ text: String) -> JSONScanner.Outcome {
        var scanner = JSONScanner()
        return Array(text.utf8).withUnsafeBytes { scanner.scan($0) }
    }

    @Test(arguments: 1...(4 * soak)) func everyTypeRoundTrips(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        for name in schema.messageNames.sorted() {
            let type = schema.message(name)!
            for _ in 0..<12 {
                let message = MessageModel.random(type.shape, using: &random)
                let expected = MessageModel.json(message, type.shape)
                let bytes = MessageModel.protobuf(message, packs: Bool.random(using: &random), type.shape)
                #expect(try write(bytes, type, cutting: &random) == expected, "seed \(seed), \(name)")
                let html = MessageModel.json(message, type.shape, escapesHTML: true)
                #expect(try write(bytes, type, escapesHTML: true, cutting: &random) == html, "seed \(seed), \(name)")
                #expect(scan(expected) == .complete(end: expected.utf8.count))
                // Back again: empty messages are kept, so the trees are equal.
                let back = try MessageModel.parse(try read(expected, type)[...], type.shape)
                #expect(back == message, "seed \(seed), \(name): \(expected)")
            }
        }
    }

    @Test func routesLeadToMessages() {
        #expect(schema.routes.count == 51)
        #expect(Set(schema.routes.map(\.path)).count == schema.routes.count)
        let watch = schema.routes.first { $0.path == "/v3/watch" }
        #expect(watch?.kind == .bidirectional && watch?.request.name == "etcdserverpb.WatchRequest")
    }

    /// Scrambled answers of a faulty encoder end in an error, never in JSON with a repeated member, and nothing crashes.
    @Test(arguments: 1...(20 * soak)) func damagedMessagesAreRefusedOrReadable(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed &+ 7777)
        let names = schema.messageNames.sorted()
        for _ in 0..<200 {
            let type = schema.message(names.randomElement(using: &random)!)!
            var bytes = MessageModel.protobuf(MessageModel.random(type.shape, using: &random), type.shape)
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                guard !bytes.isEmpty else { break }
                let at = bytes.indices.randomElement(using: &random)!
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes[at] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes.remove(at: at)
                case 2: bytes.insert(UInt8.random(in: 0...255, using: &random), at: at)
                default: bytes.append(contentsOf: bytes.prefix(at))
                }
            }
            guard let text = try? write(bytes, type, cutting: &random) else { continue }
            // Texts may hold invalid UTF-8 here; as JSON it must be sound all the same.
            #expect(scan(text) == .complete(end: text.utf8.count), "seed \(seed): \(text)")
        }
    }

    @Test func nestingIsBounded() throws {
        let type = schema.message("etcdserverpb.TxnRequest")!
        var text = "{}"
        for _ in 0..<250 { text = "{\"success\":[{\"request_txn\":\(text)}]}" }
        _ = try read(text, type)
        for _ in 0..<250 { text = "{\"success\":[{\"request_txn\":\(text)}]}" }
        #expect(throws: JSONMessageError("proto: exceeded max recursion depth")) { _ = try read(text, type) }
    }
}

/// `MARTLET_SOAK` multiplies the rounds of random tests.
enum EnvironmentFactor {
    static let soak: Int = getenv("MARTLET_SOAK").flatMap { Int(String(cString: $0)) } ?? 1
}
