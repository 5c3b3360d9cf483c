// Time as the transport uses it: monotonic nanoseconds.

import CShims

@inline(__always)
func monotonicNanoseconds() -> UInt64 { martlet_monotonic_ns() }

extension Duration {
    /// Whole nanoseconds, saturating; negative durations are zero.
    var nanosecondsClamped: UInt64 {
        let (seconds, attoseconds) = components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        let (product, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
        if overflow { return TransportLimits.deadlineNanosecondsMax }
        return min(product &+ UInt64(attoseconds) / 1_000_000_000, TransportLimits.deadlineNanosecondsMax)
    }
}
