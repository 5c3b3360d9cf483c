// The systemd journal by its native datagram protocol.

import Glibc

/// Sends each line as one journal entry; what the journal does not take goes to standard error.
final class JournalSink: LogSink {
    static let socketPath = "/run/systemd/journal/socket"
    private let descriptor: Int32
    private let path: String
    private let identifier: String

    init(path: String = socketPath) throws(LogOpenError) {
        self.path = path
        identifier = CommandLine.arguments.first?.split(separator: "/").last.map(String.init) ?? "martlet"
        guard access(path, W_OK) == 0 else {
            throw LogOpenError(description: "can't find journal (\(path): \(String(cString: strerror(errno))))")
        }
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else {
            throw LogOpenError(description: "journal socket: \(String(cString: strerror(errno)))")
        }
    }

    deinit { close(descriptor) }

    var name: String { "systemd/journal" }

    func write(_ batch: LogBatch, _ patience: LogPatience) -> LogWriteOutcome {
        var outcome = LogWriteOutcome()
        var start = 0
        for line in batch.lines {
            let text = batch.bytes[start..<line.end - 1]  // without the line feed
            if !send(entry(text, line)), writeAll(batch.bytes[start..<line.end], to: STDERR_FILENO, patience).written < text.count {
                outcome.lost += 1
                outcome.reason = "the journal and standard error take no lines"
            }
            start = line.end
        }
        return outcome
    }

    /// `NAME=value` lines; a value that may hold line feeds is framed by its length instead.
    private func entry(_ text: ArraySlice<UInt8>, _ line: LogBatch.Line) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(contentsOf: "PRIORITY=\(line.level.journalPriority)\n".utf8)
        bytes.append(contentsOf: "PACKAGE=\(line.package)\nSYSLOG_IDENTIFIER=\(identifier)\nMESSAGE\n".utf8)
        withUnsafeBytes(of: UInt64(text.count).littleEndian) { bytes.append(contentsOf: $0) }
        bytes.append(contentsOf: text)
        bytes.append(UInt8(ascii: "\n"))
        return bytes
    }

    private func send(_ bytes: [UInt8]) -> Bool {
        guard bytes.count <= TracingLimits.journalDatagramBytesMaximum else { return false }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        guard path.utf8.count < MemoryLayout.size(ofValue: address.sun_path) else { return false }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                sendto(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL), address,
                    socklen_t(MemoryLayout<sockaddr_un>.size)) == bytes.count
            }
        }
    }
}
