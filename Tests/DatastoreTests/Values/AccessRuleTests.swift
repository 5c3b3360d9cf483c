// The Host white list, cross-origin headers and query items of the plain HTTP side.

import Testing

@testable import Datastore
@testable import Transport

@Suite struct AccessRuleTests {
    @Test func anEmptyListOrAStarAllowsEveryHost() {
        for list in [[], ["*"], ["a", "*"]] as [[String]] {
            #expect(HostWhitelist.allows("evil.example:2379", list))
            #expect(HostWhitelist.allows("", list))
        }
    }

    @Test func hostsAreComparedWithoutTheirPort() {
        let list = ["a.example", "::1", "127.0.0.1", ":"]
        for host in ["a.example", "a.example:2379", "127.0.0.1:80", "127.0.0.1", "[::1]", "[::1]:2379", "::1"] {
            #expect(HostWhitelist.allows(host, list), "\(host)")
        }
        for host in ["b.example", "a.example.evil", "xa.example:1", "", ":2379", "[::2]:1", "a.example:1:2"] {
            #expect(!HostWhitelist.allows(host, list), "\(host)")
        }
        #expect(HostWhitelist.host(of: "[fe80::1%25eth0]:1") == "fe80::1%25eth0")
        #expect(HostWhitelist.explanation("h:1").contains("\"h\""))
    }

    private func headers(_ allowed: [String], origin: String?) -> HTTPFields {
        var sent = HTTPFields()
        if let origin { sent.add("oRiGiN", origin) }
        let request = HTTPRequest(
            method: "GET", path: "/", query: nil, authority: "h", headers: sent, body: [], version: .http1, remoteAddress: "", peerCommonName: nil)
        var result = HTTPFields()
        CORS(allowed, request).add(to: &result)
        return result
    }

    @Test func originsAreEchoedIfListed() {
        for origin in [nil, "http://a"] {
            #expect(headers(["*"], origin: origin)["access-control-allow-origin"] == "*")
        }
        #expect(headers(["http://a", "http://b"], origin: "http://b")["access-control-allow-origin"] == "http://b")
        for origin in [nil, "http://c", "http://a.evil", "null", ""] {
            #expect(headers(["http://a"], origin: origin)["access-control-allow-origin"] == nil)
        }
        // The others are there in any case.
        let always = headers(["http://a"], origin: nil)
        #expect(always["Access-Control-Allow-Methods"] == "POST, GET, OPTIONS, PUT, DELETE")
        #expect(always["Access-Control-Allow-Headers"] == "accept, content-type, authorization")
    }

    @Test func queryItemsAreDecoded() {
        let items = QueryItems("exclude=NOSPACE&verbose&exclude=a%2Fb+c&x=%zz&=v&&y=1=2&%65xclude=CORRUPT&t=%f")
        #expect(items.values("exclude") == ["NOSPACE", "a/b c", "CORRUPT"])
        #expect(items.has("verbose") && items.values("verbose") == [""])
        #expect(items.values("y") == ["1=2"])
        #expect(!items.has("nothing"))
        #expect(!QueryItems(nil).has(""))
        #expect(!QueryItems("").has(""))
        // A broken escape takes its item with it; a sign is no digit.
        #expect(!items.has("x") && !items.has("t"))
        for broken in ["a=%+1", "a=%", "a=%4", "a=%g0", "%=a"] { #expect(QueryItems(broken).values("a").isEmpty, "\(broken)") }
        #expect(QueryItems("a=%41%c3%BC").values("a") == ["Aü"])
    }
}
