// top: what a cluster is doing, from its members' metrics.

import Client
import CommandLineTools

#if canImport(Glibc)
import Glibc
#endif

extension ControlTool {
    func topCommand() -> Command {
        let command = Command(
            "top [options]", "Shows what the members are doing, again and again",
            long: """
                Shows, for each endpoint, rates of calls, sizes and latencies from its metrics. On a terminal the screen is
                drawn anew at each interval; otherwise a table is printed each time. Works with etcd as well.
                """)
        let interval = command.flags.add("interval", Duration.seconds(2), "time between two looks")
        let count = command.flags.add("count", 0, "so many tables, then end (0: until interrupted)")
        let isCluster = command.flags.add("cluster", false, "use all endpoints from the cluster member list")
        command.runAsync = { [unowned self] invocation in
            let console = invocation.console
            var endpoints = try self.discovered()
            if isCluster.value { endpoints = try await self.clusterEndpoints(console, endpoints) }
            var members: [TopMember] = []
            for endpoint in endpoints { members.append(TopMember(endpoint, try await self.client(console, endpoints: [endpoint]))) }
            for member in members { await member.look() }
            var shown = 0
            while count.value == 0 || shown < count.value {
                try await Task.sleep(for: interval.value)
                for member in members { await member.look() }
                let isTerminal = console.isTerminal(.output)
                if isTerminal { console.write("\u{1b}[H\u{1b}[2J") }
                self.showTop(members, console)
                console.flush()
                shown += 1
            }
        }
        return command
    }

    private func showTop(_ members: [TopMember], _ console: Console) {
        console.write(
            FramedTable.text(
                ["endpoint", "leader", "keys", "db size", "reads/s", "writes/s", "events/s", "watchers", "streams", "fsync p99", "memory"],
                members.map(\.row)))
        for member in members where !member.methods.isEmpty {
            console.print("\nCalls of \(member.endpoint), per second:")
            for (method, rate) in member.methods.prefix(12) { console.print("\(padded(fixed(rate, 1), 12))  \(method)") }
        }
    }
}

/// One member, with the last two looks at it.
final class TopMember {
    let endpoint: String
    private let client: Client
    private let clock = ContinuousClock()
    private var last: (metrics: Metrics, at: ContinuousClock.Instant)?
    private var current: (metrics: Metrics, at: ContinuousClock.Instant)?
    private var problem = ""

    init(_ endpoint: String, _ client: Client) {
        self.endpoint = endpoint
        self.client = client
    }

    nonisolated(nonsending) func look() async {
        do {
            let bytes = try await client.metricsText()
            last = current
            current = (Metrics(text: String(decoding: bytes, as: UTF8.self)), clock.now)
            problem = ""
        } catch {
            last = nil
            current = nil
            problem = "\(error)"
        }
    }

    /// Growth of a counter in a second.
    private func rate(_ name: String, where matches: ([String: String]) -> Bool = { _ in true }) -> Double? {
        guard let last, let current, let now = current.metrics.value(name, where: matches) else { return nil }
        let seconds = (current.at - last.at) / .seconds(1)
        return max(0, now - (last.metrics.value(name, where: matches) ?? 0)) / max(seconds, 0.001)
    }

    private func value(_ names: String...) -> Double? { names.lazy.compactMap { self.current?.metrics.value($0) }.first }

    /// The bound below which 99 of 100 observations of the last interval were.
    private func p99(_ name: String) -> String {
        guard let last, let current else { return "-" }
        let bounds = current.metrics.samples.filter { $0.name == name + "_bucket" }.compactMap { sample -> (Double, Double)? in
            guard let text = sample.labels["le"], let bound = text == "+Inf" ? .infinity : Double(text) else { return nil }
            let before = last.metrics.value(name + "_bucket") { $0 == sample.labels } ?? 0
            return (bound, sample.value - before)
        }.sorted { $0.0 < $1.0 }
        guard let total = bounds.last?.1, total > 0, let found = bounds.first(where: { $0.1 >= total * 0.99 }) else { return "-" }
        return found.0.isFinite ? "\(fixed(found.0 * 1000, 0))ms" : "long"
    }

    private func text(_ number: Double?) -> String { number.map { fixed($0, $0 < 10 ? 1 : 0) } ?? "-" }
    private func whole(_ number: Double?) -> String { number.map { fixed($0, 0) } ?? "-" }
    private func bytes(_ number: Double?) -> String { number.map { GoText.bytes(UInt64(max(0, $0))) } ?? "-" }

    var row: [String] {
        guard current != nil else { return [endpoint, "unreachable"] + Array(repeating: "-", count: 9) }
        let writes = [rate("etcd_mvcc_put_total"), rate("etcd_mvcc_delete_total"), rate("etcd_mvcc_txn_total")].compactMap { $0 }
        return [
            endpoint, value("etcd_server_is_leader") == 1 ? "yes" : "no", whole(value("etcd_debugging_mvcc_keys_total")),
            bytes(value("etcd_mvcc_db_total_size_in_bytes")), text(rate("etcd_mvcc_range_total")),
            writes.isEmpty ? "-" : text(writes.reduce(0, +)), text(rate("etcd_debugging_mvcc_events_total")),
            whole(value("etcd_debugging_mvcc_watcher_total")), whole(value("etcd_debugging_mvcc_watch_stream_total")),
            p99("etcd_disk_wal_fsync_duration_seconds"), bytes(value("process_resident_memory_bytes")),
        ]
    }

    /// Methods by their rates, the busiest first.
    var methods: [(String, Double)] {
        guard let current else { return [] }
        let names = Set(current.metrics.samples.filter { $0.name == "grpc_server_started_total" }.compactMap { $0.labels["grpc_method"] })
        return names.compactMap { name in
            rate("grpc_server_started_total") { $0["grpc_method"] == name }.flatMap { $0 > 0 ? (name, $0) : nil }
        }.sorted { $0.1 > $1.1 }
    }
}
