// The handshake of WebSocket (RFC 6455), and what of its headers a gateway request is made of.

import NIOHTTP1
import Wire

enum WebSocketUpgrade {
    struct Refused: Error {
        let response: HTTPResponse
    }

    private static let keySuffix = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

    static func isAskedFor(_ head: HTTPRequestHead) -> Bool {
        head.version == .http1_1 && hasToken(head.headers, "connection", "upgrade") && hasToken(head.headers, "upgrade", "websocket")
    }

    private static func hasToken(_ headers: HTTPHeaders, _ name: String, _ token: String) -> Bool {
        headers[canonicalForm: name].contains { sameFieldName(String($0), token) }
    }

    /// The bytes that complete the handshake.
    static func answer(_ head: HTTPRequestHead) throws(Refused) -> String {
        guard head.method == .GET else { throw refusal(405, "Method Not Allowed") }
        guard hasToken(head.headers, "sec-websocket-version", "13") else { throw refusal(400, "Bad Request") }
        let key = head.headers.first(name: "sec-websocket-key") ?? ""
        // Sixteen bytes in base 64.
        guard key.utf8.count == 24, key.hasSuffix("=="), key.utf8.dropLast(2).allSatisfy(isBase64) else {
            throw refusal(400, "Bad Request")
        }
        var lines = [
            "HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
            "Sec-WebSocket-Accept: \(Base64.encode(SHA1.digest(Array((key + keySuffix).utf8))))",
        ]
        // The token's place in a browser is the list of sub-protocols; one of them has to be accepted.
        if let protocols = head.headers.first(name: "sec-websocket-protocol"), protocols.hasPrefix("Bearer") {
            lines.append("Sec-WebSocket-Protocol: Bearer")
        }
        return lines.joined(separator: "\r\n") + "\r\n\r\n"
    }

    /// Makes the request that the handler sees: a POST with the few headers that a WebSocket passes on, and the token where it says so.
    static func prepare(_ request: inout HTTPRequest) {
        let asked = request.headers
        request.method = "POST"
        request.headers = HTTPFields()
        for name in ["Origin", "Referer"] {
            if let value = asked[name] { request.headers.add(name, value) }
        }
        if let token = cookie("token", asked) {
            request.headers.add("Authorization", "Bearer \(token)")
        } else if let protocols = asked["sec-websocket-protocol"], let mark = protocols.range(ofASCII: "Bearer,") {
            let token = protocols[mark.upperBound...].drop { $0 == " " }
            request.headers.add("Authorization", "Bearer \(String(token.reversed().drop { $0 == " " }.reversed()))")
        }
    }

    private static func cookie(_ name: String, _ headers: HTTPFields) -> String? {
        for line in headers.all("cookie") {
            for pair in line.split(separator: ";") {
                let parts = pair.drop { $0 == " " }.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                if parts.count == 2, parts[0] == name { return String(parts[1]) }
            }
        }
        return nil
    }

    private static func refusal(_ status: Int, _ text: String) -> Refused {
        var response = HTTPResponse.error(status, text)
        response.headers.add("Sec-Websocket-Version", "13")
        return Refused(response: response)
    }

    private static func isBase64(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "+"), UInt8(ascii: "/"):
            true
        default: false
        }
    }
}

extension String {
    /// Where a short text stands first.
    fileprivate func range(ofASCII text: String) -> Range<String.Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(text) { return start..<index(start, offsetBy: text.count) }
            start = index(after: start)
        }
        return nil
    }
}
