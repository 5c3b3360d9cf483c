// One reading of the files: what handshakes are made with until a file changes.

import NIOCore
import NIOSSL

#if canImport(Glibc)
import Glibc
#endif

/// Keys, certificates and revoked numbers that belong together. Immutable: a connection keeps that with which it began.
final class TLSMaterial: Sendable {
    let context: NIOSSLContext
    /// When the server's own certificate expires, in seconds since 1970.
    let notAfter: Int
    let revocations: Result<RevocationList, TLSSetupError>?

    /// - Parameter contents: of `settings.files`, in that order.
    init(_ settings: TLSServerSettings, _ contents: [Result<[UInt8], TLSSetupError>]) throws(TLSSetupError) {
        var contents = contents[...]
        let chain = try Self.certificates(try contents.removeFirst().get(), "certificate")
        let key = try Self.privateKey(try contents.removeFirst().get())
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
        Self.apply(settings.minimumVersion, settings.maximumVersion, settings.cipherSuites, to: &configuration)
        configuration.applicationProtocols = ["h2", "http/1.1"]
        configuration.shutdownTimeout = .milliseconds(TransportLimits.tlsCloseMilliseconds)
        if settings.authorityFile != nil {
            let authorities = try Self.certificates(try contents.removeFirst().get(), "authority")
            configuration.trustRoots = .certificates(authorities)
            configuration.sendCANameList = true
        }
        if settings.verifiesClients { configuration.certificateVerification = .noHostnameVerification }
        revocations = settings.revocationFile.map { path in
            Result { () throws(TLSSetupError) in try RevocationList(try contents.removeFirst().get(), path: path) }
        }
        notAfter = chain[0].notValidAfter
        context = try Self.context(configuration)
    }

    // MARK: Common to server and client

    static func apply(
        _ minimum: TLSProtocolVersion, _ maximum: TLSProtocolVersion?, _ suites: [TLSCipherSuites.Suite],
        to configuration: inout TLSConfiguration
    ) {
        configuration.minimumTLSVersion = minimum.value
        configuration.maximumTLSVersion = maximum?.value
        // Without suites of TLS 1.2 the minimum is TLS 1.3, and the list does not count.
        if !suites.isEmpty { configuration.cipherSuiteValues = suites.map(\.value) }
        // BoringSSL's own list lacks what etcd's self-signed certificates have: P-521.
        configuration.verifySignatureAlgorithms = [
            .ecdsaSecp256R1Sha256, .ecdsaSecp384R1Sha384, .ecdsaSecp521R1Sha512, .ed25519, .rsaPssRsaeSha256,
            .rsaPssRsaeSha384, .rsaPssRsaeSha512, .rsaPkcs1Sha256, .rsaPkcs1Sha384, .rsaPkcs1Sha512,
        ]
        configuration.curves = [.x25519_MLKEM768, .x25519, .secp256r1, .secp384r1, .secp521r1]
        configuration.renegotiationSupport = .none
    }

    static func certificates(_ bytes: [UInt8], _ what: String) throws(TLSSetupError) -> [NIOSSLCertificate] {
        let found: [NIOSSLCertificate]
        do { found = try NIOSSLCertificate.fromPEMBytes(bytes) } catch {
            throw TLSSetupError("tls: failed to find any PEM data in \(what) input")
        }
        guard !found.isEmpty else { throw TLSSetupError("tls: failed to find any PEM data in \(what) input") }
        return found
    }

    static func privateKey(_ bytes: [UInt8]) throws(TLSSetupError) -> NIOSSLPrivateKey {
        do { return try NIOSSLPrivateKey(bytes: bytes, format: .pem) } catch {
            throw TLSSetupError("tls: failed to find any PEM data in key input")
        }
    }

    static func context(_ configuration: TLSConfiguration) throws(TLSSetupError) -> NIOSSLContext {
        do { return try NIOSSLContext(configuration: configuration) } catch {
            let text = "\(error)"
            // Certificate and key have been read each for itself: what is left to fail is that they belong together.
            let isMismatch = (error as? NIOSSLError) == .failedToLoadPrivateKey
            throw TLSSetupError(isMismatch ? "tls: private key does not match public key" : "tls: \(text)")
        }
    }
}
