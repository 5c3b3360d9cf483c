// The `etcd_network_*` families: traffic with clients and with peers.

/// Series of the gRPC side.
public struct ClientTrafficMetrics: Sendable {
    /// Bytes of every gRPC message decoded.
    public let receivedBytes: Counter
    /// Bytes of every gRPC message encoded.
    public let sentBytes: Counter
    private let streamFailures: Vector<Counter>

    public init(_ registry: Registry) {
        receivedBytes = registry.counter(
            "etcd_network_client_grpc_received_bytes_total", help: "Bytes of messages received from clients.")
        sentBytes = registry.counter(
            "etcd_network_client_grpc_sent_bytes_total", help: "Bytes of messages sent to clients.")
        streamFailures = registry.counters(
            "etcd_network_server_stream_failures_total", help: "Streams that failed while receiving or sending.",
            labels: ["Type", "API"])
    }

    /// Counts a stream that failed otherwise than by the client's cancel. `api` is lease-keepalive or watch.
    public func streamFailed(receiving: Bool, api: String) {
        streamFailures.series(receiving ? "receive" : "send", api).increment()
    }
}

/// Series per peer. Label values are member IDs in hexadecimal.
public struct PeerMetrics: Sendable {
    /// By `Local`, `Remote`: 1 while a connection to the peer is up.
    public let active: Vector<Gauge>
    /// By `Local`, `Remote`: moved when a peer goes from active to inactive.
    public let disconnected: Vector<Counter>
    /// By `From`: bytes of each message or snapshot received.
    public let receivedBytes: Vector<Counter>
    /// By `From`: messages that could not be decoded or were dropped.
    public let receiveFailures: Vector<Counter>
    /// By `To`: bytes of each flush, post or snapshot.
    public let sentBytes: Vector<Counter>
    /// By `To`: messages dropped, or failed to be sent.
    public let sendFailures: Vector<Counter>
    /// By `To`: round trips of both probers, smoothed.
    public let roundTrip: Vector<Histogram>

    public init(_ registry: Registry) {
        active = registry.gauges(
            "etcd_network_active_peers", help: "Connections to peers: 1 up, 0 down.", labels: ["Local", "Remote"])
        disconnected = registry.counters(
            "etcd_network_disconnected_peers_total", help: "Times a peer became inactive.",
            labels: ["Local", "Remote"])
        receivedBytes = registry.counters(
            "etcd_network_peer_received_bytes_total", help: "Bytes received from peers.", labels: ["From"])
        receiveFailures = registry.counters(
            "etcd_network_peer_received_failures_total", help: "Failures to receive from peers.", labels: ["From"])
        sentBytes = registry.counters(
            "etcd_network_peer_sent_bytes_total", help: "Bytes sent to peers.", labels: ["To"])
        sendFailures = registry.counters(
            "etcd_network_peer_sent_failures_total", help: "Failures to send to peers.", labels: ["To"])
        roundTrip = registry.histograms(
            "etcd_network_peer_round_trip_time_seconds", help: "Round trip to peers, in seconds.", labels: ["To"],
            buckets: .tenthMilliseconds16)
    }
}

/// Series of database snapshots between peers.
public struct SnapshotTransferMetrics: Sendable {
    /// By `To`: +1 when a send begins, -1 when it ends.
    public let sendsInFlight: Vector<Gauge>
    /// By `To`: moved by each send that succeeded.
    public let sends: Vector<Counter>
    /// By `To`: moved by each send that failed.
    public let sendFailures: Vector<Counter>
    /// By `To`: time of each send that succeeded.
    public let sendDuration: Vector<Histogram>
    /// By `From`: +1 when a reception begins, -1 when it ends.
    public let receptionsInFlight: Vector<Gauge>
    /// By `From`: moved by each reception that succeeded.
    public let receptions: Vector<Counter>
    /// By `From`: moved by each reception that failed.
    public let receptionFailures: Vector<Counter>
    /// By `From`: time of each reception that succeeded.
    public let receptionDuration: Vector<Histogram>

    public init(_ registry: Registry) {
        sendsInFlight = registry.gauges(
            "etcd_network_snapshot_send_inflights_total", help: "Snapshots being sent.", labels: ["To"])
        sends = registry.counters("etcd_network_snapshot_send_success", help: "Snapshots sent.", labels: ["To"])
        sendFailures = registry.counters(
            "etcd_network_snapshot_send_failures", help: "Snapshots that could not be sent.", labels: ["To"])
        sendDuration = registry.histograms(
            "etcd_network_snapshot_send_total_duration_seconds", help: "Time to send a snapshot, in seconds.",
            labels: ["To"], buckets: .tenths10)
        receptionsInFlight = registry.gauges(
            "etcd_network_snapshot_receive_inflights_total", help: "Snapshots being received.", labels: ["From"])
        receptions = registry.counters(
            "etcd_network_snapshot_receive_success", help: "Snapshots received.", labels: ["From"])
        receptionFailures = registry.counters(
            "etcd_network_snapshot_receive_failures", help: "Snapshots that could not be received.",
            labels: ["From"])
        receptionDuration = registry.histograms(
            "etcd_network_snapshot_receive_total_duration_seconds", help: "Time to receive a snapshot, in seconds.",
            labels: ["From"], buckets: .tenths10)
    }
}
