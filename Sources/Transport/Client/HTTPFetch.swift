// One GET over HTTP/1.1, for tools that look at a server's metrics.

import NIOCore
import NIOHTTP1
import NIOPosix

/// Why there is no body.
public struct HTTPFetchError: Error, Sendable, CustomStringConvertible {
    public let description: String
    /// Of an answer that is not 200.
    public let status: UInt?

    init(description: String, status: UInt? = nil) {
        self.description = description
        self.status = status
    }
}

public enum HTTPFetch {
    /// The body of an answer 200.
    ///
    /// - Parameters:
    ///   - bytesMax: a longer body is an error.
    ///   - seconds: limit of the whole exchange.
    public static func get(
        _ path: String, from address: ListenAddress, tls: TLSClient?, bytesMax: Int, seconds: Int64 = 10,
        on group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
    ) async throws -> [UInt8] {
        let loop = group.next()
        let isReady = loop.makePromise(of: Void.self)
        let body = loop.makePromise(of: [UInt8].self)
        if tls == nil { isReady.succeed() }
        let bootstrap = ClientBootstrap(group: loop).connectTimeout(.seconds(seconds)).channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                if let tls { try tls.addHandlers(to: channel, address, isReady: isReady) }
                try channel.pipeline.syncOperations.addHTTPClientHandlers()
                try channel.pipeline.syncOperations.addHandler(BodyCollector(body, bytesMax))
            }
        }
        let channel: any Channel
        do { channel = try await bootstrap.connect(to: try address.socketAddress()).get() } catch {
            isReady.fail(error)
            body.fail(error)
            throw error
        }
        let timer = loop.scheduleTask(in: .seconds(seconds)) { body.fail(HTTPFetchError(description: "no answer in \(seconds) s")) }
        defer {
            timer.cancel()
            channel.close(promise: nil)
        }
        do { try await isReady.futureResult.get() } catch {
            body.fail(error)
            throw error
        }
        var head = HTTPRequestHead(version: .http1_1, method: .GET, uri: path)
        head.headers.add(name: "host", value: "\(address)")
        head.headers.add(name: "connection", value: "close")
        channel.write(HTTPClientRequestPart.head(head), promise: nil)
        channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
        return try await body.futureResult.get()
    }
}

/// Gathers the body.
private final class BodyCollector: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart

    private let promise: EventLoopPromise<[UInt8]>
    private let bytesMax: Int
    private var body: [UInt8] = []

    init(_ promise: EventLoopPromise<[UInt8]>, _ bytesMax: Int) {
        self.promise = promise
        self.bytesMax = bytesMax
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            if head.status != .ok { fail(context, "HTTP status \(head.status.code)", status: head.status.code) }
        case .body(let part):
            guard body.count + part.readableBytes <= bytesMax else { return fail(context, "an answer of more than \(bytesMax) bytes") }
            body += part.readableBytesView
        case .end: promise.succeed(body)
        }
    }

    private func fail(_ context: ChannelHandlerContext, _ text: String, status: UInt? = nil) {
        promise.fail(HTTPFetchError(description: text, status: status))
        context.close(promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        promise.fail(error)
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) { promise.fail(HTTPFetchError(description: "the connection is closed")) }
}
