// What stands in front of everything that a client listener serves over plain HTTP: the old prefix of the gateway,
// the host whitelist, cross-origin headers, preflight requests. In etcd's order.

import DatastoreTracing
import Transport

/// Checks and decorates requests, then hands them on.
final class AccessControl: HTTPHandler {
    private let inner: any HTTPHandler
    private let log: Log
    private let origins: AllowedOrigins
    private let hosts: HostWhitelist

    init(_ configuration: Configuration, log: Log, inner: any HTTPHandler) {
        self.inner = inner
        self.log = log
        origins = AllowedOrigins(configuration.corsOrigins)
        hosts = HostWhitelist(configuration.hostWhitelist)
    }

    func handle(_ request: HTTPRequest, _ responder: HTTPResponder) {
        var request = request
        if request.path.hasPrefix(Self.oldPrefix) {
            request.path = "/v3/" + request.path.dropFirst(Self.oldPrefix.count)
        }
        // A page that rebinds its name to this address cannot have the certificate: only clear text is checked.
        if !request.isSecure, !hosts.allows(request.authority) {
            let host = HostWhitelist.host(of: request.authority)
            log.warn("rejecting HTTP request to prevent DNS rebinding attacks", .string("host", host))
            return Self.answer(request, .error(421, HostWhitelist.explanation(host)), responder)
        }
        if let origin = origins.answer(to: request.headers["origin"]) {
            responder.always(add: [
                "Access-Control-Allow-Headers": "accept, content-type, authorization",
                "Access-Control-Allow-Methods": "POST, GET, OPTIONS, PUT, DELETE",
                "Access-Control-Allow-Origin": origin,
            ])
        }
        if request.method == "OPTIONS" { return Self.answer(request, HTTPResponse(status: 200), responder) }
        inner.handle(request, responder)
    }

    /// Answers when the body is through: over HTTP/2 an earlier answer resets the stream, and clients that are still
    /// sending (curl 7.88) then miss it.
    private static func answer(_ request: HTTPRequest, _ response: HTTPResponse, _ responder: HTTPResponder) {
        guard let body = request.bodyStream else { return responder.respond(response) }
        body.read(by: DiscardedBody { responder.respond(response) })
    }

    private final class DiscardedBody: HTTPBodyReader {
        private let ended: () -> Void
        init(_ ended: @escaping () -> Void) { self.ended = ended }
        func bodyReceived(_ bytes: UnsafeRawBufferPointer) {}
        func bodyEnded() { ended() }
    }

    private static let oldPrefix = "/v3beta/"
}

/// `--cors`: whose pages may read answers.
struct AllowedOrigins: Sendable {
    private let allowsAll: Bool
    private let origins: Set<String>

    init(_ origins: [String]) {
        // An empty list allows all, too.
        allowsAll = origins.isEmpty || origins.contains("*")
        self.origins = Set(origins)
    }

    /// What `Access-Control-Allow-Origin` says; nil for no cross-origin headers at all.
    func answer(to origin: String?) -> String? {
        if allowsAll { return "*" }
        guard let origin, origins.contains(origin) else { return nil }
        return origin
    }
}

/// `--host-whitelist`: which Host headers are served over plain HTTP, against DNS rebinding.
struct HostWhitelist: Sendable {
    private let allowsAll: Bool
    private let hosts: Set<String>

    init(_ hosts: [String]) {
        allowsAll = hosts.isEmpty || hosts.contains("*")
        self.hosts = Set(hosts)
    }

    func allows(_ authority: String) -> Bool { allowsAll || hosts.contains(Self.host(of: authority)) }

    /// The host without its port; an IPv6 address without brackets.
    static func host(of authority: String) -> String {
        if authority.hasPrefix("["), let end = authority.firstIndex(of: "]") {
            return String(authority[authority.index(after: authority.startIndex)..<end])
        }
        // More than one colon and no brackets: no port that could be told apart.
        guard let colon = authority.lastIndex(of: ":"), authority.firstIndex(of: ":") == colon else { return authority }
        return String(authority[..<colon])
    }

    static func explanation(_ host: String) -> String {
        """

        The request names a host that this server does not answer for over plain HTTP.

        Either serve over TLS, where any name is taken, or allow this one:
          --host-whitelist \(quoted(host))

        Checking the Host header keeps web pages from reaching the server by DNS rebinding (CVE-2018-5702).

        """
    }
}
