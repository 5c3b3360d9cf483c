// How long calls took: an HDR histogram, with what must be exact beside it.

import Histogram

/// Latencies in nanoseconds, to three digits; count, extremes, mean and deviation are exact.
public struct LatencyDistribution: Sendable {
    private var histogram: Histogram<UInt64>
    public private(set) var count: UInt64 = 0
    public private(set) var minimum: UInt64 = .max
    public private(set) var maximum: UInt64 = 0
    // Welford's: sums of squares would cancel.
    private var average = 0.0
    private var squares = 0.0

    /// - Parameter isCoarse: two digits and a tenth of the memory.
    public init(isCoarse: Bool = false) {
        // Room for a second from the beginning: growing is slow.
        histogram = Histogram(
            lowestDiscernibleValue: 1, highestTrackableValue: 1 << 30, numberOfSignificantValueDigits: isCoarse ? .two : .three)
        histogram.autoResize = true
    }

    /// Forgets all, and keeps the memory.
    public mutating func reset() {
        guard count > 0 else { return }
        histogram.reset()
        (count, minimum, maximum, average, squares) = (0, .max, 0, 0, 0)
    }

    @inline(__always)
    public mutating func record(_ nanoseconds: UInt64) {
        // Half of what the histogram can hold at most; 146 years.
        let value = min(nanoseconds, 1 << 62)
        histogram.record(value)
        count += 1
        if value < minimum { minimum = value }
        if value > maximum { maximum = value }
        let difference = Double(value) - average
        average += difference / Double(count)
        squares += difference * (Double(value) - average)
    }

    public mutating func add(_ other: LatencyDistribution) {
        guard other.count > 0 else { return }
        histogram.add(other.histogram)
        let total = Double(count + other.count)
        let difference = other.average - average
        squares += other.squares + difference * difference * Double(count) * Double(other.count) / total
        average += difference * Double(other.count) / total
        count += other.count
        minimum = min(minimum, other.minimum)
        maximum = max(maximum, other.maximum)
    }

    public var isEmpty: Bool { count == 0 }
    public var mean: Double { average }
    /// Of the population.
    public var deviation: Double { count == 0 ? 0 : (squares / Double(count)).squareRoot() }

    /// Values with their counts, ascending; the smallest and the largest are exact.
    func forEach(_ body: (_ nanoseconds: UInt64, _ count: UInt64) -> Void) {
        guard count > 0 else { return }
        body(minimum, 1)
        guard count > 1 else { return }
        let (first, last) = (histogram.lowestEquivalentForValue(minimum), histogram.lowestEquivalentForValue(maximum))
        for step in histogram.recordedValues() {
            let place = histogram.lowestEquivalentForValue(step.value)
            var left = step.count
            if place == first { left -= 1 }
            if place == last { left -= 1 }
            if left > 0 { body(min(max(histogram.medianEquivalentForValue(step.value), minimum), maximum), left) }
        }
        body(maximum, 1)
    }

    /// The value at a position in ascending order, from 0.
    public func value(atRank rank: UInt64) -> UInt64 { values(atRanks: [rank])[0] }

    private func values(atRanks ranks: [UInt64]) -> [UInt64] {
        var result = [UInt64](repeating: maximum, count: ranks.count)
        var seen: UInt64 = 0
        var next = 0
        forEach { value, count in
            seen += count
            while next < ranks.count, ranks[next] < seen {
                result[next] = value
                next += 1
            }
        }
        return result
    }

    /// Percentiles as etcd's benchmark takes them: the first value of which at least so many percent are smaller. Nil: there are too
    /// few values for it. `percents` ascend.
    public func percentiles(_ percents: [Double]) -> [UInt64?] {
        guard count > 0 else { return percents.map { _ in nil } }
        let ranks = percents.map { percent -> UInt64? in
            var rank = UInt64((percent * Double(count) / 100).rounded(.down))
            while Double(rank) * 100 / Double(count) < percent { rank += 1 }
            while rank > 0, Double(rank - 1) * 100 / Double(count) >= percent { rank -= 1 }
            return rank < count ? rank : nil
        }
        let values = values(atRanks: ranks.compactMap { $0 })
        var index = 0
        return ranks.map { rank in
            guard rank != nil else { return nil }
            index += 1
            return values[index - 1]
        }
    }

    /// A percentile that there always is: the largest value where there are too few.
    public func percentile(_ percent: Double) -> UInt64 { isEmpty ? 0 : percentiles([percent])[0] ?? maximum }

    /// Eleven bounds from the smallest to the largest, with how many values lie at or below each and above the one before.
    public func rows() -> [(bound: Double, count: UInt64)] {
        guard count > 0 else { return [] }
        let step = (Double(maximum) - Double(minimum)) / 10
        var rows = (0..<10).map { (bound: Double(minimum) + step * Double($0), count: 0 as UInt64) }
        rows.append((Double(maximum), 0))
        var row = 0
        forEach { value, count in
            while row < 10, Double(value) > rows[row].bound { row += 1 }
            rows[row].count += count
        }
        return rows
    }
}
