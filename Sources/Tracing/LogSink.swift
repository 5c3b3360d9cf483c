// The ends of the log: descriptors and files. Only the writer thread touches a sink.
//
// A sink gets whole lines with their bounds, so that a sink that rotates its file by size can be added
// beside these without touching anything else.

import Glibc

/// Encoded lines waiting to be written.
struct LogBatch {
    struct Line {
        var end: Int
        var level: LogLevel
        var package: String
    }

    var bytes: [UInt8] = []
    var lines: [Line] = []

    mutating func append(_ line: [UInt8], level: LogLevel, package: String) {
        bytes.append(contentsOf: line)
        lines.append(Line(end: bytes.count, level: level, package: package))
    }

    mutating func removeAll() {
        bytes.removeAll(keepingCapacity: bytes.capacity <= 256 * 1_024)
        lines.removeAll(keepingCapacity: lines.capacity <= 4_096)
    }
}

/// A place that lines are written to.
protocol LogSink: AnyObject {
    /// Writes all lines; returns how many could not be written.
    func write(_ batch: LogBatch) -> Int
}

/// A failure to open an output.
public struct LogOpenError: Error, Sendable, CustomStringConvertible {
    public let description: String
}

/// Standard error, standard output, or a file opened for append.
final class DescriptorSink: LogSink {
    private let descriptor: Int32
    private let closes: Bool

    init(descriptor: Int32) {
        self.descriptor = descriptor
        closes = false
    }

    init(path: String) throws(LogOpenError) {
        descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o666)
        closes = true
        guard descriptor >= 0 else {
            let text = String(cString: strerror(errno))
            throw LogOpenError(
                description: "open sink \"\(path)\": open \(path): \(text.prefix(1).lowercased() + text.dropFirst())")
        }
    }

    deinit { if closes && descriptor >= 0 { close(descriptor) } }

    func write(_ batch: LogBatch) -> Int {
        let written = writeAll(batch.bytes, to: descriptor)
        return written == batch.bytes.count ? 0 : batch.lines.lazy.filter { $0.end > written }.count
    }
}

/// Writes as much as goes: waits a while for a full pipe, gives up on a broken one. Returns the bytes written.
func writeAll(_ bytes: [UInt8], to descriptor: Int32) -> Int {
    bytes.withUnsafeBytes { raw in
        var written = 0
        while written < raw.count {
            let count = Glibc.write(descriptor, raw.baseAddress! + written, raw.count - written)
            if count > 0 {
                written += count
            } else if count < 0 && errno == EAGAIN {
                var wait = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                if poll(&wait, 1, TracingLimits.blockedWriteMilliseconds) <= 0 { break }
            } else if count == 0 || errno != EINTR {
                break
            }
        }
        return written
    }
}
