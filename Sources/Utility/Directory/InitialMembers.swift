// The members of a new cluster as `snapshot restore` is told them, with etcd's checks and texts.

import CommandLineTools
import KeySpace
import Wire

#if canImport(Glibc)
import Glibc
#endif

struct InitialMembers {
    /// In ascending order of their IDs.
    let members: [MemberDescription]
    let own: MemberDescription
    let clusterID: ClusterID

    /// - Throws: `CommandFailure` in etcd's words.
    init(name: String, cluster: String, token: String, peerURLs: String) throws {
        let advertised = try Self.urls(peerURLs.split(separator: ",", omittingEmptySubsequences: false).map(String.init))
        var map: [String: [String]] = [:]
        for item in cluster.split(separator: ",") {
            let pair = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            map[String(pair[0]), default: []].append(pair.count == 2 ? String(pair[1]) : "")
        }
        for (name, urls) in map { map[name] = try Self.urls(urls) }
        guard let mapped = map[name] else {
            throw CommandFailure("couldn't find local name \(GoText.quoted(name)) in the initial cluster configuration")
        }
        try Self.compare(mapped, advertised, name)
        let texts = map.sorted { $0.key < $1.key }.flatMap { name, urls in urls.map { "\(name)=\($0)" } }.sorted().joined(separator: ",")
        let all = map.values.joined()
        guard Set(all).count == all.count else { throw CommandFailure("initial cluster \(texts) has duplicate url") }
        members = map.map { name, urls in
            MemberDescription(id: MemberID(Identity.memberID(peerURLs: urls, clusterToken: token)), name: name, peerURLs: urls)
        }.sorted { $0.id < $1.id }
        own = members.first { $0.name == name }!
        clusterID = ClusterID(Identity.clusterID(initialMemberIDs: members.map(\.id.rawValue)))
    }

    private static func compare(_ mapped: [String], _ advertised: [String], _ name: String) throws {
        if mapped == advertised || mapped.map(address).sorted() == advertised.map(address).sorted() { return }
        let list = advertised.joined(separator: ",")
        let difference = "(resolved urls: \(GoText.quoted(list)) != \(GoText.quoted(mapped.joined(separator: ","))))"
        let unadvertised = mapped.filter { !advertised.contains($0) }.map { "\(name)=\($0)" }
        if !unadvertised.isEmpty {
            throw CommandFailure(
                "--initial-cluster has \(unadvertised.joined(separator: ",")) but missing from --initial-advertise-peer-urls=\(list) \(difference)")
        }
        let unmapped = advertised.filter { !mapped.contains($0) }.joined(separator: ",")
        throw CommandFailure(
            "--initial-advertise-peer-urls has \(unmapped) but missing from --initial-cluster=\(mapped.map { "\(name)=\($0)" }.joined(separator: ","))")
    }

    /// Checked and sorted; a URL's text stays as it was given, since IDs are computed from it.
    private static func urls(_ given: [String]) throws -> [String] {
        guard !given.isEmpty else { throw CommandFailure("no valid URLs given") }
        return try given.map { text in
            let text = trimmed(text)
            let parts = text.split(separator: "/", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3, parts[1].isEmpty, ["http:", "https:", "unix:", "unixs:"].contains(parts[0]) else {
                throw CommandFailure("URL scheme must be http, https, unix, or unixs: \(text)")
            }
            guard parts[0].hasPrefix("http") else { return text }
            let rest = parts[2].split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
            guard hostAndPort(String(rest[0])) != nil else { throw CommandFailure("URL address does not have the form \"host:port\": \(text)") }
            guard rest.count == 1 else { throw CommandFailure("URL must not contain a path: \(text)") }
            return text
        }.sorted()
    }

    private static func trimmed(_ text: String) -> String {
        var view = text[...]
        while let first = view.first, first.isWhitespace { view.removeFirst() }
        while let last = view.last, last.isWhitespace { view.removeLast() }
        return String(view)
    }

    private static func hostAndPort(_ authority: String) -> (host: String, port: String)? {
        guard let colon = authority.lastIndex(of: ":") else { return nil }
        var host = authority[..<colon]
        let port = authority[authority.index(after: colon)...]
        guard !port.isEmpty, port.utf8.allSatisfy((UInt8(ascii: "0")...UInt8(ascii: "9")).contains) else { return nil }
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        return (String(host), String(port))
    }

    /// The same text for two spellings of one host and port; the URL itself where its host has no address.
    private static func address(_ url: String) -> String {
        let parts = url.split(separator: "/", omittingEmptySubsequences: true)
        guard parts.count == 2, parts[0].hasPrefix("http"), let (host, port) = hostAndPort(String(parts[1])) else { return url }
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, port, &hints, &list) == 0, let first = list else { return url }
        defer { freeaddrinfo(list) }
        var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        guard getnameinfo(first.pointee.ai_addr, first.pointee.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST) == 0 else { return url }
        return "\(parts[0])//\(String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)):\(port)"
    }
}
