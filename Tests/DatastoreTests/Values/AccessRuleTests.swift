// The Host white list, cross-origin headers and query items of the plain HTTP side.

import Testing

@testable import Datastore

@Suite struct AccessRuleTests {
    @Test func anEmptyListOrAStarAllowsEveryHost() {
        for list in [[], ["*"], ["a", "*"]] as [[String]] {
            #expect(HostWhitelist(list).allows("evil.example:2379"))
            #expect(HostWhitelist(list).allows(""))
        }
    }

    @Test func hostsAreComparedWithoutTheirPort() {
        let list = HostWhitelist(["a.example", "::1", "127.0.0.1", ":"])
        for host in ["a.example", "a.example:2379", "127.0.0.1:80", "127.0.0.1", "[::1]", "[::1]:2379", "::1"] {
            #expect(list.allows(host), "\(host)")
        }
        for host in ["b.example", "a.example.evil", "xa.example:1", "", ":2379", "[::2]:1", "a.example:1:2"] {
            #expect(!list.allows(host), "\(host)")
        }
        #expect(HostWhitelist.host(of: "[fe80::1%25eth0]:1") == "fe80::1%25eth0")
        #expect(HostWhitelist.explanation("h").contains("--host-whitelist \"h\""))
    }

    @Test func originsAreEchoedIfListed() {
        for list in [[], ["*"], ["http://a", "*"]] as [[String]] {
            for origin in [nil, "http://a"] { #expect(AllowedOrigins(list).answer(to: origin) == "*") }
        }
        let listed = AllowedOrigins(["http://a:1", "http://b:1"])
        #expect(listed.answer(to: "http://b:1") == "http://b:1")
        for origin in [nil, "http://c:1", "http://a:1.evil", "http://a", "null", ""] { #expect(listed.answer(to: origin) == nil) }
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
