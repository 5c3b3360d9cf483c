// What is stored, written, read and watched of each Kubernetes resource: gathered where apply and reads touch a key anyway,
// put together when somebody looks.

import DatastoreMetrics
import KeySpace
import Synchronization

/// The figures of all resources. Any thread.
final class ResourceStatistics: Sendable {
    struct Row: Sendable {
        let name: String
        var usage = ResourceUsage()
        var traffic = [Int](repeating: 0, count: ResourceTraffic.Field.allCases.count)

        subscript(_ field: ResourceTraffic.Field) -> Int { traffic[field.rawValue] }

        mutating func add(_ other: Row) {
            usage += other.usage
            for index in traffic.indices { traffic[index] += other.traffic[index] }
        }
    }

    private let store: MVCCStore
    private let traffic: [ResourceTraffic]
    /// Resources that have series of their own; those met later share `other`.
    private let seriesMax: Int

    init(_ store: MVCCStore, traffic: [ResourceTraffic], seriesMax: Int) {
        self.store = store
        self.traffic = traffic
        self.seriesMax = seriesMax
    }

    /// Every resource met since the start, `other` first.
    func rows() -> [Row] {
        let usage = store.resourceUsage
        let names = store.resourceNames.all
        return usage.indices.map { index in
            var row = Row(name: names[index], usage: usage[index])
            for field in ResourceTraffic.Field.allCases {
                for loop in traffic { row.traffic[field.rawValue] += loop.value(field, of: ResourceID(rawValue: UInt16(index))) }
            }
            return row
        }
    }

    // MARK: Metrics

    private struct Series: Sendable {
        let own: SeriesLabels
        let operations: [SeriesLabels]

        init(_ resource: String) {
            own = SeriesLabels([("resource", resource)])
            operations = Operation.allCases.map { SeriesLabels([("resource", resource), ("op", $0.rawValue)]) }
        }
    }

    private enum Operation: String, CaseIterable {
        case delete, get, list, put, watch

        func count(_ row: Row) -> Int {
            switch self {
            case .delete: Int(row.usage.deletes)
            case .get: row[.gets] + Int(row.usage.transactionReads)
            case .list: row[.lists]
            case .put: Int(row.usage.puts)
            case .watch: row[.watchesMade]
            }
        }

        func bytes(_ row: Row) -> Int {
            switch self {
            case .delete: 0
            case .get: row[.getBytes]
            case .list: row[.listBytes]
            case .put: Int(row.usage.putBytes)
            case .watch: row[.watchBytes]
            }
        }
    }

    /// What a scrape shows, taken once for all families.
    private struct Sample {
        var rows: [Row] = []
        var series: [Series] = []
    }

    private let sample = Mutex(Sample())

    private func refresh() {
        var rows = rows()
        if rows.count > seriesMax + 1 {
            for row in rows[(seriesMax + 1)...] { rows[0].add(row) }
            rows.removeLast(rows.count - seriesMax - 1)
        }
        let fresh = rows
        sample.withLock { sample in
            sample.rows = fresh
            // Numbers are given once, so the labels of those before stay.
            while sample.series.count < fresh.count { sample.series.append(Series(fresh[sample.series.count].name)) }
        }
    }

    /// What never happened to a resource has no series: most resources are written rarely, and most of a scrape would be zeros.
    func wire(_ registry: Registry) {
        registry.beforeScrape { [self] in refresh() }
        // A resource that is known has a number of keys, if that is 0; of all else what is 0 is left out.
        func gauge(_ name: String, _ help: String, showsZero: Bool = false, _ value: @escaping @Sendable (Row) -> Int) {
            registry.sampled(name, help: help) { [self] emit in
                let sample = sample.withLock { $0 }
                for (row, series) in zip(sample.rows, sample.series) {
                    let level = value(row)
                    if level != 0 || showsZero { emit(series.own, Double(level)) }
                }
            }
        }
        gauge("martlet_resource_keys", "Keys alive, by resource.", showsZero: true) { Int($0.usage.liveKeys) }
        gauge("martlet_resource_live_bytes", "Bytes of keys alive with their values, by resource.") { Int($0.usage.liveBytes) }
        gauge("martlet_resource_history_bytes", "Bytes of versions replaced or deleted and not yet compacted, by resource.") {
            Int($0.usage.historyBytes)
        }
        gauge("martlet_resource_largest_bytes", "Bytes of the largest object, by resource.") { Int($0.usage.largestBytes) }
        gauge("martlet_resource_watchers", "Watchers, by resource.") { $0[.watchers] }
        registry.sampled(
            "martlet_resource_ops_total", help: "Keys written or deleted, keys read, lists and watches begun, by resource.",
            kind: .counter
        ) { [self] emit in
            let sample = sample.withLock { $0 }
            for (row, series) in zip(sample.rows, sample.series) {
                for (index, operation) in Operation.allCases.enumerated() {
                    let count = operation.count(row)
                    if count > 0 { emit(series.operations[index], Double(count)) }
                }
            }
        }
        registry.sampled(
            "martlet_resource_bytes_total", help: "Bytes written, and bytes read, listed or sent to watchers, by resource.",
            kind: .counter
        ) { [self] emit in
            let sample = sample.withLock { $0 }
            for (row, series) in zip(sample.rows, sample.series) {
                for (index, operation) in Operation.allCases.enumerated() {
                    let bytes = operation.bytes(row)
                    if bytes > 0 { emit(series.operations[index], Double(bytes)) }
                }
            }
        }
        registry.sampled("martlet_resource_watch_events_total", help: "Events sent to watchers, by resource.", kind: .counter) {
            [self] emit in
            let sample = sample.withLock { $0 }
            for (row, series) in zip(sample.rows, sample.series) where row[.watchEvents] > 0 {
                emit(series.own, Double(row[.watchEvents]))
            }
        }
    }
}
