// A histogram that one thread fills without a locked instruction, for what happens hundreds of thousands of times a second.
// What it has gathered is added to a series before a scrape.

import Synchronization

/// The filling end: a trivial value, so that keeping and using one counts no references.
public struct LocalRecorder: @unchecked Sendable {
    // Unchecked: the pointers lead to atomic cells and constants that are never freed.
    @usableFromInline let bounds: UnsafePointer<UInt64>
    @usableFromInline let boundCount: Int
    /// The sum, then the buckets, as in a series.
    @usableFromInline let cells: UnsafeMutablePointer<Atomic<UInt64>>

    /// Counts a duration. Only on the owning thread.
    @inlinable @inline(__always)
    public func observe(nanoseconds: UInt64) {
        var bucket = 0
        while bucket < boundCount && nanoseconds > bounds[bucket] { bucket &+= 1 }
        add(1, to: 1 &+ bucket)
        add(nanoseconds, to: 0)
    }

    @inlinable @inline(__always)
    func add(_ amount: UInt64, to index: Int) {
        cells[index].store(cells[index].load(ordering: .relaxed) &+ amount, ordering: .relaxed)
    }
}

/// Observations of one thread on their way to a series of a family that many threads share.
public final class LocalHistogram: @unchecked Sendable {
    // Unchecked: cells are atomic, written by one thread; what was told is behind a lock.
    public let recorder: LocalRecorder
    private let target: LazySeries<Histogram>
    private let told: Mutex<[UInt64]>

    /// - Parameter series: gets what is gathered here; made by the first observation that is told, so that no series is shown
    ///   before its first event. Of a family in nanoseconds.
    public init(_ series: LazySeries<Histogram>, buckets: Buckets) {
        let shape = HistogramShape(buckets, .seconds)
        let count = buckets.bounds.count
        let cells = UnsafeMutablePointer<Atomic<UInt64>>.allocate(capacity: count + 2)
        for index in 0..<count + 2 { (cells + index).initialize(to: Atomic(0)) }
        // Kept for as long as the process, as series are.
        recorder = LocalRecorder(bounds: shape.boundsInTicks, boundCount: count, cells: cells)
        target = series
        told = Mutex([UInt64](repeating: 0, count: count + 2))
    }

    /// Counts a duration. Only on the owning thread.
    public func observe(nanoseconds: UInt64) { recorder.observe(nanoseconds: nanoseconds) }

    /// Adds what is new to the series. Any thread.
    public func tell() {
        told.withLock { told in
            var handle: Histogram?
            // Buckets after the sum: a sum that lags behind its count by an observation is put right by the next scrape.
            for index in 0..<recorder.boundCount + 2 {
                let now = recorder.cells[index].load(ordering: .relaxed)
                let news = now &- told[index]
                guard news > 0 else { continue }
                if handle == nil { handle = target.handle }
                handle!.cells[index].wrappingAdd(news, ordering: .relaxed)
                told[index] = now
            }
        }
    }
}
