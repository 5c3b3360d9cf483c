// Programs that commands run, signals that they wait for, and lines that come while something else goes on.

import CommandLineTools
import NIOPosix

#if canImport(Glibc)
import Glibc
#endif

enum Processes {
    /// Runs a program with further variables in its environment, and waits for it without holding up others.
    ///
    /// - Returns: its status as a shell tells it, or nil when it could not be started, with the reason.
    static func run(_ arguments: [String], variables: [String]) async -> (status: Int32?, reason: String) {
        let result = try? await NIOThreadPool.singleton.runIfActive { () -> (Int32?, String) in
            var pid = pid_t()
            var environment = variables
            var entry: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = environ
            while let text = entry?.pointee {
                environment.append(String(cString: text))
                entry? += 1
            }
            var argv = arguments.map { strdup($0) } + [nil]
            var envp = environment.map { strdup($0) } + [nil]
            defer { for text in argv + envp { free(text) } }
            let failure = posix_spawnp(&pid, arguments[0], nil, nil, &argv, &envp)
            guard failure == 0 else {
                if failure == ENOENT { return (nil, "exec: \(GoText.quoted(arguments[0])): executable file not found in $PATH") }
                return (nil, "fork/exec \(arguments[0]): \(String(cString: strerror(failure)).lowercased())")
            }
            var status: Int32 = 0
            while waitpid(pid, &status, 0) < 0 { if errno != EINTR { return (nil, "wait: \(String(cString: strerror(errno)))") } }
            if status & 0x7f == 0 { return ((status >> 8) & 0xff, "exit status \((status >> 8) & 0xff)") }
            return (-1, "signal: \(String(cString: strsignal(status & 0x7f)).lowercased())")
        }
        return result ?? (nil, "no thread to wait on")
    }
}

/// SIGINT and SIGTERM as something to wait for.
enum Signals {
    nonisolated(unsafe) private static var pipeEnds: [Int32] = [-1, -1]

    /// From now on the signals do not end the process.
    static func catchTermination() {
        guard pipeEnds[0] < 0, pipe(&pipeEnds) == 0 else { return }
        let handler: @convention(c) (Int32) -> Void = { number in
            var byte = UInt8(truncatingIfNeeded: number)
            _ = write(Signals.pipeEnds[1], &byte, 1)
        }
        signal(SIGINT, handler)
        signal(SIGTERM, handler)
    }

    /// Returns its number when one came. The next one ends the process as usual: cleaning up may hang.
    @discardableResult
    static func wait() async -> Int32 {
        let descriptor = pipeEnds[0]
        let number = try? await NIOThreadPool.singleton.runIfActive {
            var byte: UInt8 = 0
            while read(descriptor, &byte, 1) < 0, errno == EINTR {}
            signal(SIGINT, SIG_DFL)
            signal(SIGTERM, SIG_DFL)
            return Int32(byte)
        }
        return number ?? SIGTERM
    }
}

enum Lines {
    /// The next line of standard input, read on a thread of its own kind.
    static func next() async -> String? { try? await NIOThreadPool.singleton.runIfActive { readLine() } }
}
