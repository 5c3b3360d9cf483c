// The decoder's executable: runs the command that its arguments name.

import DecoderCommands

#if canImport(Glibc)
import Glibc
#endif

exit(DecoderTool.root(version: DecoderTool.version).execute())
