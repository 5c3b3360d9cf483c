// From URLs to sockets: http and https URLs of one address share a socket.

import Transport

struct ListenPlan: Equatable {
    let address: ListenAddress
    /// `host:port` as it stands in the URL.
    let authority: String
    private(set) var isPlain: Bool
    private(set) var isSecure: Bool

    /// Of a Unix socket.
    var socketPath: String? { if case .unix(let path) = address { path } else { nil } }

    private init(_ url: EndpointURL) {
        address =
            if let path = url.socketPath { .unix(path: path) } else { .host(url.bindHost, port: Int(url.port ?? 0)) }
        authority = url.authority
        isPlain = !url.isSecure
        isSecure = url.isSecure
    }

    /// One socket for each address, in the order of the URLs. Port 0 is a port of its own each time.
    static func of(_ urls: [EndpointURL]) -> [ListenPlan] {
        var plans: [ListenPlan] = []
        for url in urls {
            let plan = ListenPlan(url)
            if url.isUnix || url.port != 0, let known = plans.firstIndex(where: { $0.address == plan.address }) {
                plans[known].isPlain = plans[known].isPlain || plan.isPlain
                plans[known].isSecure = plans[known].isSecure || plan.isSecure
            } else {
                plans.append(plan)
            }
        }
        return plans
    }
}
