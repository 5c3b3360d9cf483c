// The connection state machine fed with bytes in the test's own thread, without sockets: thousands of conversations a
// second, recorded ones among them, damaged and cut into pieces in every way.

import NIOCore
import NIOEmbedded
import Testing
import Wire

@testable import Transport

#if canImport(Glibc)
import Glibc
#endif

@Suite(.serialized) struct ConnectionFuzzTests {
    private static let soak = getenv("MARTLET_SOAK").flatMap { Int(String(cString: $0)) } ?? 1
    private static let firstSeed = getenv("MARTLET_SEED").flatMap { UInt64(String(cString: $0)) } ?? 1

    /// What real clients sent, one connection a file (`Corpus/`), and what once went wrong.
    private static let corpus: [[UInt8]] = {
        let directory = String(describing: #filePath).split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/") + "/Corpus"
        guard let stream = opendir(directory) else { return [] }
        defer { closedir(stream) }
        var files: [[UInt8]] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(cString: $0.baseAddress!.assumingMemoryBound(to: CChar.self)) }
            guard name.hasSuffix(".bin"), let file = fopen(directory + "/" + name, "r") else { continue }
            defer { fclose(file) }
            var bytes = [UInt8](repeating: 0, count: 1 << 20)
            let count = fread(&bytes, 1, bytes.count, file)
            files.append(Array(bytes[..<count]))
        }
        return files
    }()

    /// A connection without a socket, and everything behind it.
    private final class Bench {
        let channel = EmbeddedChannel()
        let loop: ServerLoop
        let endpoint: Endpoint
        let silent = SilentMethod()

        init(seed: UInt64) {
            loop = ServerLoop(index: 0, eventLoop: channel.eventLoop)
            var table = MethodTable()
            // The names that the recorded conversations call.
            for (service, methods) in [("etcdserverpb.KV", ["Range", "Put", "Txn", "DeleteRange"]), ("test.Test", ["Echo"])] {
                for name in methods { table.add(service: service, method: name, kind: .unary, EchoMethod()) }
            }
            for (service, name) in [("etcdserverpb.Watch", "Watch"), ("etcdserverpb.Lease", "LeaseKeepAlive"), ("test.Test", "EchoStream")] {
                table.add(service: service, method: name, kind: .bidirectional, EchoStream())
            }
            table.add(service: "test.Test", method: "Silent", kind: .unary, silent)
            var configuration = ServerConfiguration()
            configuration.receiveMessageBytesMax = 100_000
            endpoint = Endpoint(Services(methods: table, http: seed % 3 == 0 ? nil : TestWeb()), configuration, nil)
        }

        func connect() throws {
            try channel.pipeline.syncOperations.addHandler(ProtocolDetector(loop: loop, endpoint: endpoint, remoteAddress: "@"))
            try channel.connect(to: SocketAddress(unixDomainSocketPath: "/nobody")).wait()
        }

        /// Feeds a piece, as a read of the socket would; false when the connection is gone.
        func feed(_ bytes: ArraySlice<UInt8>) -> Bool {
            guard channel.isActive else { return false }
            _ = try? channel.writeInbound(ByteBuffer(bytes: bytes))
            channel.embeddedEventLoop.run()
            while let out = try? channel.readOutbound(as: ByteBuffer.self) { _ = out }
            return channel.isActive
        }

        func close() -> [Int] {
            // A connection that the server has closed already says so.
            _ = try? channel.finish(acceptAlreadyClosed: true)
            channel.embeddedEventLoop.run()
            loop.calls.checkInvariants()
            return [
                loop.calls.takenCount, loop.deadlineCount, loop.counters.callsOpen.value, loop.counters.queuedBytes.value,
                loop.counters.receivedPartialBytes.value,
            ]
        }
    }

    private func conversation(_ random: inout SeededGenerator) -> [UInt8] {
        if !Self.corpus.isEmpty, random.next() % 3 == 0 { return Self.corpus[Int(random.next() % UInt64(Self.corpus.count))] }
        var bytes = Frames.preface + Frames.settings
        let paths = ["/test.Test/Echo", "/test.Test/EchoStream", "/test.Test/Silent", "/etcdserverpb.KV/Range", "/etcdserverpb.Watch/Watch", "/test.Test/Nope", "/version"]
        for number in 0..<Int.random(in: 1...8, using: &random) {
            let stream = UInt32(2 * number + 1)
            let path = paths.randomElement(using: &random)!
            let encoding: [(String, String)] = random.next() % 8 == 0 ? [("grpc-encoding", "gzip")] : []
            bytes += Frames.request(stream, path, method: path == "/version" ? "GET" : "POST", contentType: path == "/version" ? nil : "application/grpc", extra: encoding)
            for _ in 0..<Int.random(in: 0...3, using: &random) {
                let size = random.next() % 5 == 0 ? 20_000 : Int.random(in: 0...30, using: &random)
                let message = Frames.message(random.bytes(size), format: random.next() % 20 == 0 ? 1 : 0)
                for start in stride(from: 0, to: message.count, by: 16_000) {
                    bytes += Frames.data(stream, Array(message[start..<min(start + 16_000, message.count)]))
                }
            }
            switch Int.random(in: 0...7, using: &random) {
            case 0: bytes += Frames.reset(stream)
            case 1: bytes += Frames.ping(UInt8(number))
            case 2: bytes += Frames.window(Bool.random(using: &random) ? 0 : stream, UInt32.random(in: 0...100_000, using: &random))
            case 3: bytes += Frames.frame(4, 0, 0, [0, 4, 0, 0, UInt8(random.next() & 255), 0])
            case 4: break
            default: bytes += Frames.data(stream, [], endStream: true)
            }
        }
        return bytes
    }

    private func mutate(_ bytes: [UInt8], _ random: inout SeededGenerator) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 0...5, using: &random) {
            guard bytes.count > 40 else { break }
            let position = Int.random(in: (random.next() % 20 == 0 ? 0 : 24)..<bytes.count, using: &random)
            switch Int.random(in: 0...5, using: &random) {
            case 0: bytes[position] ^= 1 << UInt8.random(in: 0...7, using: &random)
            case 1: bytes[position] = UInt8.random(in: 0...255, using: &random)
            case 2: bytes.removeSubrange(position..<min(bytes.count, position + Int.random(in: 1...30, using: &random)))
            case 3: bytes.insert(contentsOf: random.bytes(Int.random(in: 1...30, using: &random)), at: position)
            case 4:
                // A part of it again, somewhere else.
                let length = Int.random(in: 1...100, using: &random)
                bytes.insert(contentsOf: bytes[position..<min(bytes.count, position + length)], at: Int.random(in: 24..<bytes.count, using: &random))
            default: bytes = Array(bytes[..<position])
            }
        }
        return bytes
    }

    @Test func conversationsLeaveNothingBehind() throws {
        for round in 0..<UInt64(400 * Self.soak) {
            let seed = Self.firstSeed &* 1_000_003 &+ round
            var random = SeededGenerator(seed: seed)
            let bytes = mutate(conversation(&random), &random)
            let bench = Bench(seed: seed)
            try bench.connect()
            var offset = 0
            let pieces = random.next() % 3
            while offset < bytes.count {
                let size = pieces == 0 ? bytes.count : Int.random(in: 1...(pieces == 1 ? 20 : 3000), using: &random)
                let end = min(bytes.count, offset + size)
                guard bench.feed(bytes[offset..<end]) else { break }
                offset = end
            }
            #expect(bench.close() == [0, 0, 0, 0, 0], "seed \(seed)")
        }
    }

    @Test func recordedConversationsAreUnderstood() throws {
        #expect(!Self.corpus.isEmpty)
        for bytes in Self.corpus {
            let bench = Bench(seed: 1)
            try bench.connect()
            _ = bench.feed(bytes[...])
            #expect(bench.loop.counters.callsStarted.value > 0 && bench.loop.counters.connectionsRejected.value == 0)
            #expect(bench.close() == [0, 0, 0, 0, 0])
        }
    }
}
