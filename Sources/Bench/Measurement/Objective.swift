// What a service promises: `p99<25ms`.

import CommandLineTools

/// A bound of a percentile of the latency.
public struct Objective: Sendable, Equatable, CustomStringConvertible {
    public let percent: Double
    public let nanoseconds: UInt64

    public init(percent: Double, nanoseconds: UInt64) {
        self.percent = percent
        self.nanoseconds = nanoseconds
    }

    /// - Parameter text: `p99<25ms`, `p99.9=1s`, `max<2s`.
    public init?(_ text: String) {
        let parts = text.filter { $0 != " " }.split(whereSeparator: { "<=".contains($0) }).map(String.init)
        guard parts.count == 2, let duration = try? GoText.duration(parts[1]), duration > .zero else { return nil }
        nanoseconds = UInt64(duration / .nanoseconds(1))
        if parts[0] == "max" {
            percent = 100
        } else {
            guard parts[0].hasPrefix("p"), let value = Double(parts[0].dropFirst()), value > 0, value <= 100 else { return nil }
            percent = value
        }
    }

    public var name: String { percent == 100 ? "max" : "p" + NumberFormat.shortest(percent) }
    public var description: String { "\(name) < \(NumberFormat.shortest(Double(nanoseconds) / 1e6)) ms" }

    public func measured(_ latencies: LatencyDistribution) -> UInt64 {
        percent == 100 ? latencies.maximum : latencies.percentile(percent)
    }
}
