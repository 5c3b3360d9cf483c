// The lines that etcd writes while it starts and stops, with its messages and fields: launchers and
// operators look for them.

import DatastoreTracing
import Glibc
import KeySpace
import Wire

enum StartupLog {
    static func configured(_ log: Log, _ configuration: Configuration) {
        log.info("configuring peer listeners", .strings("listen-peer-urls", texts(configuration.listenPeerURLs)))
        log.info("configuring client listeners", .strings("listen-client-urls", texts(configuration.listenClientURLs)))
    }

    static func starting(_ log: Log, _ configuration: Configuration, isInitialized: Bool) {
        let processors = Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        log.info(
            "starting an etcd server",
            configuration.startFields(memberInitialized: isInitialized, processorLimit: processors, processors: processors))
    }

    static func published(_ log: Log, _ node: Node, timeout: UInt64) {
        log.info(
            "published local member to cluster through raft", .string("local-member-id", node.memberID.description),
            .string(
                "local-member-attributes",
                "{Name:\(node.configuration.name) ClientURLs:[\(texts(node.configuration.advertiseClientURLs).joined(separator: " "))]}"),
            .string("cluster-id", node.clusterID.description), .duration("publish-timeout", timeout))
    }

    /// - Parameters:
    ///   - isPlain: text without TLS is served at the address.
    ///   - isSecure: TLS is.
    static func serving(_ log: Log, address: String, traffic: String, isPlain: Bool, isSecure: Bool) {
        let fields: [LogField] = [.string("traffic", traffic), .string("address", address)]
        if isPlain { log.info("serving client traffic insecurely; this is strongly discouraged!", fields) }
        if isSecure { log.info("serving client traffic securely", fields) }
    }

    static func nowServing(_ log: Log, _ node: Node) {
        let configuration = node.configuration
        log.info(
            "now serving peer/client/metrics", .string("local-member-id", node.memberID.description),
            .strings("initial-advertise-peer-urls", texts(configuration.advertisePeerURLs)),
            .strings("listen-peer-urls", texts(configuration.listenPeerURLs)),
            .strings("advertise-client-urls", texts(configuration.advertiseClientURLs)),
            .strings("listen-client-urls", texts(configuration.listenClientURLs)),
            .strings("listen-metrics-urls", texts(configuration.listenMetricsURLs)))
    }

    static func closing(_ log: Log, _ configuration: Configuration, message: String) {
        log.info(
            message, [.string("name", configuration.name), .string("data-dir", configuration.dataDirectory),
            .strings("advertise-peer-urls", texts(configuration.advertisePeerURLs)),
            .strings("advertise-client-urls", texts(configuration.advertiseClientURLs))])
    }

    static func texts(_ urls: [EndpointURL]) -> [String] { urls.map(\.text) }
}
