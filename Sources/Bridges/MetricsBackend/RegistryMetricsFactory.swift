// swift-metrics on our registry: what libraries count is scraped with everything else.
//
//     MetricsSystem.bootstrap(RegistryMetricsFactory(registry))

import CoreMetrics
import DatastoreMetrics
import Synchronization

/// Makes swift-metrics' handlers. Safe to use from any thread.
///
/// A label becomes a name by the rules of Prometheus (`http.requests` → `http_requests_total`), dimensions become labels:
///
/// | swift-metrics | here |
/// |---|---|
/// | `Counter`, `FloatingPointCounter` | a counter; `_total` is added to its name |
/// | `Meter`, `Gauge`, `Recorder` that does not aggregate | a gauge |
/// | `Recorder` | a histogram with `recorderBuckets` |
/// | `Timer` | a histogram with `timerBuckets`; `_seconds` is added to its name |
///
/// Libraries choose names and labels as they like, so everything has a bound: what goes beyond `MetricsBackendLimits`, or asks for a
/// name that somebody else has, gets a handler that does nothing and is counted in `martlet_library_metrics_refused_total`. Series stay as long as
/// the process: destroying a handler frees nothing, and a new one with the same label and dimensions goes on from there.
public final class RegistryMetricsFactory: MetricsFactory {
    enum Made {
        case counters(FreeFamily<DatastoreMetrics.Counter>)
        case fractions(FreeFamily<DatastoreMetrics.FloatingPointCounter>)
        case gauges(FreeFamily<DatastoreMetrics.FloatingPointGauge>)
        case recorders(FreeFamily<DatastoreMetrics.Histogram>)
        case timers(FreeFamily<DatastoreMetrics.Histogram>)
    }

    private let registry: Registry
    private let prefix: String
    private let timerBuckets: Buckets
    private let recorderBuckets: Buckets
    private let families = Mutex<[String: Made]>([:])
    private let refused: DatastoreMetrics.Counter

    /// - Parameters:
    ///   - prefix: stands before all names.
    ///   - timerBuckets: in seconds.
    public init(
        _ registry: Registry, prefix: String = "", timerBuckets: Buckets = .standard,
        recorderBuckets: Buckets = .exponential(start: 1, factor: 4, count: 16)
    ) {
        self.registry = registry
        self.prefix = prefix
        self.timerBuckets = timerBuckets
        self.recorderBuckets = recorderBuckets
        refused = registry.counter(
            "martlet_library_metrics_refused_total",
            help: "Metrics of libraries that are not shown: too many of them, or their name is taken.")
    }

    /// The family of a name, if it is one of the wanted kind.
    private func family(_ label: String, suffix: String, _ make: (_ name: String) -> Made) -> Made? {
        var name = metricName(prefix + label)
        if !name.hasSuffix(suffix) { name += suffix }
        return families.withLock { families in
            if let known = families[name] { return known }
            guard families.count < MetricsBackendLimits.familiesMax, !registry.familyNames.contains(name) else { return nil }
            let made = make(name)
            families[name] = made
            return made
        }
    }

    private func refuse() -> NOOPMetricsHandler {
        refused.increment()
        return .instance
    }

    private static func help(_ label: String) -> String { "\(label), of a library." }
    private static var seriesMax: Int { MetricsBackendLimits.seriesPerFamilyMax }

    public func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        let family = family(label, suffix: "_total") {
            .counters(registry.freeCounters($0, help: Self.help(label), seriesMaximum: Self.seriesMax))
        }
        guard case .counters(let counters) = family else { return refuse() }
        return CountingHandler(counters.series(dimensions))
    }

    public func makeFloatingPointCounter(label: String, dimensions: [(String, String)]) -> any FloatingPointCounterHandler {
        let family = family(label, suffix: "_total") {
            .fractions(registry.freeFloatingPointCounters($0, help: Self.help(label), seriesMaximum: Self.seriesMax))
        }
        guard case .fractions(let counters) = family else { return refuse() }
        return FractionHandler(counters.series(dimensions))
    }

    public func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        gauge(label, dimensions) ?? refuse()
    }

    public func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool) -> any RecorderHandler {
        guard aggregate else { return gauge(label, dimensions) ?? refuse() }
        let family = family(label, suffix: "") {
            .recorders(
                registry.freeHistograms(
                    $0, help: Self.help(label), buckets: recorderBuckets, unit: .millionths, seriesMaximum: Self.seriesMax))
        }
        guard case .recorders(let histograms) = family else { return refuse() }
        return RecordingHandler(histograms.series(dimensions))
    }

    public func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        let family = family(label, suffix: "_seconds") {
            .timers(registry.freeHistograms($0, help: Self.help(label), buckets: timerBuckets, seriesMaximum: Self.seriesMax))
        }
        guard case .timers(let histograms) = family else { return refuse() }
        return TimingHandler(histograms.series(dimensions))
    }

    private func gauge(_ label: String, _ dimensions: [(String, String)]) -> LevelHandler? {
        let family = family(label, suffix: "") {
            .gauges(registry.freeFloatingPointGauges($0, help: Self.help(label), seriesMaximum: Self.seriesMax))
        }
        guard case .gauges(let gauges) = family else { return nil }
        return LevelHandler(gauges.series(dimensions))
    }

    // Series stay.
    public func destroyCounter(_ handler: any CounterHandler) {}
    public func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) {}
    public func destroyMeter(_ handler: any MeterHandler) {}
    public func destroyRecorder(_ handler: any RecorderHandler) {}
    public func destroyTimer(_ handler: any TimerHandler) {}
}

/// Bounds of what libraries may declare.
public enum MetricsBackendLimits {
    /// Names. Beyond: refused and counted.
    public static let familiesMax = 256
    /// Series of one name. Beyond: together in one with the label `other`.
    public static let seriesPerFamilyMax = 128
}
