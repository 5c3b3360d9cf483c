// One member as `top` looks at it: its metrics and, of a martlet server, its pages.

import Client
import Transport

/// What a member said at one moment.
struct TopLook: Sendable {
    var at: ContinuousClock.Instant
    var metrics: Metrics
    /// Nil: the server has no such pages.
    var resources: [PageRow]?
    var clients: [PageRow]?
}

/// One member, with the last two looks at it.
final class TopMember {
    let endpoint: String
    private let client: Client
    private let clock = ContinuousClock()
    private(set) var last: TopLook?
    private(set) var current: TopLook?
    /// Why there is no current look.
    private(set) var problem = ""
    private var hasPages = true

    init(_ endpoint: String, _ client: Client) {
        self.endpoint = endpoint
        self.client = client
    }

    nonisolated(nonsending) func look(seconds: Int64) async {
        do {
            let metrics = Metrics(text: String(decoding: try await client.page("/metrics", seconds: seconds), as: UTF8.self))
            var look = TopLook(at: clock.now, metrics: metrics)
            if hasPages {
                look.resources = try await rows("/debug/martlet/resources?limit=1023", "resources", seconds)
                look.clients = try await rows("/debug/martlet/clients?limit=512", "clients", seconds)
                hasPages = look.resources != nil
            }
            last = current
            current = look
            problem = ""
        } catch {
            last = nil
            current = nil
            problem = "\(error)"
            // Another server may be there next time.
            hasPages = true
        }
    }

    private nonisolated(nonsending) func rows(_ path: String, _ list: String, _ seconds: Int64) async throws -> [PageRow]? {
        do { return PageRow.rows(try await client.page(path, seconds: seconds), list) } catch let error as HTTPFetchError {
            // Not there, or not for everybody: the rest of the figures is shown.
            guard error.status != nil else { throw error }
            return nil
        }
    }

    /// Seconds between the looks; nil before there are two.
    var seconds: Double? {
        guard let last, let current else { return nil }
        return max(0.001, (current.at - last.at) / .seconds(1))
    }

    // MARK: Metrics

    /// Growth of a counter in a second.
    func rate(_ name: String, where matches: ([String: String]) -> Bool = { _ in true }) -> Double? {
        guard let last, let current, let seconds, let now = current.metrics.value(name, where: matches) else { return nil }
        return Self.growth(last.metrics.value(name, where: matches) ?? 0, now) / seconds
    }

    /// A counter that is below what it was began anew.
    static func growth(_ before: Double, _ now: Double) -> Double { now < before ? now : now - before }

    func value(_ name: String) -> Double? { current?.metrics.value(name) }

    /// The bound below which 99 of 100 observations of the last interval were, in seconds.
    func percentile99(_ name: String) -> Double? {
        guard let last, let current else { return nil }
        var before: [String: Double] = [:]
        for sample in last.metrics.samples[name + "_bucket"] ?? [] { before[sample.labels["le"] ?? "", default: 0] += sample.value }
        var counts: [Double: Double] = [:]
        for sample in current.metrics.samples[name + "_bucket"] ?? [] {
            guard let text = sample.labels["le"], let bound = text == "+Inf" ? .infinity : Double(text) else { continue }
            counts[bound, default: 0] += sample.value - (before[text] ?? 0)
        }
        let bounds = counts.sorted { $0.key < $1.key }
        guard let total = bounds.last?.value, total > 0 else { return nil }
        return bounds.first { $0.value >= total * 0.99 }?.key
    }

    /// gRPC methods by their rates, the busiest first.
    var methods: [(name: String, rate: Double)] {
        guard let last, let current, let seconds else { return [] }
        func sums(_ look: TopLook) -> [String: Double] {
            var sums: [String: Double] = [:]
            for sample in look.metrics.samples["grpc_server_started_total"] ?? [] { sums[sample.labels["grpc_method"] ?? "?", default: 0] += sample.value }
            return sums
        }
        let before = sums(last)
        return sums(current).map { ($0.key, Self.growth(before[$0.key] ?? 0, $0.value) / seconds) }.filter { $0.1 > 0 }
            .sorted { $0.1 == $1.1 ? $0.0 < $1.0 : $0.1 > $1.1 }
    }
}
