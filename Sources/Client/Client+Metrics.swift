// A server's metrics, which come over HTTP on the same port.

import Transport

extension Client {
    /// The text of `/metrics` of the first endpoint.
    public func metricsText() async throws -> [UInt8] {
        guard let target = pool.targets.first else { preconditionFailure("a client has endpoints") }
        var address = ListenAddress.host(target.address.host, port: target.address.port)
        if let path = target.address.path { address = .unix(path: path) }
        var tls: TLSClient?
        if var settings = target.tls?.settings {
            settings.protocols = ["http/1.1"]
            tls = try TLSClient(settings)
        }
        return try await HTTPFetch.get("/metrics", from: address, tls: tls, bytesMax: ClientLimits.metricsBytesMax)
    }
}
