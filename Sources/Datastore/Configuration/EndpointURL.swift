// The URLs of listeners and members: four schemes, a host and a port or a socket file, nothing else.

/// A listening or advertised URL. The text stays as it was given, since member IDs are computed from it.
public struct EndpointURL: Sendable, Hashable, Comparable, CustomStringConvertible {
    public enum Scheme: String, Sendable {
        case http, https, unix, unixs
    }

    public let scheme: Scheme
    /// Host without port and brackets; for unix schemes what stands before the path.
    public let host: String
    /// As text, since it may be empty; for unix schemes the digits after the host, if any.
    public let portText: String
    /// Empty but for unix schemes.
    public let path: String
    /// The URL as given, without blanks around it.
    public let text: String

    /// A reason to refuse a URL.
    public struct Invalid: Error, Equatable, Sendable {
        public let reason: String
    }

    public var description: String { text }
    public static func < (left: EndpointURL, right: EndpointURL) -> Bool { left.text < right.text }

    /// Whether connections are to be encrypted.
    public var isSecure: Bool { scheme == .https || scheme == .unixs }
    public var isUnix: Bool { scheme == .unix || scheme == .unixs }
    public var port: UInt16? { UInt16(portText) }

    /// The address to listen on: `localhost` is 127.0.0.1, also where it has other addresses besides.
    public var bindHost: String { host == "localhost" ? "127.0.0.1" : host }

    /// The socket file of a unix URL: `host:port` names a file in the working directory.
    public var socketPath: String? { isUnix ? authority + path : nil }

    /// `host:port` as it stands in the URL.
    public var authority: String
}

extension EndpointURL {
    /// Reads one URL.
    public init(_ given: String) throws(Invalid) {
        let text = trimmed(given)
        guard let colon = text.range(of: "://") else {
            if let first = text.unicodeScalars.first, !("a"..."z").contains(first.properties.lowercaseMapping),
                text.prefix(while: { $0 != "/" }).contains(":")
            {
                throw Invalid(reason: "parse \(quoted(text)): first path segment in URL cannot contain colon")
            }
            throw Invalid(reason: "URL scheme must be http, https, unix, or unixs: \(text)")
        }
        let rest = text[colon.upperBound...]
        guard let scheme = Scheme(rawValue: text[..<colon.lowerBound].lowercased()) else {
            throw Invalid(reason: "URL scheme must be http, https, unix, or unixs: \(text)")
        }
        let end = rest.firstIndex { "/?#".contains($0) } ?? rest.endIndex
        let authority = String(rest[..<end])
        let path = String(rest[end...])
        if authority.hasPrefix("["), !authority.contains("]") {
            throw Invalid(reason: "parse \(quoted(text)): missing ']' in host")
        }
        let hostAndPort = Self.splitHostPort(authority)
        if scheme == .http || scheme == .https {
            guard let hostAndPort else {
                throw Invalid(reason: "URL address does not have the form \"host:port\": \(text)")
            }
            guard hostAndPort.port.utf8.allSatisfy((UInt8(ascii: "0")...UInt8(ascii: "9")).contains) else {
                throw Invalid(
                    reason: "parse \(quoted(text)): invalid port \(quoted(":" + hostAndPort.port)) after host")
            }
            guard path.isEmpty else { throw Invalid(reason: "URL must not contain a path: \(text)") }
        }
        if let code = authority.utf8.first(where: { $0 <= 0x20 || $0 == 0x7f }) {
            let character = quoted(String(Unicode.Scalar(code)))
            throw Invalid(reason: "parse \(quoted(text)): invalid character \(character) in host name")
        }
        self.scheme = scheme
        host = hostAndPort?.host ?? authority
        portText = hostAndPort?.port ?? ""
        self.path = path
        self.authority = authority
        self.text = text
    }

    /// Reads a comma-separated list: duplicates dropped, sorted.
    public static func list(_ text: String) throws(Invalid) -> [EndpointURL] {
        var urls: Set<EndpointURL> = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            urls.insert(try EndpointURL(String(part)))
        }
        return urls.sorted()
    }

    /// Splits `host:port`, `[v6]:port`; nil where there is no port or a bare IPv6 address.
    private static func splitHostPort(_ authority: String) -> (host: String, port: String)? {
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]") else { return nil }
            let after = authority[authority.index(after: end)...]
            guard after.hasPrefix(":"), !after.dropFirst().contains(":") else { return nil }
            return (String(authority[authority.index(after: authority.startIndex)..<end]), String(after.dropFirst()))
        }
        guard let colon = authority.firstIndex(of: ":"), colon == authority.lastIndex(of: ":") else { return nil }
        return (String(authority[..<colon]), String(authority[authority.index(after: colon)...]))
    }
}

/// `text` without blanks around it.
func trimmed(_ text: some StringProtocol) -> String {
    var view = text[...]
    while let first = view.first, first.isWhitespace { view = view.dropFirst() }
    while let last = view.last, last.isWhitespace { view = view.dropLast() }
    return String(view)
}

extension String {
    /// Where `needle` first stands.
    fileprivate func range(of needle: String) -> Range<Index>? {
        var from = startIndex
        while from < endIndex {
            if self[from...].hasPrefix(needle) { return from..<index(from, offsetBy: needle.count) }
            from = index(after: from)
        }
        return nil
    }
}
