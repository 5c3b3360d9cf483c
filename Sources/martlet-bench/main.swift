// martlet-bench: see Sources/Bench.

import Bench

#if canImport(Glibc)
import Glibc
#endif

// A reader that goes away is noticed at the write.
signal(SIGPIPE, SIG_IGN)
exit(await BenchTool().run())
