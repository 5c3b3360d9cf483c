// The terminal and standard input.

import CommandLineTools

#if canImport(Glibc)
import Glibc
#endif

enum Terminal {
    /// Asks without echo. From a pipe a line is read. Nil at the end of input.
    static func password(_ prompt: String, _ console: Console) -> String? {
        var settings = termios()
        let isTerminal = tcgetattr(STDIN_FILENO, &settings) == 0
        if isTerminal {
            var silent = settings
            silent.c_lflag &= ~tcflag_t(ECHO)
            tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent)
        }
        // Only now: who types at once is not shown either.
        console.write(prompt)
        console.flush()
        let line = readLine()
        if isTerminal {
            tcsetattr(STDIN_FILENO, TCSAFLUSH, &settings)
            console.print("")
        }
        return line
    }

    /// Everything up to the end of standard input.
    static func input() -> [UInt8] {
        var bytes: [UInt8] = []
        let part = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)
        defer { part.deallocate() }
        while true {
            let count = read(STDIN_FILENO, part.baseAddress, part.count)
            if count > 0 { bytes += part[..<count] }
            if count == 0 || (count < 0 && errno != EINTR) { return bytes }
        }
    }
}
