// martletutl: see Sources/Utility.

import Utility

#if canImport(Glibc)
import Glibc
#endif

// A reader that goes away is noticed at the write.
signal(SIGPIPE, SIG_IGN)
exit(UtilityTool().run())
