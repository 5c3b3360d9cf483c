// TLS in the configuration: what is refused and in which words, what only warns, what reaches the listeners.

import DatastoreTracing
import Testing
import Transport

@testable import Datastore

@Suite struct TLSRuleTests {
    static let https = ["--listen-client-urls=https://127.0.0.1:1", "--advertise-client-urls=https://127.0.0.1:1"]

    /// Texts of etcd 3.5.30 and 3.7.
    @Test(arguments: [
        (https, "TLS key/cert (--cert-file, --key-file) must be provided for client url https://127.0.0.1:1 with HTTPS scheme"),
        (["--listen-client-urls=unixs://s:1", "--advertise-client-urls=unixs://s:1"],
            "TLS key/cert (--cert-file, --key-file) must be provided for client url unixs://s:1 with HTTPS scheme"),
        (["--listen-client-http-urls=https://127.0.0.1:3"],
            "TLS key/cert (--cert-file, --key-file) must be provided for client url https://127.0.0.1:3 with HTTPS scheme"),
        (https + ["--cert-file=/c"], "KeyFile and CertFile must both be present[key: , cert: /c]"),
        (https + ["--key-file=/k"], "KeyFile and CertFile must both be present[key: /k, cert: ]"),
        (https + ["--cert-file=/c", "--key-file=/k", "--client-cert-file=/d"],
            "ClientKeyFile and ClientCertFile must both be present or both absent: key: , cert: /d]"),
        (["--listen-peer-urls=https://127.0.0.1:4"],
            "cannot listen on TLS for 127.0.0.1:4: KeyFile and CertFile are not presented"),
        (["--listen-peer-urls=https://127.0.0.1:4", "--peer-cert-file=/c", "--peer-key-file=/k", "--peer-cert-allowed-cn=a",
            "--peer-cert-allowed-hostname=b,c"],
            "AllowedCNs and AllowedHostnames are mutually exclusive (cns=[\"a\"], hostnames=[\"b\" \"c\"])"),
        (["--listen-metrics-urls=https://127.0.0.1:5"],
            "client TLS key/cert (--cert-file, --key-file) must be provided for metrics secure url"),
        (["--cipher-suites=TLS_AES_128_GCM_SHA256", "--tls-max-version=TLS1.2"],
            "none of the TLS cipher suites is available for TLS1.2"),
    ] as [([String], String)])
    func whatIsMissingStopsTheStart(arguments: [String], reason: String) {
        #expect(Configuration.parse(arguments: arguments, environment: [:]) { nil }.startFailure == reason)
    }

    @Test func unusedFilesWarn() {
        let configuration = configure(
            "--cert-file=/c", "--key-file=/k", "--client-cert-auth", "--peer-cert-file=/c", "--peer-key-file=/k",
            "--peer-client-cert-auth", "--auto-tls", "--peer-auto-tls"
        ).configuration
        let client = "scheme is http or unix while"
        let peer = "scheme is HTTP while"
        for text in [
            "\(client) key and cert files are present; ignoring key and cert files",
            "\(client) --client-cert-auth is enabled; ignoring client cert auth for this URL",
            "\(peer) key and cert files are present; ignoring key and cert files",
            "\(peer) --peer-client-cert-auth is enabled; ignoring client cert auth for this URL",
            "ignoring client auto TLS since certs given", "ignoring peer auto TLS since certs given",
        ] {
            #expect(configuration?.hasLine(text) == true, "\(text)")
        }
        #expect(
            configuration?.lines("\(client) key and cert files are present; ignoring key and cert files").first?.fields
                == [.string("client-url", "http://localhost:2379")])
    }

    @Test func filesAreNotLookedAtWhenParsing() {
        #expect(Configuration.parse(arguments: Self.https + ["--auto-tls"], environment: [:]) { nil }.configuration != nil)
        let files = ["--cert-file=/nope", "--key-file=/nope", "--trusted-ca-file=/nope", "--client-crl-file=/nope"]
        #expect(Configuration.parse(arguments: Self.https + files, environment: [:]) { nil }.configuration != nil)
    }

    @Test func whatListenersAreTold() throws {
        let arguments = [
            "--cert-file=/c", "--key-file=/k", "--trusted-ca-file=/a", "--client-crl-file=/r",
            "--client-cert-allowed-hostname=b.example,a.example", "--tls-max-version=TLS1.2",
            "--cipher-suites=TLS_RSA_WITH_RC4_128_SHA,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            "--peer-cert-file=/pc", "--peer-key-file=/pk", "--peer-cert-allowed-cn=x", "--peer-client-cert-auth",
            "--peer-skip-client-san-verification",
        ]
        let configuration = try #require(
            Configuration.parse(arguments: Self.https + arguments, environment: [:]) { nil }.configuration)
        let parameters = configuration.tlsParameters
        let client = configuration.clientTLS.serverSettings(parameters, verifiesAddress: true)
        #expect(client.files == ["/c", "/k", "/a", "/r"])
        #expect(client.verifiesClients && !client.requiresCertificate && client.verifiesAddress)
        #expect(client.allowedHostNames == ["a.example", "b.example"])
        #expect(client.minimumVersion == .tls12 && client.maximumVersion == .tls12)
        #expect(client.cipherSuites == TLSCipherSuites.usable(["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]))
        #expect(client.cipherSuites.count == 1)
        #expect(
            configuration.lines("TLS cipher suites are not available in this build").first?.fields
                == [.strings("cipher-suites", ["TLS_RSA_WITH_RC4_128_SHA"])])
        let peer = configuration.peerTLS.serverSettings(parameters, verifiesAddress: true)
        #expect(peer.files == ["/pc", "/pk"] && peer.requiresCertificate && !peer.verifiesAddress)
        #expect(peer.allowedCommonNames == ["x"])
        #expect(
            configuration.clientTLS.text
                == "cert = /c, key = /k, client-cert=, client-key=, trusted-ca = /a, client-cert-auth = false, crl-file = /r")
    }

    @Test func suitesOfTLS13AloneMakeItTheMinimum() {
        let parameters = configure("--cipher-suites=TLS_AES_128_GCM_SHA256").configuration?.tlsParameters
        #expect(parameters?.minimumVersion == .tls13)
        #expect(parameters?.cipherSuites == [])
    }

    @Test func httpAndHttpsShareASocket() throws {
        let urls = try EndpointURL.list("http://127.0.0.1:1,https://127.0.0.1:1,https://localhost:1,unix://s:1,unixs://s:1,http://127.0.0.1:0,https://127.0.0.1:0")
        let plans = ListenPlan.of(urls)
        #expect(plans.map(\.address.description) == ["127.0.0.1:0", "127.0.0.1:1", "127.0.0.1:0", "s:1"])
        #expect(plans.map(\.isPlain) == [true, true, false, true])
        #expect(plans.map(\.isSecure) == [false, true, true, true])
    }
}
