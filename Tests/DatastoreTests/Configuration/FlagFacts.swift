// What etcd 3.7.1 takes: every flag with its variable, its key in a configuration file ("-" where it has none) and
// that key's form, its default ("*" where it is a text of our own), and whether it is here, ignored or gone.

let flagFacts = """
    name|ETCD_NAME|name|plain|default|here
    data-dir|ETCD_DATA_DIR|data-dir|plain||here
    wal-dir|ETCD_WAL_DIR|wal-dir|plain||here
    snapshot-count|ETCD_SNAPSHOT_COUNT|snapshot-count|plain|10000|here
    snapshot-catchup-entries|ETCD_SNAPSHOT_CATCHUP_ENTRIES|snapshot-catchup-entries|plain|5000|here
    heartbeat-interval|ETCD_HEARTBEAT_INTERVAL|heartbeat-interval|plain|100|here
    election-timeout|ETCD_ELECTION_TIMEOUT|election-timeout|plain|1000|here
    initial-election-tick-advance|ETCD_INITIAL_ELECTION_TICK_ADVANCE|initial-election-tick-advance|plain|true|here
    listen-peer-urls|ETCD_LISTEN_PEER_URLS|listen-peer-urls|plain|http://localhost:2380|here
    listen-client-urls|ETCD_LISTEN_CLIENT_URLS|listen-client-urls|plain|http://localhost:2379|here
    listen-client-http-urls|ETCD_LISTEN_CLIENT_HTTP_URLS|listen-client-http-urls|plain||here
    max-snapshots|ETCD_MAX_SNAPSHOTS|max-snapshots|plain|5|here
    max-wals|ETCD_MAX_WALS|max-wals|plain|5|here
    memory-mlock|ETCD_MEMORY_MLOCK|memory-mlock|plain|false|here
    quota-backend-bytes|ETCD_QUOTA_BACKEND_BYTES|quota-backend-bytes|plain|0|here
    resource-prefixes|ETCD_RESOURCE_PREFIXES|resource-prefixes|plain|/registry/|here
    resource-metrics-max|ETCD_RESOURCE_METRICS_MAX|resource-metrics-max|plain|64|here
    client-metrics-max|ETCD_CLIENT_METRICS_MAX|client-metrics-max|plain|32|here
    observe-requests|ETCD_OBSERVE_REQUESTS|observe-requests|plain|true|here
    quota-auto-disarm|ETCD_QUOTA_AUTO_DISARM|quota-auto-disarm|plain|true|here
    slow-request-log-rate|ETCD_SLOW_REQUEST_LOG_RATE|slow-request-log-rate|plain|0|here
    audit-log-output|ETCD_AUDIT_LOG_OUTPUT|audit-log-output|plain||here
    audit-log-rotation-config-json|ETCD_AUDIT_LOG_ROTATION_CONFIG_JSON|audit-log-rotation-config-json|plain|{"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, "compress": false}|here
    audit-log-key-prefixes|ETCD_AUDIT_LOG_KEY_PREFIXES|audit-log-key-prefixes|list||here
    audit-log-methods|ETCD_AUDIT_LOG_METHODS|audit-log-methods|list||here
    backend-bbolt-freelist-type|ETCD_BACKEND_BBOLT_FREELIST_TYPE|backend-bbolt-freelist-type|plain||here
    backend-batch-interval|ETCD_BACKEND_BATCH_INTERVAL|backend-batch-interval|plain|0|here
    backend-batch-limit|ETCD_BACKEND_BATCH_LIMIT|backend-batch-limit|plain|0|here
    max-txn-ops|ETCD_MAX_TXN_OPS|max-txn-ops|plain|128|here
    max-request-bytes|ETCD_MAX_REQUEST_BYTES|max-request-bytes|plain|1572864|here
    max-concurrent-streams|ETCD_MAX_CONCURRENT_STREAMS|max-concurrent-streams|plain|4294967295|here
    grpc-keepalive-min-time|ETCD_GRPC_KEEPALIVE_MIN_TIME|grpc-keepalive-min-time|plain|5s|here
    grpc-keepalive-interval|ETCD_GRPC_KEEPALIVE_INTERVAL|grpc-keepalive-interval|plain|2h|here
    grpc-keepalive-timeout|ETCD_GRPC_KEEPALIVE_TIMEOUT|grpc-keepalive-timeout|plain|20s|here
    socket-reuse-port|ETCD_SOCKET_REUSE_PORT|socket-options.reuse-port|plain|false|here
    socket-reuse-address|ETCD_SOCKET_REUSE_ADDRESS|socket-options.reuse-address|plain|false|here
    enable-grpc-gateway|ETCD_ENABLE_GRPC_GATEWAY|enable-grpc-gateway|plain|true|here
    raft-read-timeout|ETCD_RAFT_READ_TIMEOUT|-|plain|5s|here
    raft-write-timeout|ETCD_RAFT_WRITE_TIMEOUT|-|plain|5s|here
    feature-gates|ETCD_FEATURE_GATES|feature-gates|plain||here
    initial-advertise-peer-urls|ETCD_INITIAL_ADVERTISE_PEER_URLS|initial-advertise-peer-urls|plain|http://localhost:2380|here
    initial-cluster|ETCD_INITIAL_CLUSTER|initial-cluster|plain|default=http://localhost:2380|here
    initial-cluster-state|ETCD_INITIAL_CLUSTER_STATE|initial-cluster-state|plain|new|here
    initial-cluster-token|ETCD_INITIAL_CLUSTER_TOKEN|initial-cluster-token|plain|etcd-cluster|here
    advertise-client-urls|ETCD_ADVERTISE_CLIENT_URLS|advertise-client-urls|plain|http://localhost:2379|here
    discovery|ETCD_DISCOVERY|discovery|plain||gone
    discovery-token|ETCD_DISCOVERY_TOKEN|discovery-config.token|plain||here
    discovery-endpoints|ETCD_DISCOVERY_ENDPOINTS|discovery-config.client.endpoints|list||here
    discovery-dial-timeout|ETCD_DISCOVERY_DIAL_TIMEOUT|discovery-config.client.dial-timeout|plain|2s|here
    discovery-request-timeout|ETCD_DISCOVERY_REQUEST_TIMEOUT|discovery-config.client.request-timeout|plain|5s|here
    discovery-keepalive-time|ETCD_DISCOVERY_KEEPALIVE_TIME|discovery-config.client.keepalive-time|plain|2s|here
    discovery-keepalive-timeout|ETCD_DISCOVERY_KEEPALIVE_TIMEOUT|discovery-config.client.keepalive-timeout|plain|6s|here
    discovery-insecure-transport|ETCD_DISCOVERY_INSECURE_TRANSPORT|discovery-config.client.secure.insecure-transport|plain|true|here
    discovery-insecure-skip-tls-verify|ETCD_DISCOVERY_INSECURE_SKIP_TLS_VERIFY|discovery-config.client.secure.insecure-skip-tls-verify|plain|false|here
    discovery-cert|ETCD_DISCOVERY_CERT|discovery-config.client.secure.cert|plain||here
    discovery-key|ETCD_DISCOVERY_KEY|discovery-config.client.secure.key|plain||here
    discovery-cacert|ETCD_DISCOVERY_CACERT|discovery-config.client.secure.cacert|plain||here
    discovery-user|ETCD_DISCOVERY_USER|discovery-config.client.auth.username|plain||here
    discovery-password|ETCD_DISCOVERY_PASSWORD|discovery-config.client.auth.password|plain||here
    discovery-fallback|ETCD_DISCOVERY_FALLBACK|-|plain|exit|here
    discovery-proxy|ETCD_DISCOVERY_PROXY|discovery-proxy|plain||gone
    discovery-srv|ETCD_DISCOVERY_SRV|discovery-srv|plain||here
    discovery-srv-name|ETCD_DISCOVERY_SRV_NAME|discovery-srv-name|plain||here
    strict-reconfig-check|ETCD_STRICT_RECONFIG_CHECK|strict-reconfig-check|plain|true|here
    pre-vote|ETCD_PRE_VOTE|pre-vote|plain|true|here
    auto-compaction-mode|ETCD_AUTO_COMPACTION_MODE|auto-compaction-mode|plain|periodic|here
    auto-compaction-retention|ETCD_AUTO_COMPACTION_RETENTION|auto-compaction-retention|plain|0|here
    v2-deprecation|ETCD_V2_DEPRECATION|v2-deprecation|plain|write-only|here
    cert-file|ETCD_CERT_FILE|client-transport-security.cert-file|plain||here
    key-file|ETCD_KEY_FILE|client-transport-security.key-file|plain||here
    client-cert-file|ETCD_CLIENT_CERT_FILE|client-transport-security.client-cert-file|plain||here
    client-key-file|ETCD_CLIENT_KEY_FILE|client-transport-security.client-key-file|plain||here
    client-cert-auth|ETCD_CLIENT_CERT_AUTH|client-transport-security.client-cert-auth|plain|false|here
    client-crl-file|ETCD_CLIENT_CRL_FILE|-|plain||here
    client-cert-allowed-hostname|ETCD_CLIENT_CERT_ALLOWED_HOSTNAME|client-transport-security.allowed-hostname|list||here
    trusted-ca-file|ETCD_TRUSTED_CA_FILE|client-transport-security.trusted-ca-file|plain||here
    auto-tls|ETCD_AUTO_TLS|client-transport-security.auto-tls|plain|false|here
    peer-cert-file|ETCD_PEER_CERT_FILE|peer-transport-security.cert-file|plain||here
    peer-key-file|ETCD_PEER_KEY_FILE|peer-transport-security.key-file|plain||here
    peer-client-cert-file|ETCD_PEER_CLIENT_CERT_FILE|peer-transport-security.client-cert-file|plain||here
    peer-client-key-file|ETCD_PEER_CLIENT_KEY_FILE|peer-transport-security.client-key-file|plain||here
    peer-client-cert-auth|ETCD_PEER_CLIENT_CERT_AUTH|peer-transport-security.client-cert-auth|plain|false|here
    peer-trusted-ca-file|ETCD_PEER_TRUSTED_CA_FILE|peer-transport-security.trusted-ca-file|plain||here
    peer-cert-allowed-cn|ETCD_PEER_CERT_ALLOWED_CN|peer-transport-security.allowed-cn|list||here
    peer-cert-allowed-hostname|ETCD_PEER_CERT_ALLOWED_HOSTNAME|peer-transport-security.allowed-hostname|list||here
    peer-auto-tls|ETCD_PEER_AUTO_TLS|peer-transport-security.auto-tls|plain|false|here
    peer-crl-file|ETCD_PEER_CRL_FILE|-|plain||here
    peer-skip-client-san-verification|ETCD_PEER_SKIP_CLIENT_SAN_VERIFICATION|peer-transport-security.skip-client-san-verification|plain|false|here
    self-signed-cert-validity|ETCD_SELF_SIGNED_CERT_VALIDITY|self-signed-cert-validity|plain|1|here
    cipher-suites|ETCD_CIPHER_SUITES|cipher-suites|list||here
    cors|ETCD_CORS|cors|plain|*|here
    host-whitelist|ETCD_HOST_WHITELIST|host-whitelist|plain|*|here
    tls-min-version|ETCD_TLS_MIN_VERSION|tls-min-version|plain|TLS1.2|here
    tls-max-version|ETCD_TLS_MAX_VERSION|tls-max-version|plain||here
    auth-token|ETCD_AUTH_TOKEN|auth-token|plain|simple|here
    bcrypt-cost|ETCD_BCRYPT_COST|bcrypt-cost|plain|10|here
    auth-token-ttl|ETCD_AUTH_TOKEN_TTL|auth-token-ttl|plain|300|here
    enable-pprof|ETCD_ENABLE_PPROF|enable-pprof|plain|false|here
    metrics|ETCD_METRICS|metrics|plain|basic|here
    listen-metrics-urls|ETCD_LISTEN_METRICS_URLS|listen-metrics-urls|plain||here
    logger|ETCD_LOGGER|logger|plain|zap|here
    log-outputs|ETCD_LOG_OUTPUTS|log-outputs|list|default|here
    log-level|ETCD_LOG_LEVEL|log-level|plain|info|here
    log-format|ETCD_LOG_FORMAT|log-format|plain|json|here
    enable-log-rotation|ETCD_ENABLE_LOG_ROTATION|enable-log-rotation|plain|false|here
    log-rotation-config-json|ETCD_LOG_ROTATION_CONFIG_JSON|log-rotation-config-json|plain|*|here
    warning-unary-request-duration|ETCD_WARNING_UNARY_REQUEST_DURATION|warning-unary-request-duration|plain|300ms|here
    enable-distributed-tracing|ETCD_ENABLE_DISTRIBUTED_TRACING|enable-distributed-tracing|plain|false|here
    distributed-tracing-address|ETCD_DISTRIBUTED_TRACING_ADDRESS|distributed-tracing-address|plain|localhost:4317|here
    distributed-tracing-service-name|ETCD_DISTRIBUTED_TRACING_SERVICE_NAME|distributed-tracing-service-name|plain|etcd|here
    distributed-tracing-instance-id|ETCD_DISTRIBUTED_TRACING_INSTANCE_ID|distributed-tracing-instance-id|plain||here
    distributed-tracing-sampling-rate|ETCD_DISTRIBUTED_TRACING_SAMPLING_RATE|distributed-tracing-sampling-rate|plain|0|here
    corrupt-check-time|ETCD_CORRUPT_CHECK_TIME|corrupt-check-time|plain|0s|here
    compact-hash-check-time|ETCD_COMPACT_HASH_CHECK_TIME|compact-hash-check-time|plain|1m|here
    compaction-batch-limit|ETCD_COMPACTION_BATCH_LIMIT|compaction-batch-limit|plain|0|here
    compaction-sleep-interval|ETCD_COMPACTION_SLEEP_INTERVAL|compaction-sleep-interval|plain|0|here
    watch-progress-notify-interval|ETCD_WATCH_PROGRESS_NOTIFY_INTERVAL|watch-progress-notify-interval|plain|0|here
    downgrade-check-time|ETCD_DOWNGRADE_CHECK_TIME|downgrade-check-time|plain|5s|here
    warning-apply-duration|ETCD_WARNING_APPLY_DURATION|warning-apply-duration|plain|100ms|here
    bootstrap-defrag-threshold-megabytes|ETCD_BOOTSTRAP_DEFRAG_THRESHOLD_MEGABYTES|bootstrap-defrag-threshold-megabytes|plain|0|here
    max-learners|ETCD_MAX_LEARNERS|max-learners|plain|1|here
    force-new-cluster|ETCD_FORCE_NEW_CLUSTER|force-new-cluster|plain|false|here
    unsafe-no-fsync|ETCD_UNSAFE_NO_FSYNC|unsafe-no-fsync|plain|false|here
    config-file|ETCD_CONFIG_FILE|-|plain||here
    version|-|-|plain|false|here
    experimental-compact-hash-check-time|ETCD_EXPERIMENTAL_COMPACT_HASH_CHECK_TIME|experimental-compact-hash-check-time|plain|1m|gone
    experimental-corrupt-check-time|ETCD_EXPERIMENTAL_CORRUPT_CHECK_TIME|experimental-corrupt-check-time|plain|0s|gone
    experimental-compaction-batch-limit|ETCD_EXPERIMENTAL_COMPACTION_BATCH_LIMIT|experimental-compaction-batch-limit|plain|0|gone
    experimental-watch-progress-notify-interval|ETCD_EXPERIMENTAL_WATCH_PROGRESS_NOTIFY_INTERVAL|experimental-watch-progress-notify-interval|plain|0|gone
    experimental-warning-apply-duration|ETCD_EXPERIMENTAL_WARNING_APPLY_DURATION|experimental-warning-apply-duration|plain|100ms|gone
    experimental-bootstrap-defrag-threshold-megabytes|ETCD_EXPERIMENTAL_BOOTSTRAP_DEFRAG_THRESHOLD_MEGABYTES|experimental-bootstrap-defrag-threshold-megabytes|plain|0|gone
    experimental-memory-mlock|ETCD_EXPERIMENTAL_MEMORY_MLOCK|experimental-memory-mlock|plain|false|gone
    experimental-snapshot-catchup-entries|ETCD_EXPERIMENTAL_SNAPSHOT_CATCHUP_ENTRIES|experimental-snapshot-catch-up-entries|plain|5000|gone
    experimental-compaction-sleep-interval|ETCD_EXPERIMENTAL_COMPACTION_SLEEP_INTERVAL|experimental-compaction-sleep-interval|plain|0|gone
    experimental-downgrade-check-time|ETCD_EXPERIMENTAL_DOWNGRADE_CHECK_TIME|experimental-downgrade-check-time|plain|5s|gone
    experimental-peer-skip-client-san-verification|ETCD_EXPERIMENTAL_PEER_SKIP_CLIENT_SAN_VERIFICATION|experimental-peer-skip-client-san-verification|plain|false|gone
    experimental-enable-distributed-tracing|ETCD_EXPERIMENTAL_ENABLE_DISTRIBUTED_TRACING|experimental-enable-distributed-tracing|plain|false|gone
    experimental-distributed-tracing-address|ETCD_EXPERIMENTAL_DISTRIBUTED_TRACING_ADDRESS|experimental-distributed-tracing-address|plain|localhost:4317|gone
    experimental-distributed-tracing-service-name|ETCD_EXPERIMENTAL_DISTRIBUTED_TRACING_SERVICE_NAME|experimental-distributed-tracing-service-name|plain|etcd|gone
    experimental-distributed-tracing-instance-id|ETCD_EXPERIMENTAL_DISTRIBUTED_TRACING_INSTANCE_ID|experimental-distributed-tracing-instance-id|plain||gone
    experimental-distributed-tracing-sampling-rate|ETCD_EXPERIMENTAL_DISTRIBUTED_TRACING_SAMPLING_RATE|experimental-distributed-tracing-sampling-rate|plain|0|gone
    experimental-warning-unary-request-duration|ETCD_EXPERIMENTAL_WARNING_UNARY_REQUEST_DURATION|experimental-warning-unary-request-duration|plain|0|gone
    experimental-stop-grpc-service-on-defrag|ETCD_EXPERIMENTAL_STOP_GRPC_SERVICE_ON_DEFRAG|experimental-stop-grpc-service-on-defrag|plain|false|gone
    experimental-initial-corrupt-check|ETCD_EXPERIMENTAL_INITIAL_CORRUPT_CHECK|experimental-initial-corrupt-check|plain|false|gone
    experimental-compact-hash-check-enabled|ETCD_EXPERIMENTAL_COMPACT_HASH_CHECK_ENABLED|experimental-compact-hash-check-enabled|plain|false|gone
    experimental-txn-mode-write-with-shared-buffer|ETCD_EXPERIMENTAL_TXN_MODE_WRITE_WITH_SHARED_BUFFER|experimental-txn-mode-write-with-shared-buffer|plain|true|gone
    experimental-enable-lease-checkpoint|ETCD_EXPERIMENTAL_ENABLE_LEASE_CHECKPOINT|experimental-enable-lease-checkpoint|plain|false|gone
    experimental-enable-lease-checkpoint-persist|ETCD_EXPERIMENTAL_ENABLE_LEASE_CHECKPOINT_PERSIST|experimental-enable-lease-checkpoint-persist|plain|false|gone
    cluster-active-size|ETCD_CLUSTER_ACTIVE_SIZE|-|plain||ignored
    cluster-remove-delay|ETCD_CLUSTER_REMOVE_DELAY|-|plain||ignored
    cluster-sync-interval|ETCD_CLUSTER_SYNC_INTERVAL|-|plain||ignored
    config|ETCD_CONFIG|-|plain||ignored
    force|ETCD_FORCE|-|plain||ignored
    max-result-buffer|ETCD_MAX_RESULT_BUFFER|-|plain||ignored
    max-retry-attempts|ETCD_MAX_RETRY_ATTEMPTS|-|plain||ignored
    peer-heartbeat-interval|ETCD_PEER_HEARTBEAT_INTERVAL|-|plain||ignored
    peer-election-timeout|ETCD_PEER_ELECTION_TIMEOUT|-|plain||ignored
    retry-interval|ETCD_RETRY_INTERVAL|-|plain||ignored
    snapshot|ETCD_SNAPSHOT|-|plain||ignored
    v|ETCD_V|-|plain||ignored
    vv|ETCD_VV|-|plain||ignored
    test.coverprofile|ETCD_TEST.COVERPROFILE|-|plain||ignored
    test.outputdir|ETCD_TEST.OUTPUTDIR|-|plain||ignored
    """

/// Feature gates: name, stage, default.
let gateFacts = """
    StopGRPCServiceOnDefrag ALPHA false
    TxnModeWriteWithSharedBuffer BETA true
    InitialCorruptCheck ALPHA false
    CompactHashCheck ALPHA false
    LeaseCheckpoint ALPHA false
    LeaseCheckpointPersist ALPHA false
    SetMemberLocalAddr ALPHA false
    FastLeaseKeepAlive BETA true
    PriorityRequest ALPHA false
    AllAlpha ALPHA false
    AllBeta BETA false
    """
