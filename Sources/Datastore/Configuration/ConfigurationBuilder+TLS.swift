// TLS from the flags: the two sides, what they have in common, and which listeners need it.

import DatastoreTracing
import Transport

extension ConfigurationBuilder {
    func clientTLS() -> TLSOptions {
        TLSOptions(
            certificateFile: values.string("cert-file"), keyFile: values.string("key-file"),
            clientCertificateFile: values.string("client-cert-file"), clientKeyFile: values.string("client-key-file"),
            authorityFile: values.string("trusted-ca-file"), revocationFile: values.string("client-crl-file"),
            requiresCertificate: values.boolean("client-cert-auth"),
            allowedCommonNames: values.strings("client-cert-allowed-cn"),
            allowedHostNames: values.strings("client-cert-allowed-hostname"),
            skipsAddressVerification: values.boolean("client-skip-client-san-verification"),
            isAutomatic: values.boolean("auto-tls"), name: "client")
    }

    func peerTLS() -> TLSOptions {
        TLSOptions(
            certificateFile: values.string("peer-cert-file"), keyFile: values.string("peer-key-file"),
            clientCertificateFile: values.string("peer-client-cert-file"),
            clientKeyFile: values.string("peer-client-key-file"), authorityFile: values.string("peer-trusted-ca-file"),
            revocationFile: values.string("peer-crl-file"), requiresCertificate: values.boolean("peer-client-cert-auth"),
            allowedCommonNames: values.strings("peer-cert-allowed-cn"),
            allowedHostNames: values.strings("peer-cert-allowed-hostname"),
            skipsAddressVerification: values.boolean("peer-skip-client-san-verification"),
            isAutomatic: values.boolean("peer-auto-tls"), name: "peer")
    }

    mutating func tlsParameters() throws(ConfigurationError) -> TLSParameters {
        let names = values.strings("cipher-suites")
        let minimumText = values.string("tls-min-version")
        let maximumText = values.string("tls-max-version")
        for version in [minimumText, maximumText] where !version.isEmpty && TLSProtocolVersion(rawValue: version) == nil {
            throw ConfigurationError("unexpected TLS version \(quoted(version)) (must be one of: TLS1.2, TLS1.3)")
        }
        var minimum = TLSProtocolVersion(rawValue: minimumText) ?? .tls12
        let maximum = TLSProtocolVersion(rawValue: maximumText)
        if let maximum, minimum > maximum {
            throw ConfigurationError("min version (TLS1.3) is greater than max version (TLS1.2)")
        }
        if let unknown = names.first(where: { !TLSCipherSuites.isKnown($0) }) {
            throw ConfigurationError("unexpected TLS cipher suite \(quoted(unknown))", isStartFailure: true)
        }
        if !names.isEmpty && minimum == .tls13 {
            throw ConfigurationError("cipher suites cannot be configured when only TLS1.3 is enabled")
        }
        let unavailable = TLSCipherSuites.unavailable(names)
        if !unavailable.isEmpty {
            note(.warn, "TLS cipher suites are not available in this build", .strings("cipher-suites", unavailable))
        }
        let suites = names.isEmpty ? TLSCipherSuites.usual : TLSCipherSuites.usable(names)
        if suites.isEmpty {
            // Suites of TLS 1.3 alone, which Go does not let choose: nothing of TLS 1.2 can be spoken.
            guard maximum != .tls12 else {
                throw ConfigurationError("none of the TLS cipher suites is available for TLS1.2", isStartFailure: true)
            }
            minimum = .tls13
        }
        return TLSParameters(
            minimumVersion: minimum, maximumVersion: maximum, cipherSuiteNames: names, cipherSuites: suites,
            selfSignedYears: values.unsigned("self-signed-cert-validity"))
    }

    /// Whether each listener has the TLS that its URL needs; and lines about TLS that no URL uses.
    mutating func checkListeners(_ urls: Endpoints, client: TLSOptions, peer: TLSOptions) throws(ConfigurationError) {
        if client.isAutomatic && !client.isEmpty { note(.warn, "ignoring client auto TLS since certs given") }
        if peer.isAutomatic && !peer.isEmpty { note(.warn, "ignoring peer auto TLS since certs given") }
        for url in urls.listenPeer {
            if url.isSecure {
                guard peer.isAvailable else {
                    throw refusal("cannot listen on TLS for \(url.authority): KeyFile and CertFile are not presented")
                }
                if !peer.isEmpty { try peer.check() }
            } else if url.scheme == .http {
                noteUnused(peer, "scheme is HTTP", "--peer-client-cert-auth", .string("peer-url", url.text))
            }
        }
        for url in urls.listenClient + urls.listenClientHTTP {
            if url.isSecure {
                guard client.isAvailable else {
                    throw refusal(
                        "TLS key/cert (--cert-file, --key-file) must be provided for client url \(url) with HTTPS scheme")
                }
                if !client.isEmpty { try client.check() }
            } else {
                noteUnused(client, "scheme is http or unix", "--client-cert-auth", .string("client-url", url.text))
            }
        }
        if urls.listenMetrics.contains(where: \.isSecure) {
            guard client.isAvailable else {
                throw refusal("client TLS key/cert (--cert-file, --key-file) must be provided for metrics secure url")
            }
            if !client.isEmpty { try client.check() }
        }
    }

    private func refusal(_ text: String) -> ConfigurationError { ConfigurationError(text, isStartFailure: true) }

    private mutating func noteUnused(_ options: TLSOptions, _ scheme: String, _ flag: String, _ url: LogField) {
        if !options.isEmpty {
            note(.warn, "\(scheme) while key and cert files are present; ignoring key and cert files", url)
        }
        if options.requiresCertificate {
            note(.warn, "\(scheme) while \(flag) is enabled; ignoring client cert auth for this URL", url)
        }
    }
}
