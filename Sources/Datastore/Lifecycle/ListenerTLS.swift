// TLS for the listeners: certificates read or made at start, before any data is touched.

import DatastoreTracing
import Glibc
import Storage
import Transport

/// The TLS of each kind of listener; nil where none of its URLs asks for it, and then nothing of TLS is loaded.
struct ListenerTLS: Sendable {
    let client: TLSServer?
    /// As the clients', but their addresses are compared with their certificates.
    let metrics: TLSServer?
    let peer: TLSServer?
    /// Those of one's own making, to be renewed in time.
    let automatic: [AutomaticCertificate]

    init(_ configuration: Configuration, log: Log, metrics families: TLSMetrics) throws {
        let parameters = configuration.tlsParameters
        var made: [AutomaticCertificate] = []
        var peerOptions = configuration.peerTLS
        if peerOptions.isAutomatic && peerOptions.isEmpty {
            made.append(try Self.automatic(peerOptions, configuration, configuration.listenPeerURLs, log))
            peerOptions = peerOptions.with(certificateFile: made.last!.certificateFile, keyFile: made.last!.keyFile)
        }
        if !peerOptions.isEmpty {
            log.info(
                "starting with peer TLS", .string("tls-info", peerOptions.text),
                .strings("cipher-suites", parameters.cipherSuiteNames))
        }
        let clientURLs = configuration.listenClientURLs + configuration.listenClientHTTPURLs
        var clientOptions = configuration.clientTLS
        if clientOptions.isAutomatic && clientOptions.isEmpty {
            made.append(try Self.automatic(clientOptions, configuration, clientURLs, log))
            clientOptions = clientOptions.with(certificateFile: made.last!.certificateFile, keyFile: made.last!.keyFile)
        }
        if !clientOptions.isEmpty {
            log.info(
                "starting with client TLS", .string("tls-info", clientOptions.text),
                .strings("cipher-suites", parameters.cipherSuiteNames))
        }
        func server(_ options: TLSOptions, _ urls: [EndpointURL], verifiesAddress: Bool) throws -> TLSServer? {
            guard urls.contains(where: \.isSecure) else { return nil }
            do {
                if !options.clientCertificateFile.isEmpty {
                    try TLSServer.check(certificateFile: options.clientCertificateFile, keyFile: options.clientKeyFile)
                }
                return try TLSServer(
                    options.serverSettings(parameters, verifiesAddress: verifiesAddress),
                    observer: TLSEvents(side: options.name, log: log, metrics: families))
            } catch {
                throw StartError(error.description, message: "listener failed")
            }
        }
        automatic = made
        peer = try server(peerOptions, configuration.listenPeerURLs, verifiesAddress: true)
        client = try server(clientOptions, clientURLs, verifiesAddress: false)
        metrics = try server(clientOptions, configuration.listenMetricsURLs, verifiesAddress: true)
    }

    /// A side with a certificate of its own making, from before or from now.
    private static func automatic(
        _ options: TLSOptions, _ configuration: Configuration, _ urls: [EndpointURL], _ log: Log
    ) throws -> AutomaticCertificate {
        let directory = absolute(configuration.dataDirectory) + "/fixtures/" + options.name
        let made = AutomaticCertificate(
            directory: directory, hosts: urls.filter { !$0.portText.isEmpty }.map(\.host),
            years: configuration.tlsParameters.selfSignedYears)
        do {
            try made.prepare(log: log)
        } catch {
            throw StartError(
                (error as? TLSSetupError)?.description ?? "\(error)",
                message: "failed to get \(options.name) self-signed certs")
        }
        return made
    }

    private static func absolute(_ path: String) -> String {
        guard !path.hasPrefix("/"), let current = getcwd(nil, 0) else { return path }
        defer { free(current) }
        return String(cString: current) + "/" + path
    }
}
