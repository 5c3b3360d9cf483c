// A password from the terminal or a pipe.

#if canImport(Glibc)
import Glibc
#endif

enum Secret {
    /// Asks without echo. Nil at the end of input.
    static func ask(_ prompt: String) -> String? {
        _ = prompt.withCString { write(STDERR_FILENO, $0, strlen($0)) }
        var settings = termios()
        let isTerminal = tcgetattr(STDIN_FILENO, &settings) == 0
        if isTerminal {
            var silent = settings
            silent.c_lflag &= ~tcflag_t(ECHO)
            tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent)
        }
        let line = readLine()
        if isTerminal {
            tcsetattr(STDIN_FILENO, TCSAFLUSH, &settings)
            _ = write(STDERR_FILENO, "\n", 1)
        }
        return line
    }
}
