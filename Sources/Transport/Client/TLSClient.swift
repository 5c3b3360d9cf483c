// The client's side of TLS: whom to trust, what to show, and the handshake of one connection.

import NIOCore
import NIOSSL
import NIOTLS

#if canImport(Glibc)
import Glibc
#endif

/// Settings of the client's side of TLS.
public struct TLSClientSettings: Sendable, Equatable {
    /// PEM: authorities that servers' certificates must be signed by; nil for those of the system.
    public var authorityFile: String?
    /// PEM: a certificate to show to servers that ask for one, and its key; both or neither.
    public var certificateFile: String?
    public var keyFile: String?
    /// The name that the server's certificate must have; nil for the host that is connected to.
    public var serverName: String?
    /// Any certificate of the server is good. For tests, and for peers with certificates of their own making.
    public var skipsVerification = false
    public var minimumVersion = TLSProtocolVersion.tls12
    public var maximumVersion: TLSProtocolVersion?
    /// Protocols offered to the server. Peers of a cluster offer none.
    public var protocols = ["h2"]

    public init() {}

    var files: [String] { [authorityFile, certificateFile, keyFile].compactMap { $0 } }
}

/// TLS on the client's side; one for any number of connections. Each handshake is made with the files as they are
/// then; files that cannot be used leave the former in use.
public final class TLSClient: Sendable {
    public let settings: TLSClientSettings
    private let source: Reloading<NIOSSLContext>

    /// Reads the files.
    public init(_ settings: TLSClientSettings) throws(TLSSetupError) {
        self.settings = settings
        source = try Reloading(settings.files) { (contents, _) throws(TLSSetupError) in
            try Self.context(settings, contents)
        }
    }

    private static func context(
        _ settings: TLSClientSettings, _ contents: [Result<[UInt8], TLSSetupError>]
    ) throws(TLSSetupError) -> NIOSSLContext {
        var contents = contents[...]
        var configuration = TLSConfiguration.makeClientConfiguration()
        TLSMaterial.apply(settings.minimumVersion, settings.maximumVersion, TLSCipherSuites.usual, to: &configuration)
        configuration.applicationProtocols = settings.protocols
        configuration.shutdownTimeout = .milliseconds(TransportLimits.tlsCloseMilliseconds)
        if settings.authorityFile != nil {
            configuration.trustRoots = .certificates(
                try TLSMaterial.certificates(try contents.removeFirst().get(), "authority"))
        }
        switch (settings.certificateFile, settings.keyFile) {
        case (nil, nil): break
        case (_?, _?):
            let chain = try TLSMaterial.certificates(try contents.removeFirst().get(), "certificate")
            configuration.certificateChain = chain.map { .certificate($0) }
            configuration.privateKey = .privateKey(try TLSMaterial.privateKey(try contents.removeFirst().get()))
        default: throw TLSSetupError("KeyFile and CertFile must both be present")
        }
        // The library would take a certificate that is good for the address instead of the name.
        configuration.certificateVerification = settings.skipsVerification ? .none : .noHostnameVerification
        return try TLSMaterial.context(configuration)
    }

    /// Puts the handlers into a new connection; `isReady` is completed when the handshake is.
    func addHandlers(to channel: any Channel, _ address: ListenAddress, isReady: EventLoopPromise<Void>) throws {
        var name = settings.serverName ?? ""
        if name.isEmpty, case .host(let host, _) = address { name = host }
        // Addresses are not sent as names.
        let sent = name.isEmpty || addressBytes(name) != nil ? nil : name
        do {
            let handler = try NIOSSLClientHandler(context: source.current().material, serverHostname: sent)
            try channel.pipeline.syncOperations.addHandler(handler)
            let verified = settings.skipsVerification ? nil : name
            try channel.pipeline.syncOperations.addHandler(TLSClientHandshake(isReady, handler, verified))
        } catch {
            isReady.fail(error)
            throw error
        }
    }
}

/// Behind the library's handler until the handshake has ended.
private final class TLSClientHandshake: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    private var isReady: EventLoopPromise<Void>?
    private var timer: Scheduled<Void>?
    private let handler: NIOSSLClientHandler
    /// What the server's certificate must be good for; nil for anything.
    private let name: String?

    init(_ isReady: EventLoopPromise<Void>, _ handler: NIOSSLClientHandler, _ name: String?) {
        self.isReady = isReady
        self.handler = handler
        self.name = name
    }

    func handlerAdded(context: ChannelHandlerContext) {
        nonisolated(unsafe) let this = self
        nonisolated(unsafe) let context = context
        timer = context.eventLoop.scheduleTask(in: .seconds(TransportLimits.tlsHandshakeSeconds)) {
            this.fail(TLSSetupError("TLS handshake timeout"))
            context.close(promise: nil)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) { fail(TLSSetupError("EOF")) }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case TLSUserEvent.handshakeCompleted? = event as? TLSUserEvent {
            if let refusal {
                fail(refusal)
                return context.close(promise: nil)
            }
            timer?.cancel()
            isReady?.succeed()
            isReady = nil
            context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
        }
        context.fireUserInboundEventTriggered(event)
    }

    private var refusal: TLSSetupError? {
        guard let name else { return nil }
        guard let certificate = handler.peerCertificate.map(PeerCertificate.init) else { return TLSSetupError("no certificate") }
        guard !certificate.isValid(for: name) else { return nil }
        let names = (certificate.hostNames + certificate.addresses).joined(separator: ", ")
        return TLSSetupError("tls: failed to verify certificate: x509: certificate is valid for \(names), not \(name)")
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        fail(TLSSetupError(text(error)))
        context.fireErrorCaught(error)
    }

    func channelInactive(context: ChannelHandlerContext) {
        fail(TLSSetupError("EOF"))
        context.fireChannelInactive()
    }

    /// BoringSSL says of a certificate only that it is not good.
    private func text(_ error: any Error) -> String {
        guard TLSFailure.isBadCertificate(error) else { return TLSFailure.text(error) }
        var reason = "x509: certificate signed by unknown authority"
        if let certificate = handler.peerCertificate {
            let now = time(nil)
            if now > certificate.notValidAfter || now < certificate.notValidBefore {
                reason = "x509: certificate has expired or is not yet valid"
            }
        }
        return "tls: failed to verify certificate: " + reason
    }

    private func fail(_ error: TLSSetupError) {
        timer?.cancel()
        isReady?.fail(error)
        isReady = nil
    }
}
