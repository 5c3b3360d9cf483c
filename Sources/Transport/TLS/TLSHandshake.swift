// One connection's way into TLS: its first byte, the handshake, and whether the client may come in.

import NIOCore
import NIOPosix
import NIOSSL
import NIOTLS

#if canImport(Glibc)
import Glibc
#endif

/// First handler of a connection on a TLS port, until the client is let in; then it goes.
///
/// A connection that has sent nothing costs nothing: the library's handler, with its buffers, is put in front of this
/// one when the first bytes are there. What comes through it is kept back until the checks on the client's
/// certificate are done, as some of them ask a name server.
final class TLSHandshake: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private enum State {
        /// The client has sent nothing.
        case silent
        /// The client has sent something, but there are too many handshakes in progress.
        case queued
        case handshaking(TLSMaterial, NIOSSLServerHandler)
        /// The handshake succeeded; a name server is being asked about the client.
        case verifying
        case done
    }

    private static let handshakeRecord: UInt8 = 0x16

    private let server: TLSServer
    private let loop: ServerLoop
    private let takesPlainText: Bool
    private var state = State.silent
    private var context: ChannelHandlerContext?
    private var timer: Scheduled<Void>?
    /// The first bytes, for the name of the server in them, should it be wanted.
    private var hello = ByteBuffer()
    /// Decrypted bytes that came before the client was let in: those of one read.
    private var held: [ByteBuffer] = []
    private var holdsRead = false
    /// When there was room for it.
    private(set) var began: UInt64 = 0

    private(set) var isOpen = true
    /// It waits in the queue.
    private var isQueued = false

    init(_ server: TLSServer, _ loop: ServerLoop, takesPlainText: Bool) {
        self.server = server
        self.loop = loop
        self.takesPlainText = takesPlainText
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        server.observer.handshakeBegan()
        nonisolated(unsafe) let this = self
        timer = context.eventLoop.scheduleTask(in: .seconds(TransportLimits.tlsHandshakeSeconds)) { this.timedOut() }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        end(succeeded: false)
        self.context = nil
    }

    // MARK: Bytes

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch state {
        case .silent:
            let bytes = unwrapInboundIn(data)
            if takesPlainText, bytes.getInteger(at: bytes.readerIndex) != Self.handshakeRecord {
                state = .done
                end(succeeded: nil)
                context.fireChannelRead(data)
                context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
            } else {
                hello = bytes
                state = .queued
                isQueued = true
                loop.handshakes.add(self)
            }
        case .queued:
            var bytes = unwrapInboundIn(data)
            hello.writeBuffer(&bytes)
        case .handshaking: break
        case .verifying: held.append(unwrapInboundIn(data))
        case .done: context.fireChannelRead(data)
        }
    }

    /// There is room: at once, or at last.
    func begin() {
        isQueued = false
        began = monotonicNanoseconds()
        guard let context, case .queued = state else { return }
        let material = server.current()
        var configuration = NIOSSLHandler.Configuration()
        configuration.maximumPreservedOutboundBufferCapacity = TransportLimits.tlsKeptBytes
        let handler = NIOSSLServerHandler(context: material.context, configuration: configuration)
        state = .handshaking(material, handler)
        do { try context.pipeline.syncOperations.addHandler(handler, position: .before(self)) } catch {
            return context.close(promise: nil)
        }
        context.pipeline.fireChannelRead(hello)
        context.pipeline.fireChannelReadComplete()
        readOn(context)
    }

    func read(context: ChannelHandlerContext) {
        switch state {
        case .queued, .verifying: holdsRead = true
        default: context.read()
        }
    }

    private func readOn(_ context: ChannelHandlerContext) {
        guard holdsRead else { return }
        holdsRead = false
        context.read()
    }

    // MARK: The handshake's end

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case TLSUserEvent.handshakeCompleted? = event as? TLSUserEvent, case .handshaking(let material, let handler) = state {
            check(context, material, handler)
        }
        context.fireUserInboundEventTriggered(event)
    }

    private func check(_ context: ChannelHandlerContext, _ material: TLSMaterial, _ handler: NIOSSLServerHandler) {
        guard server.settings.verifiesClients, let presented = handler.peerCertificate else { return admit(context, nil) }
        let certificate = PeerCertificate(presented)
        let verdict = PeerCheck.judge(certificate, material, server.settings, address: context.channel.remoteAddress?.ipAddress)
        switch verdict {
        case .admitted: admit(context, certificate)
        case .refused(let reason): reject(context, reason, certificate)
        case .asksForNames(let address):
            state = .verifying
            nonisolated(unsafe) let this = self
            NIOThreadPool.singleton.runIfActive(eventLoop: context.eventLoop) {
                AddressNames.match(address, certificate.hostNames)
            }.whenComplete { this.named(certificate, (try? $0.get()) ?? .failure(TLSSetupError("no thread to look up names"))) }
        }
    }

    private func named(_ certificate: PeerCertificate, _ result: Result<Void, TLSSetupError>) {
        guard let context, case .verifying = state else { return }
        switch result {
        case .success: admit(context, certificate)
        case .failure(let error): reject(context, error.description, certificate)
        }
    }

    private func admit(_ context: ChannelHandlerContext, _ certificate: PeerCertificate?) {
        state = .done
        end(succeeded: true)
        let name = certificate?.commonName ?? ""
        context.fireUserInboundEventTriggered(PeerIdentity(commonName: name.isEmpty ? nil : name))
        let held = held
        self.held = []
        for bytes in held { context.fireChannelRead(wrapInboundOut(bytes)) }
        if !held.isEmpty { context.fireChannelReadComplete() }
        readOn(context)
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }

    // MARK: Failures

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard isOpen else { return context.fireErrorCaught(error) }
        var text = TLSFailure.text(error)
        var certificate: NIOSSLCertificate?
        if case .handshaking(_, let handler) = state, TLSFailure.isBadCertificate(error) {
            certificate = handler.peerCertificate
            if let certificate {
                text = "tls: failed to verify certificate: " + refusalText(of: certificate, now: time(nil))
            }
        }
        reject(context, text, certificate.map(PeerCertificate.init), isEndOfFile: TLSFailure.isEndOfFile(error))
    }

    func channelInactive(context: ChannelHandlerContext) {
        if isOpen { reject(context, "EOF", nil, isEndOfFile: true) }
        context.fireChannelInactive()
    }

    private func timedOut() {
        guard let context else { return }
        let local = describe(context.channel.localAddress)
        let remote = describe(context.channel.remoteAddress)
        reject(context, "read tcp \(local)->\(remote): i/o timeout", nil)
    }

    /// Others wait, and this one has had its time.
    func giveUp() {
        if let context { reject(context, "too many TLS handshakes", nil) }
    }

    private func reject(
        _ context: ChannelHandlerContext, _ reason: String, _ certificate: PeerCertificate?, isEndOfFile: Bool = false
    ) {
        guard isOpen else { return }
        state = .done
        held = []
        let rejection = TLSRejection(
            remoteAddress: describe(context.channel.remoteAddress),
            serverName: ClientHello.serverName(hello.readableBytesView) ?? "",
            names: certificate.map { ($0.addresses, $0.hostNames) }, error: reason, isEndOfFile: isEndOfFile)
        end(succeeded: false)
        server.observer.rejected(rejection)
        context.close(promise: nil)
    }

    /// Once. `succeeded`: nil when there was no handshake.
    private func end(succeeded: Bool?) {
        guard isOpen else { return }
        isOpen = false
        timer?.cancel()
        hello = ByteBuffer()
        if began > 0 || isQueued { loop.handshakes.ended(wasRunning: began > 0) }
        server.observer.handshakeEnded(succeeded: succeeded)
    }
}
