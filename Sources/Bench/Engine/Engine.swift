// The generator: connections on one event loop, and the calls on them.

import CShims
import Client
import NIOCore
import NIOPosix
import Transport
import Wire

#if canImport(Glibc)
import Glibc
#endif

/// How servers are reached.
struct EngineOptions: Sendable {
    /// Connection i goes to endpoint i, round.
    var endpoints: [String]
    var connections = 1
    var tls: TLSClientSettings?
    var token: String?
    /// Zero: the library's ten seconds.
    var dialTimeout = Duration.zero
}

/// A run could not begin, or had to stop.
struct EngineError: Error, CustomStringConvertible {
    let description: String
    init(_ text: String) { description = text }
}

/// Makes calls on many connections, all on one thread.
///
/// A call costs no allocation of ours, no task and no hop: a request is written into the connection's buffer, what is known of a
/// client stands in an array, and answers of one read are followed by the next requests in one write.
final class Engine: @unchecked Sendable {
    // Unchecked: confined to the loop, but for what is constant.
    let loop: any EventLoop
    let options: EngineOptions
    private let group: MultiThreadedEventLoopGroup
    private(set) var links: [EngineLink] = []
    var run: EngineRun?
    var runs = 0
    var streams: [any StreamHandler] = []
    var isClosed = false

    // A call's tag: the client or stream, whether it is a stream, and the run.
    static let indexTags: UInt64 = (1 << 32) - 1
    static let streamTag: UInt64 = 1 << 32
    static let runTags: UInt64 = ~0 << 33

    init(_ options: EngineOptions) {
        self.options = options
        group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        loop = group.next()
    }

    /// Makes the connections.
    func connect() async throws {
        let targets = try Endpoint.targets(options)
        let links = (0..<options.connections).map { EngineLink(engine: self, index: $0, target: targets[$0 % targets.count]) }
        try await loop.submit { self.links = links }.get()
        var next = 0
        while next < links.count {
            let part = links[next..<min(next + BenchLimits.dialsAtOnce, links.count)]
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                for link in part { tasks.addTask { try await link.connect() } }
                try await tasks.waitForAll()
            }
            next += part.count
        }
    }

    /// Closes all connections and waits until they are.
    func close() async {
        try? await loop.submit {
            self.isClosed = true
            for link in self.links { link.connection?.close() }
        }.get()
        try? await group.shutdownGracefully()
    }

    // MARK: Runs

    /// Makes calls until there are enough, and returns what they took.
    func perform(_ workload: Workload, _ settings: RunSettings, progress: Progress? = nil) async throws -> RunOutcome {
        try await loop.flatSubmit {
            precondition(self.run == nil, "two runs at a time")
            let run = EngineRun(self, workload, settings, self.loop.makePromise(of: RunOutcome.self), progress)
            self.run = run
            run.begin()
            return run.promise.futureResult
        }.get()
    }

    // MARK: Streams; on the loop

    /// Opens a stream on a connection.
    func open(_ path: String, on index: Int, _ handler: any StreamHandler) -> OpenStream? {
        let link = links[index % links.count]
        guard let connection = link.connection, connection.isOpen else { return nil }
        let tag = Engine.streamTag | UInt64(streams.count)
        guard let call = connection.open(link.method(path), tag: tag) else { return nil }
        streams.append(handler)
        return OpenStream(connection: connection, call: call)
    }

    /// Runs on the loop; what is queued on several connections is sent at its end.
    func onLoop<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
        try await loop.submit(body).get()
    }

    // MARK: What links tell

    func lost(_ link: EngineLink) {
        guard !isClosed else { return }
        run?.lost(link)
        link.reconnect()
    }
}

/// A stream that is open.
struct OpenStream {
    let connection: ClientConnection
    let call: ClientCall

    func send(_ write: (ByteSink) -> Void) { connection.send(call, write) }
    func cancel() { connection.cancel(call) }
}

/// Where connections go.
struct Endpoint: Sendable {
    let address: ListenAddress
    let authority: String
    let tls: TLSClient?

    static func targets(_ options: EngineOptions) throws -> [Endpoint] {
        guard !options.endpoints.isEmpty else { throw EngineError("no endpoints available") }
        return try options.endpoints.map { text in
            let trimmed = text.split(separator: " ").joined()
            guard let address = ServerAddress(trimmed) else { throw EngineError("endpoint \"\(text)\" cannot be parsed") }
            let isSecure = address.scheme == .secure || (options.tls != nil && address.scheme == .unspecified)
            var tls: TLSClient?
            if isSecure {
                var settings = options.tls ?? TLSClientSettings()
                if settings.serverName == nil { settings.serverName = address.host }
                do throws(TLSSetupError) { tls = try TLSClient(settings) } catch { throw EngineError("bad tls config: \(error.description)") }
            }
            if let path = address.path { return Endpoint(address: .unix(path: path), authority: "localhost", tls: tls) }
            let host = address.host.isEmpty ? "127.0.0.1" : address.host
            let name = host.contains(":") ? "[\(host)]" : host
            return Endpoint(address: .host(host, port: address.port), authority: "\(name):\(address.port)", tls: tls)
        }
    }
}
