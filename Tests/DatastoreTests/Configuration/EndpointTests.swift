// URLs, binding and advertising rules, the bootstrap map.

import DatastoreTracing
import Testing

@testable import Datastore

struct EndpointTests {
    @Test func urlsComeApart() throws {
        let plain = try EndpointURL(" http://localhost:2379 ")
        #expect(plain.scheme == .http && plain.host == "localhost" && plain.port == 2379 && !plain.isSecure)
        #expect(plain.bindHost == "127.0.0.1")
        #expect(plain.text == "http://localhost:2379")
        let v6 = try EndpointURL("https://[::1]:0")
        #expect(v6.host == "::1" && v6.port == 0 && v6.isSecure && v6.authority == "[::1]:0")
        let file = try EndpointURL("unix://localhost:2379")
        #expect(file.socketPath == "localhost:2379" && file.isUnix && plain.socketPath == nil)
        #expect(try EndpointURL("unix:///run/m.sock").socketPath == "/run/m.sock")
        #expect(try EndpointURL("unixs://a/b").socketPath == "a/b")
        // As Go reads URLs: no user, no query, escapes; one colon, and digits behind it.
        for (text, path) in [("unix://@abc", "abc"), ("unix://u:p@h:1", "h:1"), ("unix://h:1?x=1", "h:1"), ("unix:///a%20b#c", "/a b"), ("unix://a/%62", "a/b")] {
            #expect(try EndpointURL(text).socketPath == path)
        }
        for text in ["unix://a:b:c", "unix://a:1:2", "unix://a:x", "unix://", "unix:///a%2", "unix:///a%zz", "unix:///a%00", "unix:///%+1", "unix://%61/b", "unix:rel"] {
            #expect(throws: EndpointURL.Invalid.self, "\(text)") { try EndpointURL(text) }
        }
        #expect(try EndpointURL("http://:2379").host.isEmpty)
    }

    @Test(arguments: [
        ("localhost:2379", "URL scheme must be http, https, unix, or unixs: localhost:2379"),
        ("ftp://a:1", "URL scheme must be http, https, unix, or unixs: ftp://a:1"),
        ("http://localhost", "URL address does not have the form \"host:port\": http://localhost"),
        ("http://::1:2379", "URL address does not have the form \"host:port\": http://::1:2379"),
        ("http://a:1/", "URL must not contain a path: http://a:1/"),
        ("http://a:1/x", "URL must not contain a path: http://a:1/x"),
        ("http://a:b", "parse \"http://a:b\": invalid port \":b\" after host"),
    ] as [(String, String)])
    func badURLsAreToldApart(text: String, reason: String) {
        #expect(throws: EndpointURL.Invalid(reason: reason)) { try EndpointURL(text) }
    }

    @Test func listsAreSortedWithoutDuplicates() throws {
        let urls = try EndpointURL.list("http://b:1, http://a:2,http://b:1")
        #expect(urls.map(\.text) == ["http://a:2", "http://b:1"])
    }

    @Test(arguments: ["http://0.0.0.0:1", "http://[::]:1", "http://localhost:0", "unix://x:1"])
    func listenersMayBeBound(url: String) {
        #expect(configure("--listen-client-urls=\(url)", "--advertise-client-urls=http://a:1").configuration?.listenClientURLs.first?.text == url)
    }

    @Test func aNameCannotBeBound() {
        #expect(
            configure("--listen-client-urls=http://example.com:1", "--advertise-client-urls=http://a:1").refusal
                == "expected IP in URL for binding (http://example.com:1)")
        #expect(configure("--listen-peer-urls=http://:2380").refusal == "expected IP in URL for binding (http://:2380)")
        #expect(configure("--listen-metrics-urls=http://host:1").refusal == "expected IP in URL for binding (http://host:1)")
    }

    @Test func anEmptyListIsNoListener() {
        #expect(configure("--listen-peer-urls=").configuration?.listenPeerURLs == [])
        #expect(configure("--listen-metrics-urls=").configuration?.listenMetricsURLs == [])
    }

    @Test func anAdvertisedURLNeedsAHost() {
        #expect(
            configure("--advertise-client-urls=http://:1").refusal
                == "--advertise-client-urls \"http://:1\" must be \"host:port\" (unexpected empty host (http://:1))")
    }

    @Test func listenersAreWhatWasGiven() {
        let configuration = configure(
            "--listen-client-urls=http://127.0.0.1:1,http://127.0.0.1:0", "--advertise-client-urls=http://a:1",
            "--listen-metrics-urls=http://127.0.0.1:9", "--listen-client-http-urls=http://127.0.0.1:8"
        ).configuration
        #expect(configuration?.listenClientURLs.map(\.text) == ["http://127.0.0.1:0", "http://127.0.0.1:1"])
        #expect(configuration?.listenMetricsURLs.map(\.port) == [9])
        #expect(configuration?.listenClientHTTPURLs.map(\.port) == [8])
        #expect(configuration?.hasLine("Running http and grpc server on single port") == false)
        #expect(configure().configuration?.hasLine("Running http and grpc server on single port") == true)
        #expect(configure("--listen-client-http-urls=http://localhost:2379").startFailure
                == "cannot bind both --client-listen-urls and --client-listen-http-urls on the same url http://localhost:2379")
    }

    @Test func onlyTheNameMakesTheBootstrapMap() {
        let configuration = configure(
            "--name=m1", "--initial-advertise-peer-urls=http://10.0.0.1:2380,http://10.0.0.2:2380"
        ).configuration
        #expect(configuration?.initialCluster.text == "m1=http://10.0.0.1:2380,m1=http://10.0.0.2:2380")
        #expect(configuration?.initialCluster.members["m1"]?.count == 2)
        #expect(configure().configuration?.initialCluster.text == "default=http://localhost:2380")
        // What was given stays, also when it lacks the name: a first start then refuses it.
        let other = configure("--name=m1", "--initial-cluster=m2=http://localhost:2380").configuration
        #expect(
            other?.initialCluster.refusal(name: "m1", advertisedPeerURLs: other!.advertisePeerURLs)
                == ConfigurationError(
                    "couldn't find local name \"m1\" in the initial cluster configuration", isStartFailure: true))
    }

    @Test func theBootstrapMapMustMatchWhatIsAdvertised() throws {
        let cluster = try InitialCluster("a=http://localhost:2380")
        let spelled = try EndpointURL.list("http://127.0.0.1:2380")
        let resolve: (EndpointURL) -> String = { $0.host == "localhost" ? "127.0.0.1:\($0.portText)" : $0.authority }
        #expect(cluster.refusal(name: "a", advertisedPeerURLs: spelled, resolve: resolve) == nil)
        #expect(cluster.refusal(name: "a", advertisedPeerURLs: try EndpointURL.list("http://localhost:2380")) == nil)
        let more = try EndpointURL.list("http://127.0.0.1:2380,http://127.0.0.1:9")
        #expect(
            cluster.refusal(name: "a", advertisedPeerURLs: more, resolve: resolve)?.description
                == "--initial-cluster has a=http://localhost:2380 but missing from --initial-advertise-peer-urls=http://127.0.0.1:2380,http://127.0.0.1:9 (resolved urls: \"http://127.0.0.1:2380,http://127.0.0.1:9\" != \"http://localhost:2380\")")
        let exact = try EndpointURL.list("http://localhost:2380,http://localhost:9")
        #expect(
            cluster.refusal(name: "a", advertisedPeerURLs: exact, resolve: resolve)?.description
                == "--initial-advertise-peer-urls has http://localhost:9 but missing from --initial-cluster=a=http://localhost:2380")
        let two = try InitialCluster("a=http://localhost:2380,a=http://localhost:9")
        #expect(
            two.refusal(name: "a", advertisedPeerURLs: spelled, resolve: resolve)?.description
                == "--initial-cluster has a=http://localhost:2380,a=http://localhost:9 but missing from --initial-advertise-peer-urls=http://127.0.0.1:2380 (resolved urls: \"http://127.0.0.1:2380\" != \"http://localhost:2380,http://localhost:9\")")
        let twice = try InitialCluster("a=http://localhost:1,a=http://localhost:1")
        #expect(
            twice.refusal(name: "a", advertisedPeerURLs: [])?.description
                == "initial cluster a=http://localhost:1,a=http://localhost:1 has duplicate url")
    }

    @Test func badBootstrapMapsAreRefused() {
        #expect(configure("--initial-cluster=nourl").startFailure?.hasPrefix("error setting up initial cluster: ") == true)
        #expect(configure("--initial-cluster=a=http://x").startFailure?.hasPrefix("error setting up initial cluster: ") == true)
        #expect(configure("--initial-cluster=default=http://a:1,,").configuration != nil)
    }

    @Test func aWildcardListenerAdvertisesTheDefaultRoute() {
        let arguments = ["--name=m", "--listen-peer-urls=http://0.0.0.0:2380"]
        let configuration = Configuration.parse(arguments: arguments, environment: [:]) { "10.1.2.3" }.configuration
        #expect(configuration?.advertisePeerURLs.map(\.text) == ["http://10.1.2.3:2380"])
        #expect(configuration?.initialCluster.text == "m=http://10.1.2.3:2380")
        #expect(configuration?.hasLine("detected default host for advertise") == true)
        let without = Configuration.parse(arguments: arguments, environment: [:]) { nil }.configuration
        #expect(without?.advertisePeerURLs.map(\.text) == ["http://localhost:2380"])
        #expect(without?.hasLine("failed to detect default host") == true)
        // An explicit URL stays.
        let explicit = configure(
            "--listen-client-urls=http://0.0.0.0:2379", "--advertise-client-urls=http://me:2379", defaultHost: "10.1.2.3")
        #expect(explicit.configuration?.advertiseClientURLs.map(\.text) == ["http://me:2379"])
    }

    @Test func addressesAreRecognized() {
        for address in ["1.2.3.4", "::", "::1", "fe80::1"] { #expect(isIPAddress(address)) }
        for name in ["", "localhost", "1.2.3", "1.2.3.4.5", "[::1]", "::g"] { #expect(!isIPAddress(name)) }
    }
}
