// How much longer than usual the random tests of this target run.

#if canImport(Glibc)
import Glibc
#endif

let soakFactor = getenv("MARTLET_SOAK").flatMap { Int(String(cString: $0)) } ?? 1
