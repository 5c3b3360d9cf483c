// What a command reads: a file, or standard input to its end.

import CommandLineTools
import Wire

#if canImport(Glibc)
import Glibc
#endif

enum Input {
    /// The content of a file, or of standard input if no file is named. One line end behind it is dropped, for
    /// `etcdctl get --print-value-only` adds one.
    static func read(_ file: String, _ console: Console) throws(CommandFailure) -> [UInt8] {
        var descriptor = STDIN_FILENO
        if !file.isEmpty, file != "-" {
            descriptor = open(file, O_RDONLY | O_CLOEXEC)
            if descriptor < 0 { throw CommandFailure("error reading input file \(file): \(String(cString: strerror(errno)))") }
        } else if isatty(STDIN_FILENO) == 1 {
            console.print("warn: waiting on stdin from tty", to: .error)
        }
        defer { if descriptor != STDIN_FILENO { close(descriptor) } }
        let sink = ByteSink(capacity: 64 << 10)
        while true {
            var count = 0
            sink.append(uninitializedCapacity: max(64 << 10, sink.count / 2)) {
                count = Glibc.read(descriptor, $0.baseAddress, $0.count)
                return max(count, 0)
            }
            if count == 0 { break }
            if count < 0 {
                if errno == EINTR { continue }
                throw CommandFailure("unable to read \(file.isEmpty ? "data from stdin" : file): \(String(cString: strerror(errno)))")
            }
            guard sink.count <= ToolLimits.inputBytesMax else { throw CommandFailure("the input is longer than \(ToolLimits.inputBytesMax) bytes") }
        }
        if sink.count > 0, sink.bytes[sink.count - 1] == UInt8(ascii: "\n") { sink.truncate(to: sink.count - 1) }
        guard sink.count > 0 else { throw CommandFailure("no input data") }
        return [UInt8](sink.bytes)
    }

    /// Calls the body with each line of standard input, without its end, as it comes.
    static func forEachLine(_ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        let sink = ByteSink(capacity: 64 << 10)
        var isAtEnd = false
        while !isAtEnd {
            var count = 0
            sink.append(uninitializedCapacity: 64 << 10) {
                count = Glibc.read(STDIN_FILENO, $0.baseAddress, $0.count)
                return max(count, 0)
            }
            if count < 0, errno == EINTR { continue }
            if count < 0 { throw CommandFailure("error reading --batch-process input: \(String(cString: strerror(errno)))") }
            isAtEnd = count == 0
            var start = 0
            while let end = sink.bytes[start...].firstIndex(of: UInt8(ascii: "\n")) {
                try body(UnsafeRawBufferPointer(rebasing: sink.bytes[start..<end]))
                start = end + 1
            }
            if isAtEnd, start < sink.count { try body(UnsafeRawBufferPointer(rebasing: sink.bytes[start...])) }
            sink.removeFirst(start)
            guard sink.count <= ToolLimits.inputBytesMax else { throw CommandFailure("a line is longer than \(ToolLimits.inputBytesMax) bytes") }
        }
    }
}
