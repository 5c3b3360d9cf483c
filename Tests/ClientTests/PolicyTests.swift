import Testing
import Wire

@testable import Client

struct PolicyTests {
    private func decide(_ error: ClientError, _ isRepeatable: Bool, attempt: Int = 1, token: Bool = true) -> RetryPolicy.Decision {
        RetryPolicy.decide(error, isRepeatable: isRepeatable, attempt: attempt, canRenewToken: token)
    }

    @Test func writesAreRepeatedOnlyWhenNobodySawThem() {
        let seen = ClientError(.unavailable, "the connection is closed")
        let unseen = ClientError(.unavailable, "refused", wasSent: false)
        #expect(decide(seen, false) == .fail)
        #expect(decide(unseen, false) == .again)
        #expect(decide(seen, true) == .again)
        #expect(decide(seen, true, attempt: ClientLimits.attemptsMax) == .fail)
        #expect(decide(ClientError(.deadlineExceeded, "x", wasSent: false), true) == .fail)
        #expect(decide(ClientError(CallError.compacted), true) == .fail)
    }

    @Test func tokensAreRenewed() {
        #expect(decide(ClientError(CallError.invalidAuthToken), false) == .renewToken)
        #expect(decide(ClientError(CallError.invalidAuthToken), false, token: false) == .fail)
        #expect(decide(ClientError(CallError.authFailed), true) == .fail)
    }

    @Test(arguments: [
        ("127.0.0.1:2379", "127.0.0.1", 2379, "127.0.0.1:2379"), ("http://a.b:1/", "a.b", 1, "a.b:1"),
        ("https://[::1]:2379", "::1", 2379, "[::1]:2379"), ("https://a", "a", 443, "a:443"), ("a", "a", 80, "a:80"),
    ])
    func endpoints(_ text: String, _ host: String, _ port: Int, _ authority: String) throws {
        let address = try #require(ServerAddress(text))
        #expect(address.host == host && address.port == port && address.authority == authority && address.path == nil)
    }

    @Test func sockets() throws {
        let address = try #require(ServerAddress("unixs:///run/a.sock"))
        #expect(address.path == "/run/a.sock" && address.scheme == .secure)
        #expect(ServerAddress("unix://")?.path == nil)
        #expect(ServerAddress("") == nil && ServerAddress("a:b") == nil && ServerAddress("a:99999") == nil)
    }

    @Test func prefixes() {
        #expect(KeyRange.end(ofPrefix: [0x61]) == [0x62])
        #expect(KeyRange.end(ofPrefix: [0x61, 0xff]) == [0x62])
        #expect(KeyRange.end(ofPrefix: [0xff]) == [0])
        #expect(KeyRange.prefix("").bounds == ([0], [0]))
        #expect(KeyRange.key("a").bounds == ([0x61], []))
    }
}
