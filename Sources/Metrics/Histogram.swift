// Distribution of observed values over fixed buckets.
//
// Observations are whole ticks (nanoseconds, microseconds, milliseconds or plain units). Whole ticks make
// the sum an integer, so that an observation is two relaxed atomic adds and never a compare-and-swap loop
// on a Double, and sums lose nothing. The count is the sum of the buckets, hence always consistent with
// them. A sum of nanoseconds wraps after 584 years of observed time: enough for disks and requests, not
// for the lives of ten thousand streams, which are therefore counted in microseconds.

import Synchronization

/// What one tick of a histogram is, and in which unit it is exposed.
public enum HistogramUnit: Sendable {
    /// Exposed in seconds, kept in nanoseconds.
    case seconds
    /// Exposed in seconds, kept in microseconds: for times that can last as long as a connection.
    case longSeconds
    /// Exposed and kept in whole milliseconds.
    case milliseconds
    /// Plain numbers (TTL seconds, bytes).
    case plain
    /// Plain numbers of which six digits behind the point are kept.
    case millionths

    var ticksPerUnit: Double {
        switch self {
        case .seconds: 1e9
        case .longSeconds, .millionths: 1e6
        case .milliseconds, .plain: 1
        }
    }

    var nanosecondsPerTick: UInt64 {
        switch self {
        case .seconds, .plain, .millionths: 1
        case .longSeconds: 1_000
        case .milliseconds: 1_000_000
        }
    }
}

/// A histogram. Copying the handle is free; an observation is a short scan and two relaxed atomic adds.
public struct Histogram: @unchecked Sendable {  // the pointers lead to atomic cells and constants, never freed
    /// Cell 0 is the sum in ticks, cell 1 + i the bucket i (not cumulative), the last one `+Inf`.
    @usableFromInline let cells: UnsafeMutablePointer<Cell>
    @usableFromInline let bounds: UnsafePointer<UInt64>
    @usableFromInline let boundCount: Int
    @usableFromInline let nanosecondsPerTick: UInt64
    /// Unmanaged, so that copying the handle counts no references.
    let shape: Unmanaged<HistogramShape>

    /// Counts a duration.
    @inlinable @inline(__always)
    public func observe(nanoseconds: UInt64) {
        observe(ticks: nanosecondsPerTick == 1 ? nanoseconds : nanoseconds / nanosecondsPerTick)
    }

    /// Counts `count` events that took this long together, as if each had taken the same.
    public func observe(nanoseconds: UInt64, over count: UInt64) {
        guard count > 0 else { return }
        let ticks = nanoseconds / nanosecondsPerTick
        let each = ticks / count
        var bucket = 0
        while bucket < boundCount && each > bounds[bucket] { bucket &+= 1 }
        cells[1 &+ bucket].wrappingAdd(count, ordering: .relaxed)
        cells[0].wrappingAdd(ticks, ordering: .relaxed)
    }

    /// Counts a plain value.
    @inlinable @inline(__always)
    public func observe(_ value: UInt64) { observe(ticks: value) }

    /// Counts a number in the exposed unit. What is below zero, or no number, counts as zero.
    public func observe(number value: Double) {
        let ticks = (value * shape.takeUnretainedValue().ticksPerUnit).rounded()
        observe(ticks: ticks > 0 ? UInt64(exactly: min(ticks, 0x1p62)) ?? 0 : 0)
    }

    @inlinable
    func observe(ticks: UInt64) {
        var bucket = 0
        while bucket < boundCount && ticks > bounds[bucket] { bucket &+= 1 }
        cells[1 &+ bucket].wrappingAdd(1, ordering: .relaxed)
        cells[0].wrappingAdd(ticks, ordering: .relaxed)
    }

    /// Observations so far.
    public var count: UInt64 {
        var total: UInt64 = 0
        for bucket in 0...boundCount { total &+= cells[1 + bucket].load(ordering: .relaxed) }
        return total
    }

    /// Sum of what was observed, in the exposed unit.
    public var sum: Double { Double(cells[0].load(ordering: .relaxed)) / shape.takeUnretainedValue().ticksPerUnit }
}

/// What the series of one histogram family share; made once and never freed, like the cells.
final class HistogramShape: @unchecked Sendable {
    let buckets: Buckets
    let ticksPerUnit: Double
    let nanosecondsPerTick: UInt64
    let boundsInTicks: UnsafePointer<UInt64>

    init(_ buckets: Buckets, _ unit: HistogramUnit) {
        self.buckets = buckets
        ticksPerUnit = unit.ticksPerUnit
        nanosecondsPerTick = unit.nanosecondsPerTick
        let ticks = UnsafeMutablePointer<UInt64>.allocate(capacity: buckets.bounds.count)
        for (index, bound) in buckets.bounds.enumerated() {
            // A bound below one tick (0.5 ms of whole milliseconds) holds just the zeros.
            (ticks + index).initialize(to: UInt64(toTicks(bound, unit.ticksPerUnit)))
        }
        boundsInTicks = UnsafePointer(ticks)
    }
}

/// A bound in ticks: rounded when the decimal was meant to be whole (0.001 s), else down.
private func toTicks(_ bound: Double, _ ticksPerUnit: Double) -> Double {
    let ticks = bound * ticksPerUnit
    let nearest = ticks.rounded()
    return abs(nearest - ticks) < 1e-3 ? nearest : ticks.rounded(.down)
}

extension Histogram: Series {
    static let kind = MetricKind.histogram
    static func cellCount(_ shape: HistogramShape) -> Int { shape.buckets.bounds.count + 2 }

    init(cells: UnsafeMutablePointer<Cell>, shape: HistogramShape) {
        self.cells = cells
        self.shape = Unmanaged.passRetained(shape)
        bounds = shape.boundsInTicks
        boundCount = shape.buckets.bounds.count
        nanosecondsPerTick = shape.nanosecondsPerTick
    }

    var hasMoved: Bool { count != 0 }

    func write(_ writer: inout ExpositionWriter, name: String, labels: LabelText) {
        var cumulative: UInt64 = 0
        for (index, bound) in shape.takeUnretainedValue().buckets.bounds.enumerated() {
            cumulative &+= cells[1 + index].load(ordering: .relaxed)
            writer.bucket(name, labels: labels, upTo: bound, count: cumulative)
        }
        cumulative &+= cells[1 + boundCount].load(ordering: .relaxed)
        writer.bucket(name, labels: labels, upTo: .infinity, count: cumulative)
        writer.sample(name, suffix: "_sum", labels: labels, value: sum)
        writer.count(name, suffix: "_count", labels: labels, value: cumulative)
    }
}
