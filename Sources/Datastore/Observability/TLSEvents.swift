// What happens in TLS, in the log and in metrics.

import DatastoreMetrics
import DatastoreTracing
import Transport

/// Families of TLS. By side: `client` (with the metrics listeners) or `peer`.
struct TLSMetrics: Sendable {
    let handshakes: Vector<Counter>
    let open: Vector<Gauge>
    let reloads: Vector<Counter>
    let notAfter: Vector<Gauge>

    init(_ registry: Registry) {
        handshakes = registry.counters(
            "martlet_tls_handshakes_total", help: "TLS handshakes ended, by outcome: admitted or rejected.",
            labels: ["side", "outcome"])
        open = registry.gauges("martlet_tls_handshakes_open", help: "TLS handshakes in progress.", labels: ["side"])
        reloads = registry.counters(
            "martlet_tls_reloads_total",
            help: "Changed TLS files that were loaded (ok), or could not be (failed) and left the former in use.",
            labels: ["side", "outcome"])
        notAfter = registry.gauges(
            "martlet_tls_certificate_expiry_timestamp_seconds", help: "When the server's certificate expires.",
            labels: ["side"])
    }
}

/// Writes the lines of one side.
final class TLSEvents: TLSObserver {
    private let side: String
    private let log: Log
    private let admitted: Counter
    private let refused: Counter
    private let open: Gauge
    private let metrics: TLSMetrics

    init(side: String, log: Log, metrics: TLSMetrics) {
        self.side = side
        self.log = log
        self.metrics = metrics
        admitted = metrics.handshakes.series(side, "admitted")
        refused = metrics.handshakes.series(side, "rejected")
        open = metrics.open.series(side)
    }

    func handshakeBegan() { open.increment() }

    func handshakeEnded(succeeded: Bool?) {
        open.decrement()
        switch succeeded {
        case true?: admitted.increment()
        case false?: refused.increment()
        case nil: break
        }
    }

    func rejected(_ rejection: TLSRejection) {
        let level = rejection.isEndOfFile ? LogLevel.debug : .warn
        guard log.isEnabled(level) else { return }
        var fields: [LogField] = [
            .string("remote-addr", rejection.remoteAddress), .string("server-name", rejection.serverName),
        ]
        if let names = rejection.names {
            fields.append(.strings("ip-addresses", names.addresses))
            fields.append(.strings("dns-names", names.hostNames))
        }
        log.log(level, "rejected connection on \(side) endpoint", fields + [.error(rejection.error)])
    }

    func loaded(notAfter: Int) { metrics.notAfter.series(side).set(Int64(notAfter)) }

    func reloaded(notAfter: Int) {
        loaded(notAfter: notAfter)
        metrics.reloads.series(side, "ok").increment()
        log.info(
            "reloaded TLS files", .string("side", side),
            .time("certificate-not-after", unixNanoseconds: Int64(min(notAfter, 9_223_372_036)) * 1_000_000_000))
    }

    func reloadFailed(_ error: TLSSetupError) {
        metrics.reloads.series(side, "failed").increment()
        log.warn("failed to reload TLS files; those loaded before stay in use", .string("side", side), .error(error.description))
    }
}
