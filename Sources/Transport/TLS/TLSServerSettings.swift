// What a TLS listener is told: files, who may connect, versions and cipher suites.

import NIOSSL

/// Versions of the protocol that are spoken.
public enum TLSProtocolVersion: String, Sendable, Comparable {
    case tls12 = "TLS1.2"
    case tls13 = "TLS1.3"

    public static func < (left: Self, right: Self) -> Bool { left == .tls12 && right == .tls13 }

    var value: TLSVersion { self == .tls12 ? .tlsv12 : .tlsv13 }
}

/// Settings of the server's side of TLS. The files are read when a `TLSServer` is made, and again when they change.
public struct TLSServerSettings: Sendable, Equatable {
    /// PEM: the server's certificate, then the intermediate ones.
    public var certificateFile: String
    /// PEM: its private key.
    public var keyFile: String
    /// PEM: authorities that sign client certificates; nil asks clients for none, unless `requiresCertificate`.
    public var authorityFile: String?
    /// Clients must show a certificate that an authority of the file (without one: of the system) has signed.
    public var requiresCertificate = false
    /// PEM or DER: serial numbers of certificates that are refused.
    public var revocationFile: String?
    /// When not empty: the common name of a client's certificate must be one of these.
    public var allowedCommonNames: [String] = []
    /// When not empty: a client's certificate must be good for one of these host names.
    public var allowedHostNames: [String] = []
    /// The address that a client comes from must be one that its certificate names, if it names any.
    public var verifiesAddress = false
    public var minimumVersion = TLSProtocolVersion.tls12
    public var maximumVersion: TLSProtocolVersion?
    /// Of TLS 1.2. Without any, the library's own list counts: the minimum is TLS 1.3 then, so that none is spoken.
    public var cipherSuites: [TLSCipherSuites.Suite] = TLSCipherSuites.usual

    public init(certificateFile: String, keyFile: String) {
        self.certificateFile = certificateFile
        self.keyFile = keyFile
    }

    /// Whether connections without a good client certificate are refused.
    public var verifiesClients: Bool { requiresCertificate || authorityFile != nil }

    /// Every file that is read, and looked at for changes.
    public var files: [String] {
        [certificateFile, keyFile] + (authorityFile.map { [$0] } ?? []) + (revocationFile.map { [$0] } ?? [])
    }
}

/// Why TLS cannot be set up, in Go's words where it has some: operators look for them.
public struct TLSSetupError: Error, Sendable, Equatable, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}
