// What a server shows over HTTP on the same port: its metrics, and martlet's pages about itself.

import Transport

extension Client {
    /// The text of `/metrics` of the first endpoint.
    public func metricsText() async throws -> [UInt8] { try await page("/metrics") }

    /// The body of an HTTP page of the first endpoint.
    ///
    /// - Parameter seconds: limit of the whole exchange.
    /// - Throws: `HTTPFetchError` with the status where it is not 200; what the system says of the connection.
    public func page(_ path: String, seconds: Int64 = 10) async throws -> [UInt8] {
        guard let target = pool.targets.first else { preconditionFailure("a client has endpoints") }
        var address = ListenAddress.host(target.address.host, port: target.address.port)
        if let path = target.address.path { address = .unix(path: path) }
        var tls: TLSClient?
        if var settings = target.tls?.settings {
            settings.protocols = ["http/1.1"]
            tls = try TLSClient(settings)
        }
        return try await HTTPFetch.get(path, from: address, tls: tls, bytesMax: ClientLimits.pageBytesMax, seconds: seconds)
    }
}
