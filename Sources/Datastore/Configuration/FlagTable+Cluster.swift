// Flags of bootstrap, discovery and the life of the cluster.

extension FlagTable {
    private static let v2DeprecationPhases = [
        "not-yet", "write-only", "write-only-skip-check", "write-only-drop-data", "gone",
    ]

    static let cluster: [FlagSpecification] = [
        .init("initial-advertise-peer-urls", .urls, "http://localhost:2380", .clustering,
            "peer URLs announced to others"),
        .init("initial-cluster", .string, "default=http://localhost:2380", .clustering, "bootstrap member map"),
        .init("initial-cluster-state", .choice(["new", "existing"]), "new", .clustering,
            "bootstrap a new cluster or join one; ignored once the WAL exists"),
        .init("initial-cluster-token", .string, "etcd-cluster", .clustering, "mixed into member and cluster IDs"),
        .init("advertise-client-urls", .urls, "http://localhost:2379", .clustering,
            "client URLs published to the cluster"),
        .init("discovery-token", .string, "", .clustering, "v3 discovery: cluster token; requires discovery-endpoints"),
        .init("discovery-endpoints", .strings, "", .clustering,
            "v3 discovery: gRPC endpoints; requires discovery-token; no blank entries"),
        .init("discovery-dial-timeout", .duration, "2s", .clustering, "v3 discovery dial timeout"),
        .init("discovery-request-timeout", .duration, "5s", .clustering, "v3 discovery per-request timeout"),
        .init("discovery-keepalive-time", .duration, "2s", .clustering, "v3 discovery keepalive period"),
        .init("discovery-keepalive-timeout", .duration, "6s", .clustering, "v3 discovery keepalive timeout"),
        .init("discovery-insecure-transport", .boolean, "true", .clustering, "v3 discovery over plain text"),
        .init("discovery-insecure-skip-tls-verify", .boolean, "false", .clustering,
            "v3 discovery: do not verify the server certificate"),
        .init("discovery-cert", .string, "", .clustering, "v3 discovery client certificate"),
        .init("discovery-key", .string, "", .clustering, "v3 discovery client key"),
        .init("discovery-cacert", .string, "", .clustering, "v3 discovery CA bundle"),
        .init("discovery-user", .string, "", .clustering, "v3 discovery user"),
        .init("discovery-password", .string, "", .clustering,
            "v3 discovery password (then the user flag must not hold one)"),
        .init("discovery-fallback", .choice(["exit", "proxy"]), "exit", .clustering, "what to do when discovery fails"),
        .init("discovery-srv", .string, "", .clustering, "bootstrap from DNS SRV records"),
        .init("discovery-srv-name", .string, "", .clustering,
            "suffix: service names become etcd-server-ssl-<suffix> / etcd-server-<suffix>"),
        .init("strict-reconfig-check", .boolean, "true", .clustering,
            "refuse membership changes that would lose quorum"),
        .init("pre-vote", .boolean, "true", .clustering, "raft pre-vote phase"),
        .init("auto-compaction-mode", .string, "periodic", .clustering, "how to read auto-compaction-retention"),
        .init("auto-compaction-retention", .string, "0", .clustering, "history kept by the auto compactor"),
        .init("v2-deprecation", .choice(v2DeprecationPhases), "write-only", .clustering,
            "phase of v2 store removal; gone from main after 3.7"),
    ]
}
