// Flags that name a live server: those of etcdctl, with their variables.

import Client
import CommandLineTools
import LiveArchive
import Transport

/// Of the whole tool. Where a command has a `--key` for a key of the store, the file of the TLS key is `--cert-key`.
final class EndpointFlags {
    let endpoints: TypedFlag<[String]>
    private let dialTimeout: TypedFlag<Duration>
    private let commandTimeout: TypedFlag<Duration>
    private let skipVerify: TypedFlag<Bool>
    private let certificate: TypedFlag<String>
    private let certificateKey: TypedFlag<String>
    private let authority: TypedFlag<String>
    private let user: TypedFlag<String>
    private let password: TypedFlag<String>

    init(_ root: Command) {
        let flags = root.persistentFlags
        endpoints = flags.add("endpoints", [], "servers to read from, instead of a file")
        dialTimeout = flags.add("dial-timeout", .seconds(2), "dial timeout for client connections")
        commandTimeout = flags.add("command-timeout", .seconds(30), "timeout of each request")
        skipVerify = flags.add("insecure-skip-tls-verify", false, "skip server certificate verification")
        certificate = flags.add("cert", "", "identify secure client using this TLS certificate `file`")
        certificateKey = flags.add("cert-key", "", "identify secure client using this TLS key `file` (ETCDCTL_KEY)")
        authority = flags.add("cacert", "", "verify certificates of TLS-enabled secure servers using this CA bundle")
        user = flags.add("user", "", "username[:password] for authentication")
        password = flags.add("password", "", "password for authentication")
        root.environment = EnvironmentFallback(prefix: "ETCDCTL")
    }

    var isGiven: Bool { !endpoints.value.isEmpty }

    func open() throws -> LiveSource {
        var options = ClientOptions(endpoints: endpoints.value)
        options.dialTimeout = dialTimeout.value
        options.userAgent = "martlet-decoder/\(DecoderTool.version)"
        var tls = TLSClientSettings()
        tls.authorityFile = authority.value.isEmpty ? nil : authority.value
        let key = certificateKey.value.isEmpty ? ProcessEnvironment.value("ETCDCTL_KEY") ?? "" : certificateKey.value
        if !certificate.value.isEmpty || !key.isEmpty {
            guard !certificate.value.isEmpty, !key.isEmpty else { throw CommandFailure("--cert and --cert-key belong together") }
            tls.certificateFile = certificate.value
            tls.keyFile = key
        }
        tls.skipsVerification = skipVerify.value
        if tls != TLSClientSettings() { options.tls = tls }
        if !user.value.isEmpty {
            var name = user.value
            var secret = password.value
            if secret.isEmpty, let colon = name.firstIndex(of: ":") {
                secret = String(name[name.index(after: colon)...])
                name = String(name[..<colon])
            }
            options.credentials = (name, secret)
        }
        return try LiveSource(options, timeout: commandTimeout.value)
    }
}
