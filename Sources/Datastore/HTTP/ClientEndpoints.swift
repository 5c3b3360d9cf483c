// The plain HTTP side of the client and metrics listeners: /version, /health, /livez, /readyz, /metrics,
// /debug/vars.

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

    init(_ node: Node, role: Role) {
        self.node = node
        self.role = role
        health = HealthChecks(node)
    }

    func handle(_ request: HTTPRequest, _ responder: HTTPResponder) {
        let responder = Decorated(responder, cors: role == .client ? CORS(node.configuration.corsOrigins, request) : nil)
        if role == .client {
            if request.version == .http1 || request.peerCommonName == nil, !isAllowedHost(request.authority) {
                return responder.respond(.error(421, HostWhitelist.explanation(request.authority)))
            }
            if request.method == "OPTIONS" { return responder.respond(HTTPResponse(status: 200)) }
        }
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
        default:
            if request.path.hasPrefix("/livez/") {
                health.live(request, check: String(request.path.dropFirst(7)), responder)
            } else if request.path.hasPrefix("/readyz/") {
                health.ready(request, check: String(request.path.dropFirst(8)), responder)
            } else {
                responder.respond(.notFound)
            }
        }
    }

    private func isGet(_ request: HTTPRequest, _ responder: Decorated) -> Bool {
        if request.method == "GET" { return true }
        var response = HTTPResponse.error(405, "Method Not Allowed")
        response.headers.add("Allow", "GET")
        responder.respond(response)
        return false
    }

    private func isAllowedHost(_ authority: String) -> Bool {
        HostWhitelist.allows(authority, node.configuration.hostWhitelist)
    }

    private func serveMetrics(_ request: HTTPRequest, _ responder: Decorated) {
        node.metrics.scrape.inFlight.increment()
        _ = node.metrics.descriptors.refresh()
        let format = ExpositionFormat.negotiated(accept: request.headers["accept"])
        let body = node.metrics.registry.exposition(format)
        node.metrics.scrape.inFlight.decrement()
        node.metrics.scrape.finished(status: 200)
        responder.respond(HTTPResponse(status: 200, headers: ["Content-Type": format.contentType], body: body))
    }
}

/// A responder that adds the headers which every answer of a listener carries.
struct Decorated: Sendable {
    private let responder: HTTPResponder
    private let cors: CORS?

    init(_ responder: HTTPResponder, cors: CORS?) {
        self.responder = responder
        self.cors = cors
    }

    func respond(_ response: HTTPResponse) {
        var response = response
        cors?.add(to: &response.headers)
        responder.respond(response)
    }
}

/// Cross-origin headers by `--cors`.
struct CORS: Sendable {
    private let origin: String?

    init(_ allowed: [String], _ request: HTTPRequest) {
        if allowed.contains("*") || allowed.isEmpty {
            origin = "*"
        } else if let asked = request.headers["origin"], allowed.contains(asked) {
            origin = asked
        } else {
            origin = nil
        }
    }

    func add(to headers: inout HTTPFields) {
        if let origin { headers.add("Access-Control-Allow-Origin", origin) }
        headers.add("Access-Control-Allow-Methods", "POST, GET, OPTIONS, PUT, DELETE")
        headers.add("Access-Control-Allow-Headers", "accept, content-type, authorization")
    }
}

/// `--host-whitelist`: which Host headers are served over plain HTTP, against DNS rebinding.
enum HostWhitelist {
    static func allows(_ authority: String, _ whitelist: [String]) -> Bool {
        if whitelist.isEmpty || whitelist.contains("*") { return true }
        return whitelist.contains(host(of: authority))
    }

    /// The host without its port; an IPv6 address without brackets.
    static func host(of authority: String) -> String {
        if authority.hasPrefix("["), let end = authority.firstIndex(of: "]") {
            return String(authority[authority.index(after: authority.startIndex)..<end])
        }
        // More than one colon and no brackets: no port that could be told apart.
        guard let colon = authority.lastIndex(of: ":"), authority.firstIndex(of: ":") == colon else { return authority }
        return String(authority[..<colon])
    }

    static func explanation(_ authority: String) -> String {
        "the Host header \"\(host(of: authority))\" is not on this server's --host-whitelist, so the request is not served"
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

/// The answer of `/debug/vars`: what this process says of itself in JSON.
enum DebugVariables {
    static func response(_ node: Node) -> HTTPResponse {
        let sink = ByteSink(capacity: 1024)
        sink.append("{\"cmdline\":" as StaticString)
        sink.json(CommandLine.arguments)
        let descriptors = node.metrics.descriptors.refresh()
        sink.append(",\"file_descriptor_limit\":\(descriptors.limit)")
        let view = node.consensus
        sink.append(",\"raft.status\":{\"id\":\"\(node.memberID)\",\"term\":\(view.term),\"lead\":\"\(view.leader)\"")
        sink.append(",\"commit\":\(view.committed),\"applied\":\(view.applied)}}")
        return HTTPResponse(status: 200, headers: ["Content-Type": "application/json; charset=utf-8"], body: sink.array())
    }
}
