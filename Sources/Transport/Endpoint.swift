// What all connections of one listener have in common.

import Synchronization

/// The services behind a listener: gRPC methods, a handler of plain HTTP, or both on one port.
public struct Services: Sendable {
    public var methods: MethodTable
    public var http: (any HTTPHandler)?
    /// False: HTTP/2 requests with gRPC's content type are answered as plain HTTP too.
    public var servesGRPC: Bool
    /// HTTP requests whose paths begin so are handled when their head is complete, with the body as a stream, and may be upgraded to
    /// WebSocket.
    public var bodyStreamPrefixes: [String]

    public init(
        methods: MethodTable = MethodTable(), http: (any HTTPHandler)? = nil, servesGRPC: Bool = true, bodyStreamPrefixes: [String] = []
    ) {
        self.methods = methods
        self.http = http
        self.servesGRPC = servesGRPC
        self.bodyStreamPrefixes = bodyStreamPrefixes
    }
}

/// Immutable, shared by reference by the connections of a listener.
final class Endpoint: Sendable {
    let methods: MethodTable
    let handlers: [any MethodHandler]
    let kinds: [MethodKind]
    let http: (any HTTPHandler)?
    let servesGRPC: Bool
    let configuration: ServerConfiguration
    let observer: (any TransportObserver)?
    /// Names registered beside the well-known ones, lower case.
    let metadataNames: [[UInt8]]
    private let bodyStreamPrefixes: [String]
    let openConnections = Atomic<Int>(0)

    init(_ services: Services, _ configuration: ServerConfiguration, _ observer: (any TransportObserver)?) {
        methods = services.methods
        handlers = services.methods.methods.map(\.handler)
        kinds = services.methods.methods.map(\.kind)
        http = services.http
        servesGRPC = services.servesGRPC
        bodyStreamPrefixes = services.http == nil ? [] : services.bodyStreamPrefixes
        self.configuration = configuration
        self.observer = observer
        precondition(configuration.metadataNames.count <= MetadataName.registeredMax)
        metadataNames = configuration.metadataNames.map { Array($0.utf8) }
    }

    /// Whether the body of a request is handed over while it arrives.
    func streamsBody(_ path: String) -> Bool { bodyStreamPrefixes.contains { path.hasPrefix($0) } }
}
