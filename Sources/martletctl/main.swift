// martletctl: see Sources/Control.

import Control

#if canImport(Glibc)
import Glibc
#endif

// A reader that goes away is noticed at the write.
signal(SIGPIPE, SIG_IGN)
exit(await ControlTool().run())
