// The members a new cluster begins with: `name=url,name=url`.

/// The bootstrap map.
public struct InitialCluster: Sendable, Equatable {
    /// URLs by member name, sorted.
    public let members: [String: [EndpointURL]]
    /// As given, or as made from the name.
    public let text: String

    init(_ text: String) throws(ConfigurationError) {
        var given: [String: [String]] = [:]
        for item in text.split(separator: ",") {
            let pair = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            given[String(pair[0]), default: []].append(pair.count == 2 ? String(pair[1]) : "")
        }
        var members: [String: [EndpointURL]] = [:]
        do throws(EndpointURL.Invalid) {
            for (name, urls) in given {
                var list: [EndpointURL] = []
                for url in urls { list.append(try EndpointURL(url)) }
                members[name] = list.sorted()
            }
        } catch {
            throw ConfigurationError("error setting up initial cluster: \(error.reason)", isStartFailure: true)
        }
        self.members = members
        self.text = text
    }

    /// `name=url` for each advertised peer URL: what follows when only the name is given.
    static func text(name: String, urls: [EndpointURL]) -> String {
        urls.map { "\(name)=\($0.text)" }.joined(separator: ",")
    }

    /// Why a first start with this map is refused; nil when it is fine. A server that has a log does not ask.
    ///
    /// - Parameter resolve: the same address for two spellings of one host and port.
    public func refusal(
        name: String, advertisedPeerURLs: [EndpointURL], resolve: (EndpointURL) -> String = HostResolver.address
    ) -> ConfigurationError? {
        guard let own = members[name] else {
            return Self.refusal("couldn't find local name \(quoted(name)) in the initial cluster configuration")
        }
        var seen: Set<String> = []
        for url in members.values.joined().map(\.text) where !seen.insert(url).inserted {
            return Self.refusal("initial cluster \(text) has duplicate url")
        }
        let advertised = advertisedPeerURLs.map(\.text).sorted()
        let mapped = own.map(\.text)
        if mapped == advertised || own.map(resolve).sorted() == advertisedPeerURLs.map(resolve).sorted() { return nil }
        let list = advertised.joined(separator: ",")
        let difference =
            "(resolved urls: \(quoted(list)) != \(quoted(mapped.joined(separator: ","))))"
        let unadvertised = mapped.filter { !advertised.contains($0) }.map { "\(name)=\($0)" }
        if !unadvertised.isEmpty {
            return Self.refusal(
                "--initial-cluster has \(unadvertised.joined(separator: ",")) but missing from "
                    + "--initial-advertise-peer-urls=\(list) \(difference)")
        }
        let unmapped = advertised.filter { !mapped.contains($0) }
        return Self.refusal(
            "--initial-advertise-peer-urls has \(unmapped.joined(separator: ",")) but missing from "
                + "--initial-cluster=\(Self.text(name: name, urls: own))")
    }

    private static func refusal(_ reason: String) -> ConfigurationError {
        ConfigurationError(reason, isStartFailure: true)
    }
}
