// One connection of the generator, made again when it is lost.

import CShims
import NIOCore
import NIOPosix
import Transport
import Wire

#if canImport(Glibc)
import Glibc
#endif

final class EngineLink: ClientObserver, @unchecked Sendable {
    // Unchecked: confined to the engine's loop, but for what is constant.
    private unowned let engine: Engine
    let index: Int
    private let target: Endpoint
    @exclusivity(unchecked) private(set) var connection: ClientConnection?
    private var methods: [String: ClientMethod] = [:]
    /// Of the workload that runs, by index.
    @exclusivity(unchecked) var runMethods: [ClientMethod] = []
    private(set) var lastFailure = "the connection is closed"
    private var isConnecting = false

    init(engine: Engine, index: Int, target: Endpoint) {
        self.engine = engine
        self.index = index
        self.target = target
    }

    func method(_ path: String) -> ClientMethod {
        if let made = methods[path] { return made }
        let made = ClientMethod(
            path: path, authority: target.authority, userAgent: "martlet-bench", isSecure: target.tls != nil,
            metadata: engine.options.token.map { [("token", $0)] } ?? [])
        methods[path] = made
        return made
    }

    func connect() async throws {
        var configuration = ClientConfiguration()
        configuration.tls = target.tls
        if engine.options.dialTimeout > .zero {
            configuration.connectMilliseconds = max(1, Int(engine.options.dialTimeout / .milliseconds(1)))
        }
        do {
            let made = try await ClientConnection.connect(
                to: target.address, on: engine.loop, configuration: configuration, observer: self)
            try await engine.loop.submit {
                guard made.isOpen else { throw EngineError("connection closed before server preface received") }
                self.connection = made
            }.get()
        } catch {
            throw EngineError("dial \(target.address): \(Self.describe(error))")
        }
    }

    private static func describe(_ error: any Error) -> String {
        if let error = error as? IOError { return "connect: " + String(cString: strerror(error.errnoCode)).lowercased() }
        if case .connectTimeout = error as? ChannelError { return "i/o timeout" }
        return "\(error)"
    }

    func reconnect() {
        guard !isConnecting, !engine.isClosed else { return }
        isConnecting = true
        engine.loop.scheduleTask(in: .milliseconds(BenchLimits.reconnectMilliseconds)) {
            Task {
                do {
                    try await self.connect()
                    self.engine.loop.execute {
                        self.isConnecting = false
                        self.engine.run?.connected(self)
                    }
                } catch {
                    self.engine.loop.execute {
                        self.isConnecting = false
                        self.lastFailure = "\(error)"
                        self.reconnect()
                    }
                }
            }
        }
    }

    // MARK: ClientObserver

    func received(_ call: ClientCall, tag: UInt64, _ message: UnsafeRawBufferPointer) {
        if tag & Engine.streamTag == 0 {
            guard let run = engine.run, run.tag == tag & Engine.runTags else { return }
            run.workload.received(Int(tag & Engine.indexTags), message)
        } else {
            engine.streams[Int(tag & Engine.indexTags)].received(message)
        }
    }

    func finished(_ call: ClientCall, tag: UInt64, status: StatusCode, message: String) {
        if tag & Engine.streamTag == 0 {
            // A run that gave up on its calls is told nothing more.
            guard let run = engine.run, run.tag == tag & Engine.runTags else { return }
            run.finished(Int(tag & Engine.indexTags), status, message)
        } else if !engine.isClosed {
            engine.streams[Int(tag & Engine.indexTags)].ended("rpc error: code = \(status.name) desc = \(message)")
        }
    }

    func closed() {
        guard connection != nil else { return }
        connection = nil
        engine.lost(self)
    }
}
