// Bucket bounds of histograms, in the exact decimal form that is exposed.

/// Upper bounds of a histogram, ascending, without `+Inf`.
public struct Buckets: Sendable, Equatable {
    public let bounds: [Double]

    public init(_ bounds: [Double]) {
        precondition(!bounds.isEmpty && bounds.count <= MetricsLimits.bucketsMaximum, "bucket count \(bounds.count)")
        precondition(zip(bounds, bounds.dropFirst()).allSatisfy(<), "bucket bounds ascend")
        self.bounds = bounds
    }

    /// `count` bounds from `start`, each `factor` times the one before. Repeated multiplication (not a
    /// power) so that the decimals come out as Prometheus' own clients print them.
    public static func exponential(start: Double, factor: Double = 2, count: Int) -> Buckets {
        var bounds: [Double] = []
        var bound = start
        for _ in 0..<count {
            bounds.append(bound)
            bound *= factor
        }
        return Buckets(bounds)
    }

    /// 1 ms … 8.192 s: disk and request times.
    public static let milliseconds14 = exponential(start: 0.001, count: 14)
    /// 100 ms … 51.2 s: snapshot transfers.
    public static let tenths10 = exponential(start: 0.1, count: 10)
    /// 100 ms … 409.6 s: defragmentation.
    public static let tenths13 = exponential(start: 0.1, count: 13)
    /// 10 ms … 163.84 s: hashes.
    public static let hundredths15 = exponential(start: 0.01, count: 15)
    /// 10 ms … 655.36 s: open backend snapshots.
    public static let hundredths17 = exponential(start: 0.01, count: 17)
    /// 0.1 ms … 3.2768 s: peer round trips.
    public static let tenthMilliseconds16 = exponential(start: 0.0001, count: 16)
    /// 0.1 ms … 52.4288 s: applies and ranges.
    public static let tenthMilliseconds20 = exponential(start: 0.0001, count: 20)
    /// 1 … 8,388,608: lease TTLs in seconds.
    public static let seconds24 = exponential(start: 1, count: 24)
    /// The default bounds of Prometheus clients: gRPC handling times.
    public static let standard = Buckets([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10])
}
