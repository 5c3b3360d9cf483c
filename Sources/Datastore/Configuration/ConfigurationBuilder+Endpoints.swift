// Listening and advertised URLs and the bootstrap map made from them.

import DatastoreTracing

extension ConfigurationBuilder {
    /// The URLs of all roles.
    struct Endpoints {
        var listenPeer: [EndpointURL]
        var listenClient: [EndpointURL]
        var listenClientHTTP: [EndpointURL]
        var listenMetrics: [EndpointURL]
        var advertisePeer: [EndpointURL]
        var advertiseClient: [EndpointURL]
        var listening: [EndpointURL] { listenPeer + listenClient + listenClientHTTP + listenMetrics }
    }

    mutating func endpoints(defaultHost: () -> String?) throws(ConfigurationError) -> Endpoints {
        var urls = Endpoints(
            listenPeer: values.urls("listen-peer-urls"), listenClient: values.urls("listen-client-urls"),
            listenClientHTTP: values.urls("listen-client-http-urls"),
            listenMetrics: values.urls("listen-metrics-urls"),
            advertisePeer: values.urls("initial-advertise-peer-urls"),
            advertiseClient: values.urls("advertise-client-urls"))
        try Self.checkBinding(urls.listenPeer)
        try Self.checkBinding(urls.listenClient)
        try Self.checkBinding(urls.listenClientHTTP)
        if urls.listenClientHTTP.isEmpty {
            note(.warn, "Running http and grpc server on single port. This is not recommended for production.")
        }
        try Self.checkBinding(urls.listenMetrics)
        try Self.checkAdvertised(urls.advertisePeer, flag: "--initial-advertise-peer-urls")
        try Self.checkAdvertised(urls.advertiseClient, flag: "--advertise-client-urls")
        for url in urls.listenClientHTTP where urls.listenClient.contains(where: { $0.authority == url.authority }) {
            throw ConfigurationError(
                "cannot bind both --client-listen-urls and --client-listen-http-urls on the same url \(url)",
                isStartFailure: true)
        }
        if !values.isFromFile, values.isGiven("listen-client-urls"), !values.isGiven("advertise-client-urls") {
            throw .unsetAdvertiseClientURLs
        }
        urls.advertisePeer = advertised(
            urls.advertisePeer, flag: "initial-advertise-peer-urls", listening: urls.listenPeer, defaultHost)
        urls.advertiseClient = advertised(
            urls.advertiseClient, flag: "advertise-client-urls", listening: urls.listenClient, defaultHost)
        return urls
    }

    /// A server that listens on all addresses tells others that of its default route, unless told otherwise.
    private mutating func advertised(
        _ urls: [EndpointURL], flag: String, listening: [EndpointURL], _ defaultHost: () -> String?
    ) -> [EndpointURL] {
        guard urls.map(\.text) == [FlagTable.byName[flag]!.defaultText], let first = listening.first,
            first.host == "0.0.0.0"
        else { return urls }
        guard let host = defaultHost(),
            let url = try? EndpointURL("\(first.scheme.rawValue)://\(host):\(first.portText)")
        else {
            note(.info, "failed to detect default host", .error("could not find default route"))
            return urls
        }
        note(.info, "detected default host for advertise", .string("host", host))
        return [url]
    }

    private static func checkBinding(_ urls: [EndpointURL]) throws(ConfigurationError) {
        for url in urls where !url.isUnix && url.host != "localhost" && !isIPAddress(url.host) {
            throw ConfigurationError("expected IP in URL for binding (\(url))")
        }
        for url in urls where !url.isUnix && !url.portText.isEmpty && url.port == nil {
            throw ConfigurationError("listen tcp: address \(url.portText): invalid port", isStartFailure: true)
        }
    }

    private static func checkAdvertised(_ urls: [EndpointURL], flag: String) throws(ConfigurationError) {
        for url in urls where !url.isUnix && url.host.isEmpty {
            throw ConfigurationError(
                "\(flag) \(quoted(url.text)) must be \"host:port\" (unexpected empty host (\(url)))")
        }
    }

    /// The bootstrap map: as given, or made from the name when only that is given.
    mutating func initialCluster(
        name: String, advertisedPeerURLs: [EndpointURL]
    ) throws(ConfigurationError) -> InitialCluster {
        let flag = FlagTable.byName["initial-cluster"]!
        let given = values.string(flag.name)
        // etcd compares with the default's text: giving the default is not giving anything.
        let isDefault = given == flag.defaultText
        let cluster = try InitialCluster(
            isDefault && name != "default" ? InitialCluster.text(name: name, urls: advertisedPeerURLs) : given)
        let urls = cluster.members.values.joined().map(\.text)
        guard Set(urls).count == urls.count else {
            throw ConfigurationError("initial cluster \(cluster.text) has duplicate url", isStartFailure: true)
        }
        guard cluster.members.count <= 1 else {
            throw ConfigurationError(
                "--initial-cluster names \(cluster.members.count) members: clusters of several members are not "
                    + "supported by this build")
        }
        return cluster
    }
}
