// The families of a member, registered once, and what feeds them.

import DatastoreMetrics
import KeySpace
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
    let gateway: GatewayMetrics
    let peers: PeerMetrics
    let snapshotTransfers: SnapshotTransferMetrics
    let receivedDatabases: ReceivedDatabaseMetrics
    let knownPeers: KnownPeerMetrics
    let learners: LearnerMetrics
    let storeLock: StoreLockMetrics
    let readIndexDuration: Histogram

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
        snapshotTransfers = SnapshotTransferMetrics(registry)
        receivedDatabases = ReceivedDatabaseMetrics(registry)
        knownPeers = KnownPeerMetrics(registry)
        learners = LearnerMetrics(registry)
        storeLock = StoreLockMetrics(registry)
        readIndexDuration = registry.histogram(
            "martlet_read_index_duration_seconds", help: "Time that linearizable reads waited for a read index, in seconds.",
            buckets: .tenthMilliseconds16, isQuiet: true)
        quotaDisarms = registry.counter(
            "martlet_quota_disarms_total", help: "NOSPACE alarms that this member took back because there was space again.")
        tls = TLSMetrics(registry)
        gateway = GatewayMetrics(registry)
        _ = ProcessMetrics(registry)
        _ = V2StoreMetrics(registry)
        _ = ProxyMetrics(registry)
    }
}

/// The lock of the store, which writes and reads of the index share.
struct StoreLockMetrics: Sendable {
    /// Waits of those who found it taken.
    let waits: Histogram
    /// How long apply held it for a chunk of entries.
    let holds: Histogram

    init(_ registry: Registry) {
        let buckets = Buckets.exponential(start: 0.000_001, factor: 4, count: 10)
        waits = registry.histogram(
            "martlet_index_lock_wait_seconds", help: "Time spent waiting for the lock of the index where it was taken, in seconds.",
            buckets: buckets, isQuiet: true)
        holds = registry.histogram(
            "martlet_index_lock_hold_seconds", help: "Time that apply held the lock of the index for a chunk of entries, in seconds.",
            buckets: buckets)
    }
}

/// Counts calls and messages by method and by client, and hands on what there is to tell of single calls.
final class CallObserver: TransportObserver {
    private let node: Node
    private let auth: AuthState
    /// By event loop; kept as long as the process.
    nonisolated(unsafe) private let clients: UnsafePointer<ClientTraffic>
    nonisolated(unsafe) private let nextShown: UnsafePointer<UnsafeMutablePointer<UInt64>>
    private let requests: RequestLog
    private let methods: [GRPCMethodMetrics]
    private let forms: [CallForm]
    private let names: [MethodName]
    /// By event loop: bytes received and sent, then four counts of each method.
    nonisolated(unsafe) private let counts: UnsafePointer<LocalCells>
    private enum Count {
        static let receivedBytes = 0, sentBytes = 1
        @inline(__always) static func started(_ method: Int) -> Int { 2 &+ 4 &* method }
        @inline(__always) static func succeeded(_ method: Int) -> Int { 3 &+ 4 &* method }
        @inline(__always) static func messagesReceived(_ method: Int) -> Int { 4 &+ 4 &* method }
        @inline(__always) static func messagesSent(_ method: Int) -> Int { 5 &+ 4 &* method }
    }

    init(_ table: MethodTable, _ node: Node) {
        self.node = node
        auth = node.keySpace.auth
        let byLoop = UnsafeMutablePointer<ClientTraffic>.allocate(capacity: node.clients.loops.count)
        for (index, loop) in node.clients.loops.enumerated() { (byLoop + index).initialize(to: loop) }
        clients = UnsafePointer(byLoop)
        let shown = UnsafeMutablePointer<UnsafeMutablePointer<UInt64>>.allocate(capacity: node.loops.count)
        for (index, loop) in node.loops.enumerated() { (shown + index).initialize(to: loop.nextShownRequest) }
        nextShown = UnsafePointer(shown)
        requests = node.requests
        let metrics = node.metrics
        forms = table.methods.map { method in
            switch method.kind {
            case .unary: .unary
            // Those that go on until somebody ends them are streams like those in both directions.
            case .serverStreaming: ["RangeStream", "Snapshot"].contains(method.name) ? .answerStream : .stream
            case .bidirectional: .stream
            }
        }
        names = table.methods.map { MethodName(service: $0.service, name: $0.name) }
        methods = table.methods.map { method in
            let type: GRPCMethodType =
                switch method.kind {
                case .unary: .unary
                case .serverStreaming: .serverStream
                case .bidirectional: .bidirectionalStream
                }
            return metrics.grpc.method(service: method.service, method.name, type)
        }
        let targets = [metrics.traffic.receivedBytes, metrics.traffic.sentBytes]
            + methods.flatMap { [$0.started, $0.handled(code: StatusCode.ok.rawValue), $0.messagesReceived, $0.messagesSent] }
        let local = node.clients.loops.map { _ in LocalCounters(targets) }
        let cells = UnsafeMutablePointer<LocalCells>.allocate(capacity: local.count)
        for (index, one) in local.enumerated() { (cells + index).initialize(to: one.cells) }
        counts = UnsafePointer(cells)
        metrics.registry.beforeScrape { for one in local { one.tell() } }
    }

    func callStarted(method: Int, _ call: Call) {
        let loop = call.loop.index
        counts[loop].add(1, to: Count.started(method))
        // A token may name another user with each call.
        var client = call.client
        if client == 0 || auth.isEnabled {
            node.clients.identify(call, node)
            client = call.client
        }
        let traffic = clients[loop]
        traffic.add(1, .requests, of: client)
        traffic.add(1, .openCalls, of: client)
        if forms[method] == .stream {
            requests.streamBegan(call, node.loops[loop])
        } else if requests.isWanted(at: call.loop.now, nextShown[loop]) {
            requests.takeNotes(call, node.loops[loop])
        }
    }

    func callFinished(method: Int, _ call: Call, code: StatusCode) {
        let loop = call.loop.index
        if code == .ok {
            counts[loop].add(1, to: Count.succeeded(method))
        } else {
            methods[method].handled(code: code.rawValue).increment()
        }
        methods[method].handling?.observe(nanoseconds: monotonicNow() &- call.startedAt)
        let client = call.client
        let traffic = clients[loop]
        traffic.add(-1, .openCalls, of: client)
        if code != .ok, code != .cancelled { traffic.add(1, .errors, of: client) }
        if let audit = node.audit, let entry = RequestNotes.of(call)?.audit {
            audit.write(entry, call, (code, call.statusText), method: "\(names[method].service)/\(names[method].name)", node)
        }
    }

    func callEnded(method: Int, _ call: Call, _ ending: CallEnding) {
        node.requests.ended(call, ending, forms[method], names[method], node)
    }

    func messageReceived(method: Int, bytes: Int, _ origin: CallOrigin) {
        clients[origin.loop].add(bytes, .receivedBytes, of: origin.client)
        counts[origin.loop].add(1, to: Count.messagesReceived(method))
        counts[origin.loop].add(UInt64(bytes), to: Count.receivedBytes)
    }

    func messageSent(method: Int, bytes: Int, _ origin: CallOrigin) {
        clients[origin.loop].add(bytes, .sentBytes, of: origin.client)
        counts[origin.loop].add(1, to: Count.messagesSent(method))
        counts[origin.loop].add(UInt64(bytes), to: Count.sentBytes)
    }
}
