// TLS between this client and this server: who gets in, what is told of those who do not, files that change.

import NIOCore
import Synchronization
import Testing
import Wire

@testable import Transport

/// Remembers what it is told.
final class TLSEventLog: TLSObserver {
    struct Events: Sendable {
        var began = 0
        var ended: [Bool?] = []
        var rejections: [TLSRejection] = []
        var reloads = 0
        var failures: [TLSSetupError] = []
    }
    private let state = Mutex(Events())
    var events: Events { state.withLock { $0 } }

    func handshakeBegan() { state.withLock { $0.began += 1 } }
    func handshakeEnded(succeeded: Bool?) { state.withLock { $0.ended.append(succeeded) } }
    func rejected(_ rejection: TLSRejection) { state.withLock { $0.rejections.append(rejection) } }
    func loaded(notAfter: Int) {}
    func reloaded(notAfter: Int) { state.withLock { $0.reloads += 1 } }
    func reloadFailed(_ error: TLSSetupError) { state.withLock { $0.failures.append(error) } }
}

/// A server with TLS, its certificates and what was told of it.
struct SecureServer {
    let authority: TestAuthority
    let events = TLSEventLog()
    let tls: TLSServer
    let server: TestServer

    static func start(
        plainToo: Bool = false, prepare: (TestAuthority) throws -> Void = { _ in },
        _ change: (inout TLSServerSettings, TestAuthority) throws -> Void = { _, _ in }
    ) async throws -> SecureServer {
        let authority = try TestAuthority()
        try authority.make("server")
        try prepare(authority)
        var settings = TLSServerSettings(certificateFile: authority.path("server.crt"), keyFile: authority.path("server.key"))
        try change(&settings, authority)
        return try await SecureServer(authority, settings, plainToo)
    }

    private init(_ authority: TestAuthority, _ settings: TLSServerSettings, _ plainToo: Bool) async throws {
        self.authority = authority
        tls = try TLSServer(settings, observer: events)
        var options = ListenOptions()
        options.tls = tls
        options.servesPlainText = plainToo
        server = try await TestServer.start(options: options)
    }

    func settings(_ name: String? = nil, authority: String = "ca1") -> TLSClientSettings {
        var settings = TLSClientSettings()
        settings.authorityFile = self.authority.path("\(authority).crt")
        settings.certificateFile = name.map { self.authority.path("\($0).crt") }
        settings.keyFile = name.map { self.authority.path("\($0).key") }
        return settings
    }

    func client(_ settings: TLSClientSettings) async throws -> TestClient {
        var configuration = ClientConfiguration()
        configuration.tls = try TLSClient(settings)
        return try await server.client(configuration)
    }

    /// Whether a client with the settings gets an answer. (In TLS 1.3 a client learns only after its handshake that
    /// it was not let in.)
    func serves(_ settings: TLSClientSettings) async throws -> Bool {
        do {
            let client = try await client(settings)
            let outcome = await client.unary("/test.Test/Echo", [1, 2, 3])
            await client.close()
            return outcome.code == .ok
        } catch is TLSSetupError {
            return false
        }
    }

    func rejection(_ count: Int = 1) async throws -> TLSRejection {
        let events = events
        try await server.until("\(count) rejections") { _ in events.events.rejections.count >= count }
        return events.events.rejections[count - 1]
    }

    func stop() async throws {
        await server.stop()
        #expect(events.events.began == events.events.ended.count, "every handshake that began has ended")
    }
}

@Suite(.serialized) struct TLSTests {
    @Test func aCallGetsThrough() async throws {
        let secure = try await SecureServer.start()
        let client = try await secure.client(secure.settings())
        let large = [UInt8](repeating: 7, count: 1_000_000)
        #expect(await client.unary("/test.Test/Echo", large).messages == [large])
        await client.close()
        var named = secure.settings()
        named.serverName = "localhost"
        #expect(try await secure.serves(named))
        #expect(secure.events.events.rejections == [])
        try await secure.server.checkNothingLeft()
        try await secure.stop()
    }

    @Test func aServerThatIsNotTrustedIsLeft() async throws {
        let secure = try await SecureServer.start()
        #expect(try await !secure.serves(secure.settings(authority: "ca2")))
        #expect(try await secure.rejection().error == "remote error: tls: unknown certificate authority")
        var other = secure.settings()
        other.serverName = "other.example"
        #expect(try await !secure.serves(other))
        other.skipsVerification = true
        #expect(try await secure.serves(other))
        try await secure.stop()
    }

    @Test(arguments: [TLSProtocolVersion.tls12, .tls13])
    func clientsMustShowTheirCertificates(version: TLSProtocolVersion) async throws {
        let secure = try await SecureServer.start { authority in
            try authority.make("good", commonName: "root")
            try authority.make("stranger", by: "ca2")
            try authority.make("expired", days: -1)
            try authority.make("server-only", usage: "serverAuth")
        } _: { settings, authority in
            settings.authorityFile = authority.path("ca1.crt")
            settings.maximumVersion = version
        }
        #expect(try await secure.serves(secure.settings("good")))
        let refusals = [
            (nil, "tls: client didn't provide a certificate"),
            ("stranger", "tls: failed to verify certificate: x509: certificate signed by unknown authority"),
            ("expired", "tls: failed to verify certificate: x509: certificate has expired or is not yet valid"),
            ("server-only", "tls: failed to verify certificate: x509: certificate specifies an incompatible key usage"),
        ] as [(String?, String)]
        for (position, (name, reason)) in refusals.enumerated() {
            #expect(try await !secure.serves(secure.settings(name)), "\(name ?? "none")")
            let rejection = try await secure.rejection(position + 1)
            #expect(rejection.error == reason)
            #expect(rejection.names?.hostNames == (name == nil ? nil : ["localhost"]))
            #expect(rejection.names?.addresses == (name == nil ? nil : ["127.0.0.1"]))
        }
        #expect(secure.events.events.ended.filter { $0 == true }.count == 1)
        try await secure.stop()
    }

    @Test func handlersKnowTheCommonName() async throws {
        let secure = try await SecureServer.start { try $0.make("good", commonName: "root") } _: {
            $0.authorityFile = $1.path("ca1.crt")
        }
        let client = try await secure.client(secure.settings("good"))
        #expect(await client.unary("/test.Test/WhoAmI", []).messages.map { String(decoding: $0, as: UTF8.self) } == ["root"])
        await client.close()
        try await secure.stop()
    }

    @Test(arguments: ["ec -pkeyopt ec_paramgen_curve:P-521", "rsa:2048", "ed25519"])
    func everyKindOfKeyThatGoTakes(key: String) async throws {
        let secure = try await SecureServer.start { authority in
            try authority.make("server", key: key)
            try authority.make("good", key: key)
        } _: {
            $0.authorityFile = $1.path("ca1.crt")
        }
        #expect(try await secure.serves(secure.settings("good")))
        try await secure.stop()
    }

    @Test func revokedAndForeignCertificatesAreRefused() async throws {
        for file in ["crl.pem", "crl.der"] {
            let secure = try await SecureServer.start { authority in
                try authority.make("good", serial: 0x1234)
                try authority.make("revoked", serial: 0xff01)
                try authority.revoke([0xff01, 2])
            } _: {
                $0.authorityFile = $1.path("ca1.crt")
                $0.revocationFile = $1.path(file)
            }
            #expect(try await secure.serves(secure.settings("good")))
            #expect(try await !secure.serves(secure.settings("revoked")))
            #expect(try await secure.rejection().error == "transport: certificate serial ff01 revoked")
            try secure.authority.revoke([0x1234])
            #expect(try await !secure.serves(secure.settings("good")))
            #expect(try await secure.serves(secure.settings("revoked")))
            try secure.authority.shell("rm \(file)")
            #expect(try await !secure.serves(secure.settings("good")), "the last good list stays in force")
            #expect(secure.events.events.failures.count == 1)
            try await secure.stop()
        }
    }

    @Test func namesDecide() async throws {
        let secure = try await SecureServer.start { authority in
            try authority.make("a", commonName: "a", names: "DNS:*.pods.example,IP:127.0.0.2")
            try authority.make("b", commonName: "b", names: "DNS:b.example")
        } _: {
            $0.authorityFile = $1.path("ca1.crt")
            $0.allowedHostNames = ["x.pods.example"]
        }
        #expect(try await secure.serves(secure.settings("a")))
        #expect(try await !secure.serves(secure.settings("b")))
        #expect(try await secure.rejection().error == "client certificate authentication failed")
        try await secure.stop()

        let named = try await SecureServer.start { authority in
            try authority.make("a", commonName: "a")
            try authority.make("b", commonName: "b")
        } _: {
            $0.authorityFile = $1.path("ca1.crt")
            $0.allowedCommonNames = ["b"]
        }
        #expect(try await !named.serves(named.settings("a")))
        #expect(try await named.serves(named.settings("b")))
        try await named.stop()
    }

    @Test func addressesAreComparedWithCertificates() async throws {
        let secure = try await SecureServer.start { authority in
            try authority.make("here")
            try authority.make("elsewhere", names: "IP:10.0.0.1")
            try authority.make("by-name", names: "DNS:localhost")
            try authority.make("by-wrong-name", names: "DNS:invalid.invalid")
        } _: {
            $0.authorityFile = $1.path("ca1.crt")
            $0.verifiesAddress = true
        }
        #expect(try await secure.serves(secure.settings("here")))
        #expect(try await secure.serves(secure.settings("by-name")))
        #expect(try await !secure.serves(secure.settings("elsewhere")))
        #expect(try await secure.rejection().error == "x509: certificate is valid for 10.0.0.1, not 127.0.0.1")
        #expect(try await !secure.serves(secure.settings("by-wrong-name")))
        #expect(
            try await secure.rejection(2).error == "tls: \"127.0.0.1\" does not match any of DNSNames [\"invalid.invalid\"]")
        try await secure.stop()
    }

    // MARK: Files that change

    @Test func changedFilesAreUsedByTheNextHandshake() async throws {
        let secure = try await SecureServer.start { try $0.make("good") } _: { $0.authorityFile = $1.path("ca1.crt") }
        let established = try await secure.client(secure.settings("good"))
        // The server's certificate now is another authority's, and so must the clients' be.
        try secure.authority.make("server", by: "ca2")
        try secure.authority.make("new", by: "ca2")
        #expect(try await !secure.serves(secure.settings("good")))
        #expect(try await secure.serves(secure.settings("good", authority: "ca2")))
        try secure.authority.shell("cp ca1.crt saved.crt; cat ca1.crt ca2.crt > both.crt; mv both.crt ca1.crt")
        #expect(try await secure.serves(secure.settings("new", authority: "ca2")))
        #expect(try await secure.serves(secure.settings("good", authority: "ca2")))
        try secure.authority.shell("cp ca2.crt ca1.crt")
        #expect(try await secure.serves(secure.settings("new", authority: "ca2")))
        #expect(try await !secure.serves(secure.settings("good", authority: "ca2")))
        #expect(await established.unary("/test.Test/Echo", [1]).code == .ok, "connections outlive the files they were made with")
        await established.close()
        #expect(secure.events.events.failures == [])
        #expect(secure.events.events.reloads == 3)
        try await secure.stop()
    }

    @Test func brokenFilesLeaveTheFormerInUse() async throws {
        let secure = try await SecureServer.start { try $0.make("good") } _: { $0.authorityFile = $1.path("ca1.crt") }
        let authority = secure.authority
        let good = try authority.text("server.crt")
        let breakages: [(String, String)] = [
            ("echo nonsense > server.crt", "tls: failed to find any PEM data in certificate input"),
            ("rm server.crt", "open \(authority.path("server.crt")): no such file or directory"),
            ("cp good.crt server.crt", "tls: private key does not match public key"),
        ]
        for (position, (script, reason)) in breakages.enumerated() {
            try authority.shell(script)
            #expect(try await secure.serves(secure.settings("good")), "\(script)")
            #expect(secure.events.events.failures.last?.description == reason)
            #expect(try await secure.serves(secure.settings("good")))
            #expect(secure.events.events.failures.count == position + 1, "one line for one change")
        }
        try authority.write("server.crt", good)
        #expect(try await secure.serves(secure.settings("good")))
        #expect(secure.events.events.reloads == 1)
        try await secure.stop()
    }

    @Test func aServerWithoutUsableFilesIsNotMade() throws {
        let authority = try TestAuthority()
        try authority.make("server")
        var settings = TLSServerSettings(certificateFile: authority.path("server.crt"), keyFile: authority.path("ca1.key"))
        #expect(throws: TLSSetupError("tls: private key does not match public key")) {
            try TLSServer(settings, observer: TLSEventLog())
        }
        settings.keyFile = "/nope"
        #expect(throws: TLSSetupError("open /nope: no such file or directory")) {
            try TLSServer(settings, observer: TLSEventLog())
        }
        settings.keyFile = authority.path("server.key")
        settings.authorityFile = authority.path("server.key")
        #expect(throws: TLSSetupError.self) { try TLSServer(settings, observer: TLSEventLog()) }
    }

    // MARK: One port for both

    @Test func plainTextBesideTLS() async throws {
        let secure = try await SecureServer.start(plainToo: true)
        let plain = try await secure.server.client()
        #expect(await plain.unary("/test.Test/Echo", [1]).code == .ok)
        await plain.close()
        #expect(try await secure.serves(secure.settings()))
        let peer = try RawPeer(port: secure.server.port)
        peer.send(Array("GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".utf8))
        #expect(String(decoding: peer.receiveAll(), as: UTF8.self).hasPrefix("HTTP/1.1 "))
        #expect(secure.events.events.ended.filter { $0 == nil }.count == 2)
        try await secure.stop()
    }

    @Test func plainTextOnATLSPortIsRefused() async throws {
        let secure = try await SecureServer.start()
        let peer = try RawPeer(port: secure.server.port)
        peer.send(Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8))
        _ = peer.receiveAll()
        let rejection = try await secure.rejection()
        #expect(rejection.error == "tls: first record does not look like a TLS handshake")
        #expect(!rejection.isEndOfFile)
        try await secure.stop()
    }

    // MARK: Limits

    @Test func clientsThatOnlyConnectAreForgotten() async throws {
        let secure = try await SecureServer.start()
        let events = secure.events
        do {
            let peer = try RawPeer(port: secure.server.port)
            try await secure.server.until("a handshake") { _ in events.events.began == 1 }
            #expect(await secure.server.onLoop { $0.handshakes.count } == 0, "who says nothing takes no place")
            _ = peer
        }
        #expect(try await secure.rejection().isEndOfFile)
        try await secure.stop()
    }

    @Test func stalledHandshakesMakeRoom() async throws {
        let secure = try await SecureServer.start()
        let events = secure.events
        var peers: [RawPeer] = []
        for _ in 0..<TransportLimits.tlsHandshakesMax + 100 {
            let peer = try RawPeer(port: secure.server.port)
            peer.send([0x16, 3, 1])
            peers.append(peer)
        }
        #expect(try await secure.serves(secure.settings()), "who waits gets the place of a stalled one")
        #expect(events.events.rejections.contains { $0.error == "too many TLS handshakes" })
        #expect(await secure.server.onLoop { $0.handshakes.count } <= TransportLimits.tlsHandshakesMax)
        peers.removeAll()
        try await secure.server.until("an empty queue") { $0.handshakes.count == 0 }
        #expect(try await secure.serves(secure.settings()))
        try await secure.stop()
    }
}
