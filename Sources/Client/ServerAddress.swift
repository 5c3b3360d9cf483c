// Endpoints as users write them: host:port, a URL, or the path of a socket.

/// Where a server is and how it is spoken to.
public struct ServerAddress: Sendable, Hashable, CustomStringConvertible {
    public enum Scheme: Sendable, Hashable { case plain, secure, unspecified }

    /// As it was written.
    public let description: String
    public let scheme: Scheme
    public let host: String
    public let port: Int
    /// Of a Unix socket; host and port are meaningless then.
    public let path: String?

    /// - Parameter text: `host:port`, `http://…`, `https://…`, `unix://…` or `unixs://…`.
    public init?(_ text: String) {
        description = text
        var rest = Substring(text)
        var scheme = Scheme.unspecified
        for (prefix, kind) in [("http://", Scheme.plain), ("https://", .secure)] where rest.hasPrefix(prefix) {
            rest = rest.dropFirst(prefix.count)
            scheme = kind
        }
        for (prefix, kind) in [("unixs:", Scheme.secure), ("unix:", .plain)] where rest.hasPrefix(prefix) {
            rest = rest.dropFirst(prefix.count)
            if rest.hasPrefix("//") { rest = rest.dropFirst(2) }
            guard !rest.isEmpty else { return nil }
            self.scheme = kind
            path = String(rest)
            host = "localhost"
            port = 0
            return
        }
        self.scheme = scheme
        path = nil
        if let slash = rest.firstIndex(of: "/") { rest = rest[..<slash] }
        guard let colon = rest.lastIndex(of: ":"), let port = Int(rest[rest.index(after: colon)...]), port >= 0, port < 65_536 else {
            // A name alone: the port of its scheme.
            guard !rest.isEmpty, !rest.contains(":") || rest.hasSuffix("]") else { return nil }
            host = String(rest.hasPrefix("[") ? rest.dropFirst().dropLast() : rest)
            self.port = scheme == .secure ? 443 : 80
            return
        }
        var name = rest[..<colon]
        if name.hasPrefix("["), name.hasSuffix("]") { name = name.dropFirst().dropLast() }
        host = String(name)
        self.port = port
    }

    /// The `:authority` of calls.
    var authority: String {
        if path != nil { return "localhost" }
        return host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }
}
