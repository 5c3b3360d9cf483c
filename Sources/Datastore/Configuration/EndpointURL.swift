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
        var authority = String(rest[..<end])
        var path = String(rest[end...])
        if scheme == .unix || scheme == .unixs { try Self.readSocket(&authority, &path, text) }
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

    /// What Go makes of a socket's URL: no user, no query, escapes of the path read; a colon begins a port, which has digits only.
    private static func readSocket(_ authority: inout String, _ path: inout String, _ text: String) throws(Invalid) {
        if let at = authority.lastIndex(of: "@") { authority = String(authority[authority.index(after: at)...]) }
        if let end = path.firstIndex(where: { "?#".contains($0) }) { path = String(path[..<end]) }
        if let colon = authority.lastIndex(of: ":"), !authority.hasSuffix("]") {
            let port = authority[authority.index(after: colon)...]
            let isNumber = port.utf8.allSatisfy((UInt8(ascii: "0")...UInt8(ascii: "9")).contains)
            guard isNumber, authority.firstIndex(of: ":") == colon || authority.hasPrefix("[") else {
                throw Invalid(
                    reason: "parse \(quoted(text)): invalid port \(quoted(String(authority[colon...]))) after host")
            }
        }
        // A host has no escapes, a path may.
        let escape = authority.firstIndex(of: "%")
        guard escape == nil, let file = unescaped(path) else {
            let wrong = escape.map { quoted(String(authority[$0...].prefix(3))) } ?? "in the path"
            throw Invalid(reason: "parse \(quoted(text)): invalid URL escape \(wrong)")
        }
        path = file
        guard !(authority + path).isEmpty, !(authority + path).utf8.contains(0) else {
            throw Invalid(reason: "URL names no socket file: \(text)")
        }
    }

    /// `text` with its percent escapes read; nil where one is broken.
    private static func unescaped(_ text: String) -> String? {
        guard text.utf8.contains(UInt8(ascii: "%")) else { return text }
        var bytes: [UInt8] = []
        var rest = Substring(text).utf8
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard rest.count >= 2, let code = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16),
                rest.first != UInt8(ascii: "+"), rest.first != UInt8(ascii: "-")
            else { return nil }
            bytes.append(code)
            rest = rest.dropFirst(2)
        }
        return String(decoding: bytes, as: UTF8.self)
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
