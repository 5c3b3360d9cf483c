// /debug/martlet/…: what the server knows of itself as JSON, for people and tools. Bounded, made from figures that are kept
// anyway, behind what guards /metrics. docs/observability.md has the shapes.

import KeySpace
import Transport
import Wire

enum DebugPages {
    static let path = "/debug/martlet"
    private static let pages = ["clients", "queues", "resources", "store", "watches"]

    /// Whether these pages answer a path.
    static func serves(_ path: String) -> Bool {
        guard path.hasPrefix(Self.path) else { return false }
        let rest = path.dropFirst(Self.path.count)
        return rest.isEmpty || rest == "/" || pages.contains { rest.dropFirst() == $0 && rest.first == "/" }
    }

    static func response(_ request: HTTPRequest, _ node: Node) -> HTTPResponse {
        var json = DebugJSON()
        switch request.path.dropFirst(path.count + 1) {
        case "clients": clients(&json, node, Selection(request, isClients: true))
        case "queues": queues(&json, node)
        case "resources": resources(&json, node, Selection(request, isClients: false))
        case "store": store(&json, node)
        case "watches": watches(&json, node)
        default: json.object { $0.field("pages", pages.map { path + "/" + $0 }) }
        }
        return HTTPResponse(status: 200, headers: ["Content-Type": "application/json; charset=utf-8"], body: json.finish())
    }

    /// `?sort=FIELD&limit=N`: the largest first, so that "who writes most" is the first line.
    private struct Selection {
        let sort: String
        let limit: Int

        init(_ request: HTTPRequest, isClients: Bool) {
            let query = QueryItems(request.query)
            sort = query.values("sort").first ?? (isClients ? "requests" : "puts")
            limit = max(0, query.values("limit").first.flatMap { Int($0) } ?? .max)
        }

        /// Rows of named numbers in the order that was asked for.
        func apply<Row>(_ rows: [Row], _ fields: (Row) -> [(String, Int)]) -> ArraySlice<Row> {
            let keyed = rows.map { row in (row, fields(row).first { $0.0 == sort }?.1 ?? 0) }
            return keyed.enumerated().sorted { ($1.element.1, $0.offset) < ($0.element.1, $1.offset) }.map(\.element.0).prefix(limit)
        }
    }

    // MARK: Pages

    private static func resources(_ json: inout DebugJSON, _ node: Node, _ selection: Selection) {
        let rows = Array(zip(node.resources.rows(), node.store.largestKeys))
        func fields(_ row: ResourceStatistics.Row) -> [(String, Int)] {
            [
                ("keys", Int(row.usage.liveKeys)), ("live_bytes", Int(row.usage.liveBytes)),
                ("history_bytes", Int(row.usage.historyBytes)), ("largest_bytes", Int(row.usage.largestBytes)),
                ("puts", Int(row.usage.puts)), ("put_bytes", Int(row.usage.putBytes)), ("deletes", Int(row.usage.deletes)),
                ("gets", row[.gets]), ("get_bytes", row[.getBytes]), ("transaction_reads", Int(row.usage.transactionReads)),
                ("lists", row[.lists]), ("list_keys", row[.listKeys]), ("list_bytes", row[.listBytes]),
                ("watchers", row[.watchers]), ("watches", row[.watchesMade]), ("watch_events", row[.watchEvents]),
                ("watch_bytes", row[.watchBytes]),
            ]
        }
        // Names of keys are not for everybody once there are users.
        let showsKeys = !node.keySpace.auth.isEnabled
        json.object { json in
            json.field("revision", Int(node.store.currentRevision))
            json.array("resources", selection.apply(rows) { fields($0.0) }) { json, row in
                json.field("resource", row.0.name)
                for (name, value) in fields(row.0) { json.field(name, value) }
                if showsKeys, let key = row.1 { json.field("largest_key", String(decoding: key, as: UTF8.self)) }
            }
        }
    }

    private static func clients(_ json: inout DebugJSON, _ node: Node, _ selection: Selection) {
        func fields(_ row: ClientStatistics.Row) -> [(String, Int)] {
            [
                ("requests", row[.requests]), ("errors", row[.errors]), ("received_bytes", row[.receivedBytes]),
                ("sent_bytes", row[.sentBytes]), ("open_calls", row[.openCalls]),
            ]
        }
        let rows = node.clients.rows().enumerated().filter { $0.offset > 0 || $0.element[.requests] > 0 }.map(\.element)
        json.object { json in
            json.array("clients", selection.apply(rows, fields)) { json, row in
                json.field("client", row.identity.name)
                json.field("user_agent", row.identity.agent)
                json.field("address", row.identity.address)
                for (name, value) in fields(row) { json.field(name, value) }
            }
        }
    }

    private static func watches(_ json: inout DebugJSON, _ node: Node) {
        let levels = node.loops.map { $0.watches.lag.levels }
        let slowest = levels.flatMap(\.slowest).sorted { ($1.revisions, $1.queuedBytes) < ($0.revisions, $0.queuedBytes) }
        json.object { json in
            json.field("revision", Int(node.store.currentRevision))
            json.field("streams", levels.reduce(0) { $0 + $1.streams })
            json.field("streams_behind", levels.reduce(0) { $0 + $1.behind })
            json.array("slowest", slowest.prefix(ServerLimits.slowStreamsMax)) { json, stream in
                json.field("address", stream.address)
                json.field("user_agent", stream.agent)
                json.field("watchers", stream.watchers)
                json.field("watchers_behind", stream.watchersBehind)
                json.field("lag_revisions", Int(stream.revisions))
                json.field("lag_seconds", stream.seconds)
                json.field("queued_bytes", stream.queuedBytes)
            }
        }
    }

    private static func queues(_ json: inout DebugJSON, _ node: Node) {
        let levels = node.inbox.levels
        let loops = node.loops.indices.map { node.serverLoop($0).counters }
        func total(_ value: (LoopCounters) -> Int) -> Int { loops.reduce(0) { $0 + value($1) } }
        let queues: [(String, Int, Int)] = [
            ("proposals", levels.proposals, ServerLimits.proposalsInFlightMax),
            ("proposal_bytes", levels.bytes, ServerLimits.proposalBytesInFlightMax),
            ("linearizable_reads", levels.reads, ServerLimits.readsInFlightMax),
            (
                "unapplied_entries", Int(node.consensus.committed) - Int(min(node.consensus.applied, node.consensus.committed)),
                Int(ServerLimits.unappliedEntriesMax)
            ),
            ("connections", total { $0.connectionsOpen.value }, ServerLimits.connectionsMax),
            ("calls", total { $0.callsOpen.value }, 0),
            ("output_bytes", total { $0.queuedBytes.value }, loops.count * TransportLimits.loopHeldBytesMax),
            ("input_bytes", total { $0.receivedPartialBytes.value }, loops.count * TransportLimits.loopHeldBytesMax),
            ("long_work_slices", total { $0.slicesWaiting.value }, 0),
            ("snapshots", node.snapshots.running, ServerLimits.snapshotsInFlightMax),
            ("claims", node.claims.value, 0),
            ("gateway_calls", Int(node.metrics.gateway.waiting.value), ServerLimits.gatewayCallsWaitingMax),
            ("compactions", node.store.statistics.pendingCompactions, 0),
            ("expired_leases", node.keySpace.leases.expiredCount, 0),
        ]
        json.object { json in
            json.array("queues", queues[...]) { json, queue in
                json.field("queue", queue.0)
                json.field("level", queue.1)
                // 0: bounded by something else, as calls are by connections.
                if queue.2 > 0 { json.field("limit", queue.2) }
            }
        }
    }

    private static func store(_ json: inout DebugJSON, _ node: Node) {
        let statistics = node.store.statistics
        let leases = node.keySpace.leases
        json.object { json in
            json.field("version", Version.martlet)
            json.field("etcd_version", Version.server)
            json.field("revision", Int(node.store.currentRevision))
            json.field("compact_revision", Int(node.store.compactRevision))
            json.field("compacted_revision", Int(statistics.finishedCompaction))
            json.field("keys", statistics.liveKeys)
            json.field("keys_with_history", statistics.keys)
            json.field("versions", statistics.versions)
            json.field("dead_versions", statistics.deadVersions)
            json.field("pinned_readers", statistics.pins)
            json.field("size_bytes", node.store.size)
            json.field("in_use_bytes", node.store.sizeInUse)
            json.field("garbage_bytes", statistics.garbageBytes)
            json.field("quota_bytes", node.keySpace.quota ?? -1)
            json.field("segments", statistics.segments)
            json.field("verified_bytes", statistics.verifiedBytes)
            json.field("damaged_segments", statistics.damagedSegments)
            json.field("committed_index", Int(node.consensus.committed))
            json.field("applied_index", Int(node.consensus.applied))
            json.field("durable_index", Int(node.store.durableIndex))
            json.field("leases", leases.count)
            json.field("leases_expired", leases.expiredCount)
            json.field("lease_expiry_lag_seconds", Double(leases.expiryLag(now: monotonicNow())) / 1e9)
        }
    }
}

/// Writes JSON objects field by field.
struct DebugJSON {
    private let sink = ByteSink(capacity: 4096)
    private var needsComma = false

    mutating func object(_ body: (inout DebugJSON) -> Void) {
        sink.append("{" as StaticString)
        needsComma = false
        body(&self)
        sink.append("}" as StaticString)
        needsComma = true
    }

    mutating func field(_ name: String, _ value: Int) {
        begin(name)
        sink.append("\(value)")
    }

    mutating func field(_ name: String, _ value: Double) {
        begin(name)
        sink.append(value.isFinite ? "\(value)" : "null")
    }

    mutating func field(_ name: String, _ value: String) {
        begin(name)
        sink.json(value)
    }

    mutating func field(_ name: String, _ values: [String]) {
        begin(name)
        sink.json(values)
    }

    mutating func array<Element>(_ name: String, _ elements: ArraySlice<Element>, _ body: (inout DebugJSON, Element) -> Void) {
        begin(name)
        sink.append("[" as StaticString)
        for (position, element) in elements.enumerated() {
            sink.append(position == 0 ? "\n" : ",\n")
            object { body(&$0, element) }
        }
        sink.append("]" as StaticString)
        needsComma = true
    }

    consuming func finish() -> [UInt8] {
        sink.append("\n" as StaticString)
        return sink.array()
    }

    private mutating func begin(_ name: String) {
        if needsComma { sink.append("," as StaticString) }
        needsComma = true
        sink.json(name)
        sink.append(":" as StaticString)
    }
}
