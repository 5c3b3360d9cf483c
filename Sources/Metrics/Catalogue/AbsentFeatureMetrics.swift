// Families of parts of etcd that this server does not have. Dashboards expect their names; zero is the
// true value of each: no v2 store and no gRPC proxy run in this process.

/// The zeros of the v2 store.
public struct V2StoreMetrics: Sendable {
    public init(_ registry: Registry) {
        _ = registry.counter("etcd_debugging_store_expires_total", help: "Expired keys of the v2 store (none here).")
        _ = registry.counter(
            "etcd_debugging_store_watch_requests_total", help: "Watches of the v2 store (none here).")
        _ = registry.gauge("etcd_debugging_store_watchers", help: "Watchers of the v2 store (none here).")
    }
}

/// The zeros of the gRPC proxy.
public struct ProxyMetrics: Sendable {
    public init(_ registry: Registry) {
        _ = registry.gauge("etcd_grpc_proxy_cache_hits_total", help: "Cache hits of a gRPC proxy (none here).")
        _ = registry.gauge("etcd_grpc_proxy_cache_keys_total", help: "Cached ranges of a gRPC proxy (none here).")
        _ = registry.gauge("etcd_grpc_proxy_cache_misses_total", help: "Cache misses of a gRPC proxy (none here).")
        _ = registry.counter(
            "etcd_grpc_proxy_events_coalescing_total", help: "Events a gRPC proxy saved (none here).")
        _ = registry.gauge(
            "etcd_grpc_proxy_watchers_coalescing_total", help: "Watchers a gRPC proxy merged (none here).")
    }
}
