// The handlers of an HTTP/1 connection, and how they make way for WebSocket.

import NIOCore
import NIOHTTP1
import NIOWebSocket

/// Keeps the handlers that have to go when a connection changes its protocol.
final class HTTP1Pipeline {
    let headerGuard: HTTP1HeaderGuard
    private let encoder = HTTPResponseEncoder()
    private let decoder = ByteToMessageHandler(HTTPRequestDecoder(leftOverBytesStrategy: .forwardBytes))
    private let pipelining = HTTPServerPipelineHandler()
    private let validator = NIOHTTPResponseHeadersValidator()
    private let errors = HTTPServerProtocolErrorHandler()

    init(_ headerGuard: HTTP1HeaderGuard) { self.headerGuard = headerGuard }

    func add(to pipeline: ChannelPipeline.SynchronousOperations, _ handler: HTTP1Handler) throws {
        try pipeline.addHandler(headerGuard)
        try pipeline.addHandlers([encoder, decoder, pipelining, validator, errors, handler])
    }

    /// Answers the upgrade and puts `socket` in the place of the HTTP handlers. False when the channel has gone meanwhile.
    func becomeWebSocket(
        _ context: ChannelHandlerContext, removing handler: HTTP1Handler, answer: String, _ socket: WebSocketHandler
    ) -> Bool {
        let pipeline = context.pipeline.syncOperations
        do {
            pipeline.removeHandler(handler, promise: nil)
            pipeline.removeHandler(errors, promise: nil)
            pipeline.removeHandler(validator, promise: nil)
            pipeline.removeHandler(pipelining, promise: nil)
            pipeline.removeHandler(encoder, promise: nil)
            context.channel.writeAndFlush(ByteBuffer(string: answer), promise: nil)
            try pipeline.addHandler(WebSocketFrameEncoder())
            try pipeline.addHandler(ByteToMessageHandler(WebSocketFrameDecoder(maxFrameSize: socket.frameBytesMax)))
            try pipeline.addHandler(socket)
            // It is decoding: it goes when it comes back to itself, and passes on what follows the request.
            pipeline.removeHandler(decoder, promise: nil)
            return true
        } catch {
            context.close(promise: nil)
            return false
        }
    }
}
