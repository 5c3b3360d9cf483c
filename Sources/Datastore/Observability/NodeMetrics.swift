// The families of a member, registered once, and what feeds them.

import DatastoreMetrics
import Transport
import Wire

/// Handles of every family that the server moves.
struct NodeMetrics: Sendable {
    let registry: Registry
    let server: ServerMetrics
    let mvcc: MVCCMetrics
    let compaction: CompactionMetrics
    let wal: WALMetrics
    let backend: BackendMetrics
    let snapshotFiles: SnapshotFileMetrics
    let lease: LeaseMetrics
    let watch: WatchMetrics
    let grpc: GRPCMetrics
    let traffic: ClientTrafficMetrics
    let health: HealthMetrics
    let scrape: ScrapeMetrics
    let descriptors: FileDescriptorMetrics
    let quotaDisarms: Counter
    let tls: TLSMetrics
    let peers: PeerMetrics

    init(extensive: Bool) {
        registry = Registry()
        server = ServerMetrics(registry)
        mvcc = MVCCMetrics(registry)
        compaction = CompactionMetrics(registry)
        wal = WALMetrics(registry)
        backend = BackendMetrics(registry)
        snapshotFiles = SnapshotFileMetrics(registry)
        lease = LeaseMetrics(registry)
        watch = WatchMetrics(registry)
        grpc = GRPCMetrics(registry, extensive: extensive)
        traffic = ClientTrafficMetrics(registry)
        health = HealthMetrics(registry)
        scrape = ScrapeMetrics(registry)
        descriptors = FileDescriptorMetrics(registry)
        peers = PeerMetrics(registry)
        quotaDisarms = registry.counter(
            "martlet_quota_disarms_total", help: "NOSPACE alarms that this member took back because there was space again.")
        tls = TLSMetrics(registry)
        _ = ProcessMetrics(registry)
        _ = V2StoreMetrics(registry)
        _ = ProxyMetrics(registry)
    }
}

/// Counts calls and messages by method.
final class CallObserver: TransportObserver {
    private let methods: [GRPCMethodMetrics]
    private let traffic: ClientTrafficMetrics

    init(_ table: MethodTable, _ metrics: NodeMetrics) {
        methods = table.methods.map { method in
            let type: GRPCMethodType =
                switch method.kind {
                case .unary: .unary
                case .serverStreaming: .serverStream
                case .bidirectional: .bidirectionalStream
                }
            return metrics.grpc.method(service: method.service, method.name, type)
        }
        traffic = metrics.traffic
    }

    func callStarted(method: Int, _ call: Call) { methods[method].started.increment() }

    func callFinished(method: Int, _ call: Call, code: StatusCode) {
        methods[method].handled(code: code.rawValue).increment()
    }

    func messageReceived(method: Int, bytes: Int) {
        methods[method].messagesReceived.increment()
        traffic.receivedBytes.add(bytes)
    }

    func messageSent(method: Int, bytes: Int) {
        methods[method].messagesSent.increment()
        traffic.sentBytes.add(bytes)
    }
}
