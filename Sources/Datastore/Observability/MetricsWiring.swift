// Levels that are read when somebody scrapes, and what is said once at start.

import DatastoreMetrics
import DatastoreTracing
import KeySpace
import Transport
import Wire

enum MetricsWiring {
    static func wire(_ node: Node, transport: Transport.Server) {
        let metrics = node.metrics
        metrics.server.setIdentity(
            memberID: node.memberID.rawValue, serverVersion: Version.server, runtimeVersion: Version.runtime)
        metrics.server.quotaBackendBytes.set(node.configuration.backend.quotaBytes ?? node.configuration.backend.quotaFlagBytes)
        for gate in FeatureGate.allCases {
            metrics.server.setFeature(
                gate.rawValue, stage: gate.stage.rawValue, enabled: node.configuration.features.isOn(gate))
        }
        _ = LoggingMetrics(metrics.registry, core: node.log.core)
        node.requests.wire(metrics.registry)
        node.requests.exporter?.wire(metrics.registry)
        node.audit?.wire(metrics.registry)
        let auth = node.keySpace.auth
        _ = AuthMetrics(metrics.registry) { auth.revision }
        let store = node.store
        _ = StoreLevelMetrics(metrics.registry) {
            StoreLevels(
                allocatedBytes: Int64(store.size), usedBytes: Int64(store.sizeInUse),
                openReadTransactions: Int64(store.statistics.pins), currentRevision: store.currentRevision,
                compactRevision: store.compactRevision)
        }
        let inFlight = metrics.registry.gauge(
            "martlet_proposals_in_flight", help: "Proposals handed in and not answered yet.")
        let inFlightBytes = metrics.registry.gauge(
            "martlet_proposal_bytes_in_flight", help: "Bytes of proposals handed in and not answered yet.")
        let readsWaiting = metrics.registry.gauge(
            "martlet_linearizable_reads_waiting", help: "Reads that wait for a read index.")
        let claims = metrics.registry.gauge(
            "martlet_claims_waiting", help: "Lock, Campaign and Observe calls in progress.")
        let connections = metrics.registry.gauge("martlet_connections_open", help: "Client connections open.")
        let calls = metrics.registry.gauge("martlet_calls_open", help: "gRPC calls open.")
        let queued = metrics.registry.gauge(
            "martlet_output_queued_bytes", help: "Bytes of answers that clients have not taken yet.")
        let partial = metrics.registry.gauge(
            "martlet_input_partial_bytes", help: "Bytes of requests received in part.")
        let rejected = metrics.registry.gauge(
            "martlet_connections_rejected", help: "Connections and calls ended since start because the peer broke a limit or the protocol.")
        let cut = metrics.registry.gauge(
            "martlet_connections_cut", help: "Connections closed since start because they held most when memory for peers was used up.")
        let snapshots = metrics.registry.gauge("martlet_snapshots_in_flight", help: "Snapshot streams being sent.")
        let stalled = metrics.registry.gauge(
            "martlet_answers_stalled", help: "Answers ended since start because their client took nothing of them.")
        let slices = metrics.registry.gauge("martlet_long_work_slices", help: "Slices of long work that wait for their turn.")
        let verified = metrics.registry.gauge(
            "martlet_store_verified_bytes", help: "Bytes of the log read again since start and found right.")
        let damaged = metrics.registry.gauge(
            "martlet_store_damaged_segments", help: "Segments of the log in which damage was found since start.")
        let keys = metrics.mvcc.keys
        wireStore(node)
        node.resources.wire(metrics.registry)
        node.clients.wire(metrics.registry)
        WatchLag.wire(node.loops.map { $0.watches.lag }, metrics.registry)
        for member in node.keySpace.cluster.current.members.values {
            metrics.knownPeers.set(local: node.memberID.rawValue, remote: member.id.rawValue, known: true)
            if member.id == node.memberID { metrics.server.isLearner.set(member.isLearner) }
        }
        metrics.registry.gauges(
            "martlet_build_info", help: "What runs: 1 on its labels.", labels: ["version", "etcd_version", "architecture"]
        ).series(Version.martlet, Version.server, Version.architecture).set(true)
        let loops = transport.loops
        metrics.registry.beforeScrape {
            let levels = node.inbox.levels
            inFlight.set(levels.proposals)
            inFlightBytes.set(levels.bytes)
            readsWaiting.set(levels.reads)
            claims.set(node.claims.value)
            connections.set(loops.reduce(0) { $0 + $1.counters.connectionsOpen.value })
            calls.set(loops.reduce(0) { $0 + $1.counters.callsOpen.value })
            queued.set(loops.reduce(0) { $0 + $1.counters.queuedBytes.value })
            partial.set(loops.reduce(0) { $0 + $1.counters.receivedPartialBytes.value })
            rejected.set(loops.reduce(0) { $0 + $1.counters.connectionsRejected.value })
            cut.set(loops.reduce(0) { $0 + $1.counters.connectionsCut.value })
            snapshots.set(node.snapshots.running)
            stalled.set(loops.reduce(0) { $0 + $1.counters.answersStalled.value })
            slices.set(loops.reduce(0) { $0 + $1.counters.slicesWaiting.value })
            let statistics = store.statistics
            verified.set(statistics.verifiedBytes)
            damaged.set(statistics.damagedSegments)
            keys.set(statistics.liveKeys)
        }
    }

    /// How far the store's background work is behind.
    private static func wireStore(_ node: Node) {
        let registry = node.metrics.registry
        let store = node.store
        let leases = node.keySpace.leases
        let garbage = registry.gauge(
            "martlet_store_garbage_bytes", help: "Bytes of the store that hold nothing any more and are not yet given back.")
        let segments = registry.gauge("martlet_store_segments", help: "Segment files of the store.")
        let versions = registry.gauge("martlet_store_versions", help: "Versions of keys in the index.")
        let dead = registry.gauge("martlet_store_dead_versions", help: "Purged versions that the index has not forgotten yet.")
        let purge = registry.gauge(
            "martlet_compaction_lag_revisions", help: "Revisions compacted and not yet purged.")
        let unapplied = registry.gauge("martlet_apply_lag_entries", help: "Entries committed and not yet applied.")
        let undurable = registry.gauge(
            "martlet_durable_lag_entries", help: "Entries applied that only the write-ahead log has on the disk so far.")
        let count = registry.gauge("martlet_leases", help: "Leases.")
        let expired = registry.gauge("martlet_leases_expired", help: "Leases expired and not yet revoked.")
        registry.callback(
            "martlet_lease_expiry_lag_seconds", help: "Time since the oldest lease expired that is not yet revoked, in seconds."
        ) { Double(leases.expiryLag(now: monotonicNow())) / 1e9 }
        let view = node.consensus
        registry.beforeScrape {
            let statistics = store.statistics
            garbage.set(statistics.garbageBytes)
            segments.set(statistics.segments)
            versions.set(statistics.versions - statistics.deadVersions)
            dead.set(statistics.deadVersions)
            purge.set(max(0, statistics.scheduledCompaction - statistics.finishedCompaction))
            let applied = view.applied
            unapplied.set(view.committed - min(applied, view.committed))
            undurable.set(applied - min(store.durableIndex, applied))
            count.set(leases.count)
            expired.set(leases.expiredCount)
        }
    }

    /// Levels of what the listeners share.
    static func wire(_ connections: ConnectionBudget, _ node: Node) {
        let registry = node.metrics.registry
        registry.gauge("martlet_connections_limit", help: "Connections that may be open at once.").set(connections.limit)
        let pauses = registry.gauge(
            "martlet_accept_pauses", help: "Times that accepting stopped because there was no room for connections.")
        registry.beforeScrape { pauses.set(connections.acceptPauses) }
    }
}
