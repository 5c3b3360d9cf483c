// The `grpc_server_*` families, created for every method before its first call.

/// How a method streams, as the label `grpc_type` names it.
public enum GRPCMethodType: String, Sendable {
    case unary
    case clientStream = "client_stream"
    case serverStream = "server_stream"
    case bidirectionalStream = "bidi_stream"
}

/// The series of one method. A trivial value: look it up once at start and keep it with the method's handler.
public struct GRPCMethodMetrics: @unchecked Sendable {  // the pointer leads to constants that are never freed
    /// Moved when a call starts.
    public let started: Counter
    /// Moved by each message received.
    public let messagesReceived: Counter
    /// Moved by each message sent.
    public let messagesSent: Counter
    /// Handling time, observed when a call ends; only with `--metrics=extensive`.
    public let handling: Histogram?
    @usableFromInline let handled: UnsafePointer<Counter>

    /// Moved when a call ends with status `code` (0…16; others count as Unknown).
    @inlinable
    public func handled(code: Int) -> Counter {
        handled[code >= 0 && code < grpcCodeCount ? code : grpcCodeUnknown]
    }
}

@usableFromInline let grpcCodeCount = 17
@usableFromInline let grpcCodeUnknown = 2

/// Status codes by number, as the label `grpc_code` names them.
let grpcCodeNames = [
    "OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists",
    "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented",
    "Internal", "Unavailable", "DataLoss", "Unauthenticated",
]

/// All methods of the gRPC server.
public final class GRPCMetrics: Sendable {
    private let startedVector: Vector<Counter>
    private let handledVector: Vector<Counter>
    private let receivedVector: Vector<Counter>
    private let sentVector: Vector<Counter>
    private let handlingVector: Vector<Histogram>?

    /// Declares the families and creates the series of the services that are counted from the start.
    public init(_ registry: Registry, extensive: Bool) {
        let labels = ["grpc_type", "grpc_service", "grpc_method"]
        let methodMaximum = 128
        startedVector = registry.counters(
            "grpc_server_started_total", help: "RPCs started.", labels: labels, seriesMaximum: methodMaximum)
        handledVector = registry.counters(
            "grpc_server_handled_total", help: "RPCs finished, by status.", labels: labels + ["grpc_code"],
            seriesMaximum: methodMaximum * grpcCodeCount)
        receivedVector = registry.counters(
            "grpc_server_msg_received_total", help: "Messages received.", labels: labels,
            seriesMaximum: methodMaximum)
        sentVector = registry.counters(
            "grpc_server_msg_sent_total", help: "Messages sent.", labels: labels, seriesMaximum: methodMaximum)
        handlingVector = extensive
            ? registry.histograms(
                "grpc_server_handling_seconds", help: "Time to handle an RPC, in seconds.", labels: labels,
                buckets: .standard, unit: .longSeconds, seriesMaximum: methodMaximum)
            : nil
        for service in grpcServicesCountedFromStart {
            for (method, type) in service.methods { _ = self.method(service: service.name, method, type) }
        }
    }

    /// The series of one method, made if need be. Those of services that are not counted from the start (Lock, Election) are shown
    /// once they have moved.
    public func method(service: String, _ method: String, _ type: GRPCMethodType) -> GRPCMethodMetrics {
        let isCountedFromStart = grpcServicesCountedFromStart.contains { $0.name == service }
        func counter(_ vector: Vector<Counter>) -> Counter {
            isCountedFromStart ? vector.series(type.rawValue, service, method) : vector.quiet(type.rawValue, service, method)
        }
        let handled = UnsafeMutablePointer<Counter>.allocate(capacity: grpcCodeCount)
        for (code, name) in grpcCodeNames.enumerated() {
            let series =
                isCountedFromStart
                ? handledVector.series(type.rawValue, service, method, name) : handledVector.quiet(type.rawValue, service, method, name)
            (handled + code).initialize(to: series)
        }
        return GRPCMethodMetrics(
            started: counter(startedVector), messagesReceived: counter(receivedVector), messagesSent: counter(sentVector),
            handling: handlingVector?.series(type.rawValue, service, method),
            handled: UnsafePointer(handled))
    }
}

/// Services whose methods have series before their first call.
private let grpcServicesCountedFromStart: [(name: String, methods: [(String, GRPCMethodType)])] = [
    (
        "etcdserverpb.KV",
        [
            ("Range", .unary), ("RangeStream", .serverStream), ("Put", .unary), ("DeleteRange", .unary),
            ("Txn", .unary), ("Compact", .unary),
        ]
    ),
    ("etcdserverpb.Watch", [("Watch", .bidirectionalStream)]),
    (
        "etcdserverpb.Lease",
        [
            ("LeaseGrant", .unary), ("LeaseRevoke", .unary), ("LeaseKeepAlive", .bidirectionalStream),
            ("LeaseTimeToLive", .unary), ("LeaseLeases", .unary),
        ]
    ),
    (
        "etcdserverpb.Cluster",
        [
            ("MemberAdd", .unary), ("MemberRemove", .unary), ("MemberUpdate", .unary), ("MemberList", .unary),
            ("MemberPromote", .unary),
        ]
    ),
    (
        "etcdserverpb.Auth",
        [
            ("AuthEnable", .unary), ("AuthDisable", .unary), ("AuthStatus", .unary), ("Authenticate", .unary),
            ("UserAdd", .unary), ("UserGet", .unary), ("UserList", .unary), ("UserDelete", .unary),
            ("UserChangePassword", .unary), ("UserGrantRole", .unary), ("UserRevokeRole", .unary),
            ("RoleAdd", .unary), ("RoleGet", .unary), ("RoleList", .unary), ("RoleDelete", .unary),
            ("RoleGrantPermission", .unary), ("RoleRevokePermission", .unary),
        ]
    ),
    (
        "etcdserverpb.Maintenance",
        [
            ("Alarm", .unary), ("Status", .unary), ("Defragment", .unary), ("Hash", .unary), ("HashKV", .unary),
            ("Snapshot", .serverStream), ("MoveLeader", .unary), ("Downgrade", .unary),
        ]
    ),
    ("grpc.health.v1.Health", [("Check", .unary), ("List", .unary), ("Watch", .serverStream)]),
]
