// Keeps a storm of equal lines from filling the disk: per level, message and second the first hundred
// lines pass, then every hundredth.

/// Counts lines per level and message within the current second.
struct Sampler {
    private struct Counter {
        var windowEnd: Int64 = 0
        var count: UInt32 = 0
    }

    private static let window: Int64 = 1_000_000_000
    private var counters = [Counter](
        repeating: Counter(), count: LogLevel.allCases.count * TracingLimits.samplerCountersPerLevel)

    /// Whether this line is to be written.
    mutating func admits(_ level: LogLevel, _ message: String, now: Int64) -> Bool {
        let slot = Int(Self.hash(message) % UInt64(TracingLimits.samplerCountersPerLevel))
        let index = Int(level.rawValue) * TracingLimits.samplerCountersPerLevel + slot
        if now > counters[index].windowEnd {
            counters[index] = Counter(windowEnd: now + Self.window, count: 1)
            return true
        }
        counters[index].count &+= 1
        let count = counters[index].count
        return count <= TracingLimits.sampledFirst
            || (count - TracingLimits.sampledFirst) % TracingLimits.sampledThereafter == 0
    }

    /// FNV-1a.
    private static func hash(_ text: String) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return hash
    }
}
