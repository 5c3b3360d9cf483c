// Standard output and standard error, buffered; kept in memory for tests.

#if canImport(Glibc)
import Glibc
#endif

/// Where commands print. Output is buffered; errors push it out first, so that the order is kept. One thread.
public final class Console {
    public enum Stream: Sendable { case output, error }

    private enum Target {
        case descriptors
        case memory
    }

    private let target: Target
    private var pending: [UInt8] = []
    /// What was printed, when it is kept in memory.
    public private(set) var output: [UInt8] = []
    public private(set) var errors: [UInt8] = []
    private static let bufferBytes = 64 << 10

    /// The process's own streams.
    public init() {
        target = .descriptors
        pending.reserveCapacity(Console.bufferBytes)
    }

    /// Keeps everything.
    public init(inMemory: Void) { target = .memory }

    deinit { flush() }

    public func print(_ line: String, to stream: Stream = .output) { write(line + "\n", to: stream) }

    public func write(_ text: String, to stream: Stream = .output) {
        var text = text
        text.withUTF8 { write(UnsafeRawBufferPointer($0), to: stream) }
    }

    public func write(_ bytes: UnsafeRawBufferPointer, to stream: Stream = .output) {
        switch (target, stream) {
        case (.memory, .output): output += bytes
        case (.memory, .error): errors += bytes
        case (.descriptors, .output):
            if bytes.count >= Console.bufferBytes {
                flush()
                Console.writeAll(bytes, STDOUT_FILENO)
            } else {
                pending += bytes
                if pending.count >= Console.bufferBytes { flush() }
            }
        case (.descriptors, .error):
            flush()
            Console.writeAll(bytes, STDERR_FILENO)
        }
    }

    /// Whether a person looks at the stream.
    public func isTerminal(_ stream: Stream) -> Bool {
        switch target {
        case .memory: false
        case .descriptors: isatty(stream == .output ? STDOUT_FILENO : STDERR_FILENO) == 1
        }
    }

    public func flush() {
        guard !pending.isEmpty else { return }
        pending.withUnsafeBytes { Console.writeAll($0, STDOUT_FILENO) }
        pending.removeAll(keepingCapacity: true)
    }

    /// A reader that has gone ends the program, as SIGPIPE does where it is not ignored; so does a full disk, with a word.
    private static func writeAll(_ bytes: UnsafeRawBufferPointer, _ descriptor: Int32) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = Glibc.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
            if count >= 0 {
                rest = rest.dropFirst(count)
                continue
            }
            switch errno {
            case EINTR: continue
            case EAGAIN:
                var poll = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                _ = Glibc.poll(&poll, 1, -1)
            case EPIPE: _exit(141)
            default:
                if descriptor == STDOUT_FILENO {
                    let text = "Error: cannot write the output: \(String(cString: strerror(errno)))\n"
                    _ = text.withCString { Glibc.write(STDERR_FILENO, $0, strlen($0)) }
                    _exit(1)
                }
                return
            }
        }
    }
}
