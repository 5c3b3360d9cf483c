// Decoding gzip: files that zlib made, and files that nobody made.

import Testing
import Wire

@testable import Transport

@Suite struct InflateTests {
    private func inflate(_ bytes: [UInt8], limit: Int = 1 << 20) throws -> [UInt8] {
        try bytes.withUnsafeBytes { try Gzip.inflate($0, limit: limit) }
    }

    private func bytes(_ hex: String) -> [UInt8] {
        let digits = hex.utf8.map { UInt8($0 < 0x3a ? $0 - 0x30 : $0 - 0x57) }
        return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }

    /// One stored block, one with fixed codes, none at all, and one with codes of its own.
    private let stored = "1f8b0800000000000403010b00f4ff706c61696e206279746573cbaf5c710b000000"
    private let fixed = "1f8b08000000000002034b4c8481243850c848cdc9c94726019150801f26000000"
    private let empty = "1f8b080000000000000303000000000000000000"
    private let dynamic = [
        "1f8b080000000000020385d5390ec2301040d1abe402513c9b97e34410210a204a68b83d12a6b57ee7e2374ff68c9763bbddcff7f159",
        "f6d7f55c9eeb633bf7f5b2cde9779ed3b48c0ae9858c0bed858e0beb858d0bef858f8be8458c8bdc8b3c2efeda82da8ada865a49c815",
        "41af2882c5502cce171c6896cce8c2e8cae886684d885641b42a3f6b43b43aa23510ad99d185d195d10dd196789805d1a6883643b439",
        "a22d106d99d185d195d10dd19e10ed82685744bb21da1dd11ebcb733a30ba32ba31ba223213a04d1a1880ee3dfca111d81e8c88c2e8c",
        "ae8c6ed317eaa6f6ed2a080000",
    ].joined()
    private var dynamicContent: [UInt8] {
        Array((0..<60).map { "/registry/pods/namespace-\($0 % 7)/name-\($0) " }.joined().utf8)
    }

    @Test func everyKindOfBlock() throws {
        #expect(try inflate(bytes(stored)) == Array("plain bytes".utf8))
        #expect(try inflate(bytes(fixed)) == Array("aaaaaaaaaabbbbbbbbbb hello hello hello".utf8))
        #expect(try inflate(bytes(empty)) == [])
        #expect(try inflate(bytes(dynamic)) == dynamicContent)
        // Members one after the other are one content; a header may carry a name and more.
        #expect(try inflate(bytes(stored) + bytes(empty) + bytes(fixed)).count == 49)
        var named = bytes(stored)
        named[3] = 4 | 8 | 16
        named.insert(contentsOf: [2, 0, 9, 9] + Array("name\0comment\0".utf8), at: 10)
        #expect(try inflate(named) == Array("plain bytes".utf8))
        // A header may carry a checksum of itself, which must be right.
        named[3] |= 2
        named.insert(contentsOf: [0, 0], at: 10 + 4 + 13)
        #expect(throws: Gzip.Failure.notGzip) { _ = try inflate(named) }
    }

    @Test func brokenFilesAreRefused() {
        func failure(_ bytes: [UInt8], limit: Int = 1 << 20) -> Gzip.Failure? {
            do { _ = try inflate(bytes, limit: limit) } catch { return error as? Gzip.Failure }
            return nil
        }
        let whole = bytes(dynamic)
        for length in 0..<whole.count { #expect(failure(Array(whole[..<length])) == .truncated, "cut at \(length)") }
        #expect(failure([0x1f, 0x8b, 7] + whole[3...]) == .notGzip)
        var wrong = whole
        wrong[wrong.count - 1] ^= 1
        #expect(failure(wrong) == .checksum)
        wrong = whole
        wrong[wrong.count - 8] ^= 1
        #expect(failure(wrong) == .checksum)
        #expect(failure(whole, limit: dynamicContent.count - 1) == .tooLarge)
        #expect(failure(whole, limit: dynamicContent.count) == nil)
        #expect(failure(bytes(stored), limit: 10) == .tooLarge)
    }

    @Test func anythingMayCome() {
        for seed in UInt64(0)..<3000 {
            var generator = SeededGenerator(seed: seed)
            var file = seed % 2 == 0 ? bytes(dynamic) : Array(bytes(fixed)[..<10]) + generator.bytes(Int.random(in: 0...60, using: &generator))
            for _ in 0..<Int.random(in: 0...4, using: &generator) {
                file[Int.random(in: 10..<file.count + (file.count == 10 ? 1 : 0), using: &generator) % file.count] = UInt8.random(in: 0...255, using: &generator)
            }
            if let content = try? inflate(file, limit: 100_000) { #expect(content.count <= 100_000) }
        }
    }

    @Test func compressedRequestsAreServed() async throws {
        var configuration = ServerConfiguration()
        configuration.receiveMessageBytesMax = 3000
        let test = try await TestServer.start(configuration)
        let peer = try RawPeer(port: test.port)
        let reader = FrameReader(peer)
        peer.send(Frames.preface + Frames.settings)
        let gzip = [("grpc-encoding", "gzip")]
        func answer(_ stream: UInt32) -> (status: String?, body: [UInt8]) {
            var body: [UInt8] = []
            while let frame = reader.next() {
                guard frame.stream == stream else { continue }
                if frame.type == 0 { body += frame.payload }
                if frame.endsStream { return (frame["grpc-status"], body) }
            }
            return (nil, body)
        }
        let message = Frames.message(bytes(dynamic), format: 1)
        peer.send(Frames.request(1, "/test.Test/Echo", extra: gzip) + Frames.data(1, message, endStream: true))
        var result = answer(1)
        #expect(result.status == "0" && result.body == Frames.message(dynamicContent))
        // In two frames, the second one late; and on a stream, next to messages that are not compressed.
        peer.send(Frames.request(3, "/test.Test/Echo", extra: gzip) + Frames.data(3, Array(message[..<20])) + Frames.data(3, Array(message[20...])))
        peer.send(Frames.data(3, [], endStream: true))
        result = answer(3)
        #expect(result.status == "0" && result.body == Frames.message(dynamicContent))
        peer.send(
            Frames.request(5, "/test.Test/EchoStream", extra: gzip)
                + Frames.data(5, Frames.message([1]) + Frames.message(bytes(stored), format: 1) + message + Frames.message([2]), endStream: true))
        result = answer(5)
        #expect(result.status == "0")
        #expect(result.body == Frames.message([1]) + Frames.message(Array("plain bytes".utf8)) + Frames.message(dynamicContent) + Frames.message([2]))
        peer.send(Frames.request(7, "/test.Test/Echo", extra: gzip) + Frames.data(7, Frames.message([1, 2], format: 1), endStream: true))
        #expect(answer(7).status == "13")
        peer.send(Frames.request(9, "/test.Test/Echo", extra: gzip) + Frames.data(9, message + message, endStream: true))
        #expect(answer(9).status == "13")
        await test.stop()
    }
}
