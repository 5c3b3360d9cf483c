// Paths for operators beside etcd's: the level of the log, and the requests that were slow.

import DatastoreTracing
import KeySpace
import Transport
import Wire

extension Node {
    /// Whether an HTTP request may see or do what only operators should: everybody while authentication is off, root when it is on,
    /// named by a token or by the certificate.
    func isOperator(_ request: HTTPRequest) -> Bool {
        guard keySpace.auth.isEnabled else { return true }
        let revision = keySpace.auth.revision
        if let given = request.headers["authorization"] ?? request.headers["token"] {
            let bearer = "Bearer "
            let token = given.hasPrefix(bearer) ? String(given.dropFirst(bearer.count)) : given
            guard let info = tokens.info(token, revision: revision) else { return false }
            return (try? keySpace.auth.checkAdmin(info)) != nil
        }
        guard configuration.clientTLS.requiresCertificate, let name = request.peerCommonName else { return false }
        return (try? keySpace.auth.checkAdmin(AuthInfo(username: name, revision: revision))) != nil
    }
}

/// `/config/local/log`, as etcd had it up to 3.4: `PUT {"Level":"DEBUG"}` changes the level of a running server. `GET` tells it.
enum LogLevelEndpoint {
    static let path = "/config/local/log"

    static func response(_ request: HTTPRequest, _ node: Node) -> HTTPResponse {
        guard node.isOperator(request) else { return .error(403, "permission denied") }
        let core = node.log.core
        switch request.method {
        case "GET", "HEAD":
            return json(200, "{\"level\":\"\(core.level.name)\"}\n")
        case "PUT":
            guard let name = levelName(request.body) else { return json(400, "{\"message\":\"Invalid json body\"}") }
            guard !name.isEmpty, let level = LogLevel(name: name) else {
                let sink = ByteSink(capacity: 64)
                sink.append("{\"message\":" as StaticString)
                sink.json("Invalid log level \(name)")
                sink.append("}" as StaticString)
                return json(400, String(decoding: sink.bytes, as: UTF8.self))
            }
            let former = core.level
            // Said at whichever level lets it through.
            core.level = min(former, level, .info)
            node.log.info("log level changed", .string("from", former.name), .string("to", level.name), .string("by", request.remoteAddress))
            core.level = level
            node.requests.levelChanged()
            return HTTPResponse(status: 204)
        default:
            var response = HTTPResponse.error(405, "Method Not Allowed")
            response.headers.add("Allow", "GET, PUT")
            return response
        }
    }

    /// The value of `level`, whose name is read without case as Go's decoder does.
    private static func levelName(_ body: [UInt8]) -> String? {
        guard let text = String(validating: body, as: UTF8.self) else { return nil }
        var reader = FlatJSONReader(text)
        guard let members = reader.readObject() else { return nil }
        var name = ""
        for member in members where member.name.lowercased() == "level" {
            guard case .string(let value) = member.value else { return nil }
            name = value
        }
        return name
    }

    private static func json(_ status: Int, _ text: String) -> HTTPResponse {
        HTTPResponse(status: status, headers: ["Content-Type": "application/json"], body: Array(text.utf8))
    }
}
