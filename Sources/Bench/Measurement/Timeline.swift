// What happened when: etcd's table by second, and the points of plots.

/// Latencies by the second in which their calls began; seconds without any are there too.
public struct SecondTable: Sendable {
    public struct Row: Equatable, Sendable {
        public var count: UInt64 = 0
        public var minimum: UInt64 = 0
        public var maximum: UInt64 = 0
        public var total: UInt64 = 0

        /// In nanoseconds, rounded down.
        public var mean: UInt64 { count == 0 ? 0 : total / count }

        mutating func add(_ latency: UInt64) {
            minimum = count == 0 ? latency : min(minimum, latency)
            maximum = max(maximum, latency)
            total &+= latency
            count += 1
        }
    }

    /// Unix time of the first row.
    public private(set) var first: Int64?
    public private(set) var rows: [Row] = []

    public init() {}

    public mutating func record(second: Int64, latency: UInt64) {
        guard let first else {
            first = second
            rows = [Row()]
            return rows[0].add(latency)
        }
        if second < first {
            // Calls may end in another order than they began.
            let missing = Int(min(first - second, Int64(BenchLimits.secondsMax - rows.count)))
            rows.insert(contentsOf: [Row](repeating: Row(), count: missing), at: 0)
            self.first = first - Int64(missing)
        }
        let index = min(max(0, Int(second - self.first!)), BenchLimits.secondsMax - 1)
        while rows.count <= index { rows.append(Row()) }
        rows[index].add(latency)
    }
}

/// Calls by the moment of their end, in points of one length that doubles when there are too many.
public struct Timeline: Sendable {
    public struct Point: Equatable, Sendable {
        public var count: UInt64 = 0
        public var errors: UInt64 = 0
        /// Of a joined point, the larger of its halves'.
        public var median: UInt64 = 0
        public var p99: UInt64 = 0
    }

    /// In nanoseconds.
    public private(set) var length = BenchLimits.intervalNanoseconds
    private let start: UInt64
    public private(set) var points: [Point] = []
    private var current = LatencyDistribution(isCoarse: true)
    private var errors: UInt64 = 0
    private var index = 0

    public init(start: UInt64) { self.start = start }

    @inline(__always)
    public mutating func record(at now: UInt64, latency: UInt64) {
        if now >= start &+ length &* UInt64(index + 1) { advance(now) }
        current.record(latency)
    }

    public mutating func recordErrors(_ count: UInt64 = 1, at now: UInt64) {
        if now >= start &+ length &* UInt64(index + 1) { advance(now) }
        errors += count
    }

    private mutating func advance(_ now: UInt64) {
        close()
        var wanted = Int((now - start) / length)
        while wanted >= BenchLimits.intervalsMax {
            join()
            wanted /= 2
        }
        while points.count < wanted { points.append(Point()) }
        index = wanted
        // The rest of a joined point.
        if points.count > wanted { index = points.count }
    }

    /// Ends the point that is being filled.
    public mutating func close() {
        guard current.count > 0 || errors > 0 else { return }
        while points.count < index { points.append(Point()) }
        let percentiles = current.percentiles([50, 99])
        let made = Point(
            count: current.count, errors: errors, median: percentiles[0] ?? current.maximum, p99: percentiles[1] ?? current.maximum)
        if points.count > index { points[index] = Timeline.joined(points[index], made) } else { points.append(made) }
        current.reset()
        errors = 0
    }

    private mutating func join() {
        var halved: [Point] = []
        for at in stride(from: 0, to: points.count, by: 2) {
            halved.append(at + 1 < points.count ? Timeline.joined(points[at], points[at + 1]) : points[at])
        }
        points = halved
        length *= 2
    }

    private static func joined(_ a: Point, _ b: Point) -> Point {
        Point(count: a.count + b.count, errors: a.errors + b.errors, median: max(a.median, b.median), p99: max(a.p99, b.p99))
    }
}
