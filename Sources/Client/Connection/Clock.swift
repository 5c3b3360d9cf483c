// The clock of deadlines and pauses.

import CShims

func monotonicNanoseconds() -> UInt64 { martlet_monotonic_ns() }
