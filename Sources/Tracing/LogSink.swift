// The ends of the log: what the writer thread hands whole lines to. Only that thread touches a sink.

import Glibc
import Synchronization

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

    /// Lines that end behind the first `written` bytes: what is lost when no more than those could be written.
    func lines(behind written: Int) -> Int {
        written >= bytes.count ? 0 : lines.reduce(0) { $0 + ($1.end > written ? 1 : 0) }
    }
}

/// What became of a batch.
struct LogWriteOutcome {
    /// Lines that could not be written.
    var lost = 0
    /// Why, in the system's words.
    var reason: String?
}

/// A place that lines are written to.
protocol LogSink: AnyObject {
    /// What log lines about the sink call it.
    var name: String { get }
    /// Writes all lines it can.
    func write(_ batch: LogBatch, _ patience: LogPatience) -> LogWriteOutcome
    /// Opens its file anew under the same name, because somebody moved it away.
    func reopen() throws(LogOpenError)
}

extension LogSink {
    func reopen() throws(LogOpenError) {}
}

/// A failure to open an output.
public struct LogOpenError: Error, Sendable, CustomStringConvertible {
    public let description: String

    init(description: String) { self.description = description }

    /// In the words that etcd has for a file that cannot be opened.
    init(path: String, errno code: Int32) {
        description = "open sink \"\(path)\": open \(path): \(systemText(code))"
    }
}

/// The system's text for an error number, as Go prints it.
func systemText(_ code: Int32) -> String {
    let text = String(cString: strerror(code))
    return text.prefix(1).lowercased() + text.dropFirst()
}

/// How long a sink may wait for a reader that takes nothing: for ever while the log is open, since only its own thread
/// waits, and not much longer once the log is being closed.
final class LogPatience: Sendable {
    private let isClosing = Atomic<Bool>(false)
    private let stalled = Atomic<Bool>(false)
    private let onStall: @Sendable () -> Void

    init(onStall: @escaping @Sendable () -> Void = {}) { self.onStall = onStall }

    /// Nobody takes what is written: whoever wants to see a line written need not wait for it.
    var isStalled: Bool { stalled.load(ordering: .relaxed) }

    func close() { isClosing.store(true, ordering: .relaxed) }

    func progressed() {
        if isStalled { stalled.store(false, ordering: .relaxed) }
    }

    /// Whether to wait on after `milliseconds` without progress.
    func allows(waited milliseconds: Int32) -> Bool {
        if milliseconds >= TracingLimits.blockedWriteMilliseconds, !stalled.exchange(true, ordering: .relaxed) { onStall() }
        return !(isClosing.load(ordering: .relaxed) && isStalled)
    }
}

/// Standard error, standard output, or a file opened for append.
final class DescriptorSink: LogSink {
    static let standardErrorName = "stderr"
    let name: String
    private var descriptor: Int32
    private let path: String?
    private var file = LogFileEnd()

    init(descriptor: Int32, name: String) {
        self.descriptor = descriptor
        self.name = name
        path = nil
    }

    init(path: String) throws(LogOpenError) {
        name = path
        self.path = path
        descriptor = try Self.open(path)
    }

    deinit { if path != nil { close(descriptor) } }

    private static func open(_ path: String) throws(LogOpenError) -> Int32 {
        var status = stat()
        let isPipe = stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFIFO
        // Opened for writing alone, a named pipe would wait for its reader, and the server with it.
        let descriptor = Glibc.open(path, (isPipe ? O_RDWR : O_WRONLY) | O_APPEND | O_CREAT | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw LogOpenError(path: path, errno: errno) }
        return descriptor
    }

    func write(_ batch: LogBatch, _ patience: LogPatience) -> LogWriteOutcome {
        let (written, reason) = file.write(batch.bytes[...], to: descriptor, name, patience)
        return LogWriteOutcome(lost: batch.lines(behind: written), reason: reason)
    }

    func reopen() throws(LogOpenError) {
        guard let path else { return }
        let opened = try Self.open(path)
        close(descriptor)
        descriptor = opened
        file = LogFileEnd()
    }
}

/// Writing whole lines to a descriptor that may be full, slow or shared: no line is continued by another one.
struct LogFileEnd {
    /// The last line written is incomplete and could not be taken back.
    private var isTorn = false

    /// Writes as much as goes. Returns the bytes that count as written, and why it is not all.
    mutating func write(
        _ bytes: ArraySlice<UInt8>, to descriptor: Int32, _ name: String, _ patience: LogPatience
    ) -> (written: Int, reason: String?) {
        if isTorn {
            guard writeAll([UInt8(ascii: "\n")], to: descriptor, patience).written == 1 else {
                return (0, "write \(name): \(systemText(errno))")
            }
            isTorn = false
        }
        let (written, code) = writeAll(bytes, to: descriptor, patience)
        guard written < bytes.count else { return (written, nil) }
        let reason = code == 0 ? "write \(name): nobody takes what is written" : "write \(name): \(systemText(code))"
        let whole = (bytes.prefix(written).lastIndex(of: UInt8(ascii: "\n")) ?? bytes.startIndex - 1) + 1 - bytes.startIndex
        if whole < written { isTorn = !Self.takeBack(written - whole, from: descriptor) }
        return (whole, reason)
    }

    /// Cuts the last bytes off a file of ours, unless somebody has written behind them.
    private static func takeBack(_ count: Int, from descriptor: Int32) -> Bool {
        var status = stat()
        let position = lseek(descriptor, 0, SEEK_CUR)
        guard position >= count, fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_size == position
        else { return false }
        return ftruncate(descriptor, position - count) == 0 && lseek(descriptor, position - count, SEEK_SET) >= 0
    }
}

/// Writes as much as goes: waits for a full pipe or terminal as long as the patience lasts, gives up on an error.
/// Returns the bytes written, and the error's number where there was one.
func writeAll(
    _ bytes: ArraySlice<UInt8>, to descriptor: Int32, _ patience: LogPatience = LogPatience()
) -> (written: Int, errno: Int32) {
    var status = stat()
    let isFile = fstat(descriptor, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    return bytes.withUnsafeBytes { raw in
        var written = 0
        var waited: Int32 = 0
        while written < raw.count {
            if !isFile {
                // A pipe with room takes this much at once, so that the write does not block for good.
                var wait = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                let ready = poll(&wait, 1, TracingLimits.outputPollMilliseconds)
                if ready == 0 {
                    waited += TracingLimits.outputPollMilliseconds
                    guard patience.allows(waited: waited) else { return (written, 0) }
                    continue
                }
                if ready < 0, errno == EINTR { continue }
            }
            let piece = isFile ? raw.count - written : min(raw.count - written, TracingLimits.pipePieceBytes)
            let count = Glibc.write(descriptor, raw.baseAddress! + written, piece)
            if count > 0 {
                written += count
                waited = 0
                patience.progressed()
            } else if count == 0 || (errno != EINTR && errno != EAGAIN) {
                return (written, count == 0 ? EIO : errno)
            }
        }
        return (written, 0)
    }
}
