// What swift-metrics calls for one series: each a handle of ours in the box that its protocol asks for.

import CoreMetrics
import DatastoreMetrics

final class CountingHandler: CounterHandler {
    private let counter: DatastoreMetrics.Counter
    init(_ counter: DatastoreMetrics.Counter) { self.counter = counter }

    /// A counter does not go down: what is not positive is not added.
    func increment(by amount: Int64) {
        if amount > 0 { counter.add(UInt64(amount)) }
    }

    func reset() { counter.reset() }
}

final class FractionHandler: FloatingPointCounterHandler {
    private let counter: DatastoreMetrics.FloatingPointCounter
    init(_ counter: DatastoreMetrics.FloatingPointCounter) { self.counter = counter }
    func increment(by amount: Double) { counter.add(amount) }
    func reset() { counter.reset() }
}

/// A level, which `Meter` sets and moves and `Gauge` records.
final class LevelHandler: MeterHandler, RecorderHandler {
    private let gauge: FloatingPointGauge
    init(_ gauge: FloatingPointGauge) { self.gauge = gauge }
    func set(_ value: Int64) { gauge.set(Double(value)) }
    func set(_ value: Double) { gauge.set(value) }
    func increment(by amount: Double) { gauge.add(amount) }
    func decrement(by amount: Double) { gauge.add(-amount) }
    func record(_ value: Int64) { gauge.set(Double(value)) }
    func record(_ value: Double) { gauge.set(value) }
}

final class RecordingHandler: RecorderHandler {
    private let histogram: Histogram
    init(_ histogram: Histogram) { self.histogram = histogram }
    func record(_ value: Int64) { histogram.observe(number: Double(value)) }
    func record(_ value: Double) { histogram.observe(number: value) }
}

final class TimingHandler: TimerHandler {
    private let histogram: Histogram
    init(_ histogram: Histogram) { self.histogram = histogram }
    func recordNanoseconds(_ duration: Int64) { histogram.observe(nanoseconds: UInt64(max(0, duration))) }
    /// Prometheus' unit of time is the second.
    func preferDisplayUnit(_ unit: TimeUnit) {}
}
