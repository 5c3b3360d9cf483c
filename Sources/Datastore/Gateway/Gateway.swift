// The JSON gateway: `POST /v3/…` with a message in JSON is a call of the method behind that path, in this process. Routes, statuses and
// texts are those of etcd's gateway (grpc-gateway v2).

import Synchronization
import Transport
import Wire

/// Routes requests to calls.
final class Gateway: HTTPHandler {
    /// Paths that are the gateway's: their bodies are read as they come.
    static let prefixes = ["/v3/", "/v3beta/"]

    /// What a path leads to.
    struct Target: Sendable {
        let route: APISchema.Route
        /// Position of the method; nil if it is not served.
        let method: Int?
        var methodPath: String { "/\(route.service)/\(route.method)" }
    }

    let services: LocalEndpoint
    let bodyBytesMax: Int
    /// Places for calls; nil: as many as there are requests.
    let streams: GatewayStreams?
    let metrics: GatewayMetrics
    private let isAuthEnabled: @Sendable () -> Bool
    private let targets = Mutex<[String: Target]?>(nil)

    /// - Parameters:
    ///   - methods: of the listener; a route whose method is not among them answers Unimplemented.
    ///   - isAuthEnabled: asked where a client's certificate names it, which the gateway could not respect.
    init(
        _ methods: MethodTable, _ configuration: ServerConfiguration, observer: (any TransportObserver)?,
        metrics: GatewayMetrics, isAuthEnabled: @escaping @Sendable () -> Bool
    ) {
        services = LocalEndpoint(methods, configuration, observer: observer)
        bodyBytesMax = configuration.httpBodyBytesMax
        streams = GatewayStreams(limit: configuration.concurrentStreamsMax, waiting: metrics.waiting)
        self.metrics = metrics
        self.isAuthEnabled = isAuthEnabled
    }

    func handle(_ request: HTTPRequest, _ responder: HTTPResponder) {
        guard let body = request.bodyStream else {
            preconditionFailure("the listener does not hand over the bodies of the gateway's requests")
        }
        if let name = request.peerCommonName, !name.isEmpty, isAuthEnabled() {
            metrics.answered(.none, status: 400)
            return responder.respond(.error(400, Self.commonNameText))
        }
        let path = PathText.decoded(request.path)
        if let clean = PathText.cleaned(path) {
            metrics.answered(.none, status: 301)
            return responder.respond(PathText.redirect(to: clean, request))
        }
        let exchange = GatewayExchange(self, responder, body)
        do throws(CallError) {
            try exchange.begin(target(path, request), request)
        } catch {
            exchange.refuse(error)
        }
        body.read(by: exchange)
    }

    private func target(_ path: String, _ request: HTTPRequest) throws(CallError) -> Target {
        let found = targets.withLock { table in
            if table == nil { table = makeTargets() }
            return table?[path]
        }
        guard let found else { throw CallError(.notFound, "Not Found") }
        var method = request.method
        if method == "POST", request.headers["content-type"] == "application/x-www-form-urlencoded",
            let override = request.headers["x-http-method-override"], !override.isEmpty
        {
            method = override.uppercased()
        }
        guard method == "POST" else { throw CallError(.unimplemented, "Method Not Allowed") }
        return found
    }

    /// At the first request, so that servers whose gateway nobody uses do not make it.
    private func makeTargets() -> [String: Target] {
        var table: [String: Target] = [:]
        for route in APISchema.shared.routes {
            table[route.path] = Target(route: route, method: services.method("/\(route.service)/\(route.method)"))
        }
        return table
    }

    private static let commonNameText =
        "CommonName of client sending a request against gateway will be ignored and not used as expected"
}

/// Paths as Go's router sees them.
enum PathText {
    /// Percent signs resolved; a broken one stands for itself.
    static func decoded(_ path: String) -> String {
        guard path.utf8.contains(UInt8(ascii: "%")) else { return path }
        let bytes = Array(path.utf8)
        var result: [UInt8] = []
        var index = 0
        while index < bytes.count {
            if bytes[index] == UInt8(ascii: "%"), index + 2 < bytes.count, let high = digit(bytes[index + 1]), let low = digit(bytes[index + 2]) {
                result.append(high << 4 | low)
                index += 3
            } else {
                result.append(bytes[index])
                index += 1
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    /// The path without empty parts and dots, if it has any.
    static func cleaned(_ path: String) -> String? {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
        let isClean = parts.dropLast().allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." } && parts.last != "." && parts.last != ".."
        if isClean { return nil }
        var kept: [Substring] = []
        for part in parts {
            switch part {
            case "", ".": continue
            case "..": _ = kept.popLast()
            default: kept.append(part)
            }
        }
        let isFolder = parts.last == "" && !kept.isEmpty
        return "/" + kept.joined(separator: "/") + (isFolder ? "/" : "")
    }

    static func redirect(to path: String, _ request: HTTPRequest) -> HTTPResponse {
        let location = request.query.map { "\(path)?\($0)" } ?? path
        guard request.method == "GET" || request.method == "HEAD" else {
            return HTTPResponse(status: 301, headers: ["Location": location])
        }
        return HTTPResponse(
            status: 301, headers: ["Content-Type": "text/html; charset=utf-8", "Location": location],
            body: Array("<a href=\"\(location)\">Moved Permanently</a>.\n\n".utf8))
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x41 + 10
        case 0x61...0x66: byte - 0x61 + 10
        default: nil
        }
    }
}
