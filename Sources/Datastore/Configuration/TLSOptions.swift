// What the flags say about TLS: for the clients' ports and for the peers'.

import Transport

/// Files and rules of one side, as given; empty texts and lists for what was not.
public struct TLSOptions: Sendable, Equatable {
    public let certificateFile: String
    public let keyFile: String
    /// What this member shows when it connects to others; the server's pair when empty.
    public let clientCertificateFile: String
    public let clientKeyFile: String
    public let authorityFile: String
    public let revocationFile: String
    public let requiresCertificate: Bool
    public let allowedCommonNames: [String]
    public let allowedHostNames: [String]
    /// The addresses of those who connect are not compared with the names in their certificates.
    public let skipsAddressVerification: Bool
    /// Without files: a certificate of one's own making.
    public let isAutomatic: Bool

    /// Neither certificate nor key was given.
    public var isEmpty: Bool { certificateFile.isEmpty && keyFile.isEmpty }
    /// Whether connections can be encrypted: with given files or with made ones.
    public var isAvailable: Bool { !isEmpty || isAutomatic }

    /// Of the directory below the data directory's `fixtures` for a certificate of one's own making.
    public let name: String
}

/// What both sides have in common.
public struct TLSParameters: Sendable, Equatable {
    public let minimumVersion: TLSProtocolVersion
    public let maximumVersion: TLSProtocolVersion?
    /// As given, for the log.
    public let cipherSuiteNames: [String]
    /// Those of TLS 1.2 that are spoken; when there are none, the minimum is TLS 1.3.
    public let cipherSuites: [TLSCipherSuites.Suite]
    /// Life of a certificate of one's own making.
    public let selfSignedYears: UInt64
}

extension TLSOptions {
    /// The text that etcd logs.
    public var text: String {
        "cert = \(certificateFile), key = \(keyFile), client-cert=\(clientCertificateFile), client-key=\(clientKeyFile), "
            + "trusted-ca = \(authorityFile), client-cert-auth = \(requiresCertificate), crl-file = \(revocationFile)"
    }

    /// The same with a certificate of one's own making.
    func with(certificateFile: String, keyFile: String) -> TLSOptions {
        TLSOptions(
            certificateFile: certificateFile, keyFile: keyFile, clientCertificateFile: certificateFile,
            clientKeyFile: keyFile, authorityFile: "", revocationFile: "", requiresCertificate: false,
            allowedCommonNames: [], allowedHostNames: [], skipsAddressVerification: skipsAddressVerification,
            isAutomatic: true, name: name)
    }

    /// What a listener of this side is told.
    func serverSettings(_ parameters: TLSParameters, verifiesAddress: Bool) -> TLSServerSettings {
        var settings = TLSServerSettings(certificateFile: certificateFile, keyFile: keyFile)
        settings.authorityFile = authorityFile.isEmpty ? nil : authorityFile
        settings.requiresCertificate = requiresCertificate
        settings.revocationFile = revocationFile.isEmpty ? nil : revocationFile
        settings.allowedCommonNames = allowedCommonNames
        settings.allowedHostNames = allowedHostNames
        settings.verifiesAddress = verifiesAddress && !skipsAddressVerification
        settings.minimumVersion = parameters.minimumVersion
        settings.maximumVersion = parameters.maximumVersion
        settings.cipherSuites = parameters.cipherSuites
        return settings
    }

    /// Rules between the parts of one side that serves with given files.
    func check() throws(ConfigurationError) {
        func refusal(_ text: String) -> ConfigurationError { ConfigurationError(text, isStartFailure: true) }
        if certificateFile.isEmpty || keyFile.isEmpty {
            throw refusal("KeyFile and CertFile must both be present[key: \(keyFile), cert: \(certificateFile)]")
        }
        if clientCertificateFile.isEmpty != clientKeyFile.isEmpty {
            throw refusal(
                "ClientKeyFile and ClientCertFile must both be present or both absent: key: \(clientKeyFile), "
                    + "cert: \(clientCertificateFile)]")
        }
        if !allowedCommonNames.isEmpty && !allowedHostNames.isEmpty {
            throw refusal(
                "AllowedCNs and AllowedHostnames are mutually exclusive (cns=\(goList(allowedCommonNames)), "
                    + "hostnames=\(goList(allowedHostNames)))")
        }
    }

    private func goList(_ texts: [String]) -> String { "[" + texts.map(quoted).joined(separator: " ") + "]" }
}
