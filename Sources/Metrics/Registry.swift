// The registry: every family of the process by name, and the scrape.

import Synchronization

/// Holds the families that a scrape shows. Families are declared at start-up (or when the feature that
/// moves them starts) and are never removed.
public final class Registry: Sendable {
    private struct State {
        /// Ascending by name: the order of exposition.
        var families: [any Family] = []
        var refreshes: [@Sendable () -> Void] = []
        /// Size of the last exposition, so that the next one is written into a buffer that fits.
        var lastByteCount = 16 * 1_024
    }

    private let state = Mutex(State())

    public init() {}

    /// Declares a counter without labels.
    public func counter(_ name: String, help: String) -> Counter { single(name, help, NoShape()) }

    /// Declares a gauge without labels.
    public func gauge(_ name: String, help: String) -> Gauge { single(name, help, NoShape()) }

    /// Declares a histogram without labels.
    ///
    /// - Parameter isQuiet: scrapes leave it out until something was observed.
    public func histogram(
        _ name: String, help: String, buckets: Buckets, unit: HistogramUnit = .seconds, isQuiet: Bool = false
    ) -> Histogram {
        single(name, help, HistogramShape(buckets, unit), isQuiet: isQuiet)
    }

    /// Declares a labelled family of counters.
    public func counters(
        _ name: String, help: String, labels: [String],
        seriesMaximum: Int = MetricsLimits.seriesPerVectorDefault
    ) -> Vector<Counter> {
        vector(name, help, labels, NoShape(), seriesMaximum)
    }

    /// Declares a labelled family of gauges.
    public func gauges(
        _ name: String, help: String, labels: [String],
        seriesMaximum: Int = MetricsLimits.seriesPerVectorDefault
    ) -> Vector<Gauge> {
        vector(name, help, labels, NoShape(), seriesMaximum)
    }

    /// Declares a labelled family of histograms.
    public func histograms(
        _ name: String, help: String, labels: [String], buckets: Buckets, unit: HistogramUnit = .seconds,
        seriesMaximum: Int = MetricsLimits.seriesPerVectorDefault
    ) -> Vector<Histogram> {
        vector(name, help, labels, HistogramShape(buckets, unit), seriesMaximum)
    }

    /// Declares a metric whose value is read at each scrape; `nil` leaves it out of that scrape.
    public func callback(
        _ name: String, help: String, kind: MetricKind = .gauge, read: @escaping @Sendable () -> Double?
    ) {
        precondition(kind != .histogram, "a callback has one value")
        insert(CallbackFamily(name: name, help: help, kind: kind, read: read))
    }

    /// Runs `refresh` at the beginning of every scrape: for values that are read together.
    public func beforeScrape(_ refresh: @escaping @Sendable () -> Void) {
        state.withLock { $0.refreshes.append(refresh) }
    }

    /// All families in the given text format.
    public func exposition(_ format: ExpositionFormat = .text) -> [UInt8] {
        let (families, refreshes, capacity) = state.withLock { ($0.families, $0.refreshes, $0.lastByteCount) }
        for refresh in refreshes { refresh() }
        var writer = ExpositionWriter(format: format, capacity: capacity + capacity / 8)
        for family in families { family.write(&writer) }
        let bytes = writer.finish()
        state.withLock { $0.lastByteCount = bytes.count }
        return bytes
    }

    /// Names of the declared families, ascending; with or without series.
    public var familyNames: [String] { state.withLock { $0.families.map(\.name) } }

    private func single<Handle: Series>(_ name: String, _ help: String, _ shape: Handle.Shape, isQuiet: Bool = false) -> Handle {
        let family = SingleFamily<Handle>(name: name, help: help, shape: shape, isQuiet: isQuiet)
        insert(family)
        return family.series
    }

    private func vector<Handle: Series>(
        _ name: String, _ help: String, _ labels: [String], _ shape: Handle.Shape, _ seriesMaximum: Int
    ) -> Vector<Handle> {
        let family = VectorFamily<Handle>(
            name: name, help: help, labels: labels, shape: shape, seriesMaximum: seriesMaximum)
        insert(family)
        return Vector(labels: labels) { family.resolve($0, isQuiet: $1) }
    }

    func insert(_ family: any Family) {
        precondition(isMetricName(family.name), "not a metric name: \(family.name)")
        state.withLock { state in
            precondition(state.families.count < MetricsLimits.familiesMaximum, "too many metric families")
            let position = state.families.firstIndex { $0.name >= family.name } ?? state.families.count
            precondition(
                position == state.families.count || state.families[position].name != family.name,
                "metric declared twice: \(family.name)")
            state.families.insert(family, at: position)
        }
    }
}

/// Whether `name` follows the grammar of metric names: `[a-zA-Z_:][a-zA-Z0-9_:]*`.
private func isMetricName(_ name: String) -> Bool {
    guard let first = name.utf8.first, !(UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first) else { return false }
    return name.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: ":"):
            true
        default: false
        }
    }
}
