// Request metadata that handlers may ask for. Only these few values are kept of a call, as references into
// nghttp2's header tables, so that keeping them copies nothing.

/// A name of request metadata that the server keeps.
public struct MetadataName: Hashable, Sendable {
    let index: UInt8

    public static let hasLeader = MetadataName(index: 0)
    public static let token = MetadataName(index: 1)
    public static let authorization = MetadataName(index: 2)
    public static let clientAPIVersion = MetadataName(index: 3)
    public static let userAgent = MetadataName(index: 4)
    public static let traceparent = MetadataName(index: 5)
    public static let gatewayAccept = MetadataName(index: 6)

    /// One of the names registered in `ServerConfiguration.metadataNames`, by its position there.
    public static func registered(_ position: Int) -> MetadataName {
        precondition(position >= 0 && position < registeredMax, "at most \(registeredMax) metadata names can be registered")
        return MetadataName(index: UInt8(wellKnown.count + position))
    }

    static let wellKnown: [StaticString] = [
        "hasleader", "token", "authorization", "client-api-version", "user-agent", "traceparent", "grpcgateway-accept",
    ]
    /// Names that a server may register beside the well-known ones.
    public static let registeredMax = 5
    static let count = 12
}
