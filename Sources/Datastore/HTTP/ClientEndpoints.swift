// The plain HTTP side of the client and metrics listeners: /version, /health, /livez, /readyz, /metrics, /debug.
// Client listeners have `AccessControl` in front of it, metrics listeners nothing.

import DatastoreMetrics
import KeySpace
import Transport
import Wire

/// Routes requests of one kind of listener.
final class ClientEndpoints: HTTPHandler {
    /// Which paths a listener serves.
    enum Role: Sendable { case client, metrics }

    private let node: Node
    private let role: Role
    private let health: HealthChecks
    private let gateway: Gateway?

    init(_ node: Node, role: Role, gateway: Gateway? = nil) {
        self.node = node
        self.role = role
        self.gateway = gateway
        health = HealthChecks(node)
    }

    func handle(_ request: HTTPRequest, _ responder: HTTPResponder) {
        switch request.path {
        case "/health":
            guard isGet(request, responder) else { return }
            health.health(request, responder)
        case "/livez": health.live(request, check: nil, responder)
        case "/readyz": health.ready(request, check: nil, responder)
        case "/metrics":
            serveMetrics(request, responder)
        case "/version" where role == .client:
            guard isGet(request, responder) else { return }
            responder.respond(VersionDocument.response(clusterVersion: node.keySpace.cluster.current.version))
        case "/debug/vars" where role == .client:
            guard isGet(request, responder) else { return }
            responder.respond(DebugVariables.response(node))
        case LogLevelEndpoint.path where role == .client: responder.respond(LogLevelEndpoint.response(request, node))
        case RequestPage.path where role == .client: responder.respond(RequestPage.response(request, node))
        default:
            if let gateway, request.path.hasPrefix("/v3/") {
                gateway.handle(request, responder)
            } else if request.path.hasPrefix("/livez/") {
                health.live(request, check: String(request.path.dropFirst(7)), responder)
            } else if request.path.hasPrefix("/readyz/") {
                health.ready(request, check: String(request.path.dropFirst(8)), responder)
            } else if DebugPages.serves(request.path) {
                guard isGet(request, responder) else { return }
                responder.respond(DebugPages.response(request, node))
            } else if role == .client, servesProfiles, isProfile(request.path) {
                responder.respond(ProfileEndpoints.response(request))
            } else {
                responder.respond(.notFound)
            }
        }
    }

    private var servesProfiles: Bool { node.configuration.servesProfiles }

    private func isProfile(_ path: String) -> Bool {
        path == ProfileEndpoints.path || path.hasPrefix(ProfileEndpoints.path + "/")
    }

    private func isGet(_ request: HTTPRequest, _ responder: HTTPResponder) -> Bool {
        if request.method == "GET" { return true }
        var response = HTTPResponse.error(405, "Method Not Allowed")
        response.headers.add("Allow", "GET")
        responder.respond(response)
        return false
    }

    private func serveMetrics(_ request: HTTPRequest, _ responder: HTTPResponder) {
        node.metrics.scrape.inFlight.increment()
        _ = node.metrics.descriptors.refresh()
        let format = ExpositionFormat.negotiated(accept: request.headers["accept"])
        let body = node.metrics.registry.exposition(format)
        node.metrics.scrape.inFlight.decrement()
        node.metrics.scrape.finished(status: 200)
        var response = HTTPResponse(status: 200, headers: ["Content-Type": format.contentType], body: body)
        if Self.takesGzip(request.headers["accept-encoding"] ?? "") {
            response.headers.add("Content-Encoding", "gzip")
            response.body = Gzip.deflate(body)
        }
        responder.respond(response)
    }

    /// Whether `Accept-Encoding` names gzip with a weight above zero.
    private static func takesGzip(_ accepted: String) -> Bool {
        accepted.split(separator: ",").contains { item in
            let parts = item.split(separator: ";").map { $0.filter { $0 != " " && $0 != "\t" }.lowercased() }
            guard parts.first == "gzip" || parts.first == "*" else { return false }
            let weight = parts.dropFirst().first { $0.hasPrefix("q=") }?.dropFirst(2) ?? "1"
            return weight.contains { $0 >= "1" && $0 <= "9" }
        }
    }
}

/// The answer of `/version`.
enum VersionDocument {
    static func response(clusterVersion: String?) -> HTTPResponse {
        let sink = ByteSink(capacity: 128)
        sink.append("{\"etcdserver\":" as StaticString)
        sink.json(Version.server)
        sink.append(",\"etcdcluster\":" as StaticString)
        sink.json(clusterVersion ?? "not_decided")
        sink.append(",\"storage\":" as StaticString)
        sink.json(clusterVersion == nil ? "unknown" : Version.storage)
        sink.append("}" as StaticString)
        return HTTPResponse(status: 200, headers: ["Content-Type": "application/json"], body: sink.array())
    }
}
